"""What a device runs: a picture in, boxes in the picture's own pixels out.

detector = Detector.load(Path("engine"))
detections = detector.detect(read_picture(Path("balloon.jpg")))
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, List, Mapping, Tuple

import numpy as np

from mmdet_jetson.stages.detection.backends import Network, backend
from mmdet_jetson.stages.detection.boxes import clip_boxes
from mmdet_jetson.stages.detection.drawing import Detection
from mmdet_jetson.stages.detection.preprocessing import Preprocessing, Size


@dataclass(frozen=True)
class Detector:
    """An engine with what belongs around it. Each step is a method, so that each can be timed.

    ``classes`` are names by label; ``passport`` says what the engine was built from and for.
    """

    classes: Tuple[str, ...]
    preprocessing: Preprocessing
    network: Network
    passport: Mapping[str, Any]

    @classmethod
    def load(cls, folder: Path) -> "Detector":
        """Open an `engine` artifact.

        Raises:
            StageError: its preprocessing or its backend is not supported here.
        """
        graph = _read(folder / "graph.json")
        passport = _read(folder / "passport.json")
        width, height = graph["input_size"]
        return cls(
            classes=tuple(graph["classes"]),
            preprocessing=Preprocessing.read(folder / "pipeline.json", (width, height)),
            network=backend(passport["backend"]).open_session(folder / passport["engine"]["file"]),
            passport=passport,
        )

    def detect(self, picture: np.ndarray) -> List[Detection]:
        """Find objects in a BGR uint8 [height, width, 3] picture, best first."""
        batch = self.format(self.normalize(self.resize(picture)))
        height, width = picture.shape[:2]
        return self.postprocess(self.network(batch), (width, height))

    def resize(self, picture: np.ndarray) -> np.ndarray:
        """Scale and pad to the network's size: uint8 [height, width, 3]."""
        return self.preprocessing.resize(picture)

    def normalize(self, picture: np.ndarray) -> np.ndarray:
        """Subtract the mean and divide by the deviation: float32 [height, width, 3]."""
        return self.preprocessing.normalize(picture)

    def format(self, picture: np.ndarray) -> np.ndarray:
        """Lay out as the network reads it: float32 [1, 3, height, width]."""
        return self.preprocessing.format(picture)

    def postprocess(self, outputs: Tuple[np.ndarray, np.ndarray], size: Size) -> List[Detection]:
        """Map boxes back into a picture of ``size`` (width, height), clip and sort them.

        ``outputs`` are dets [1, n, 5] in pixels of the network's input and labels [1, n]. The
        boxes are divided by the real scale of each axis (rounded sizes make them differ), as
        MMDetection does. Rows with score 0 only fill up the number of rows, and what covers
        nothing of the picture (all in the padding, or inside out) is no detection.
        """
        dets, labels = outputs[0][0], outputs[1][0]
        scores = dets[:, 4]
        boxes, covers = clip_boxes(dets[:, :4] / np.tile(self._scale(size), 2), size)
        found = np.flatnonzero((scores > 0) & (labels >= 0) & covers)
        order = found[np.argsort(-scores[found], kind="stable")]
        rows = zip(boxes[order].tolist(), scores[order].tolist(), labels[order].tolist())
        return [
            Detection(box=(box[0], box[1], box[2], box[3]), score=score, label=label)
            for box, score, label in rows
        ]

    def _scale(self, size: Size) -> np.ndarray:
        resized = np.array(self.preprocessing.resized_size(*size), np.float32)
        scale: np.ndarray = resized / np.array(size, np.float32)
        return scale


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
