"""What a device runs: a picture in, boxes in the picture's own pixels out.

detector = Detector.load(Path("engine"))
detections = detector.detect(read_picture(Path("balloon.jpg")))
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, List, Mapping, Tuple

import numpy as np

from mmdet_jetson.stages.backends import Network, Sessions, sessions
from mmdet_jetson.stages.engines.preflight import preflight
from mmdet_jetson.stages.inference.boxes import Detection, clip_boxes
from mmdet_jetson.stages.inference.feeding import mapping
from mmdet_jetson.stages.inference.preprocessing import Preprocessing, Size

Outputs = Tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Detector:
    """An engine with what belongs around it. Each step is a method, so that each can be timed.

    This is the detector of a documented graph: the picture is prepared here, and boxes are mapped
    back here. ``classes`` are names by label; ``passport`` says what the engine was built from and
    for.
    """

    classes: Tuple[str, ...]
    preprocessing: Preprocessing
    network: Network
    passport: Mapping[str, Any]

    @staticmethod
    def load(folder: Path) -> "Detector":
        """Open an `engine` artifact of either graph.

        Raises:
            StageError: `preflight` refuses it, or its preprocessing is not supported.
        """
        passport = preflight(folder)
        backend = sessions(passport["backend"])
        network = backend.open_session(folder / passport["engine"]["file"])
        return Detector._around(backend, network, folder, passport)

    @staticmethod
    def of_graph(folder: Path) -> "Detector":
        """Open an `onnx` artifact in ONNX Runtime; there is no passport yet.

        Raises:
            StageError: its preprocessing or its operators are not supported here.
        """
        backend = sessions("onnxruntime")
        network = backend.open_session(folder / "end2end.onnx")
        return Detector._around(backend, network, folder, {})

    @staticmethod
    def _around(
        backend: Sessions, network: Network, folder: Path, passport: Mapping[str, Any]
    ) -> "Detector":
        graph = _read(folder / "graph.json")
        classes = tuple(graph["classes"])
        preprocessing = Preprocessing.of(folder, graph)
        if graph.get("graph") != "fused":
            return Detector(classes, preprocessing, network, passport)
        fed, limits = Feeding(graph["input"], graph["batch"]), graph["post_processing"]
        if fed.mode == "tensor":
            on_gpu = backend.taking_pictures(network, preprocessing, fed.batch)
            network, fed = (on_gpu, Feeding("image", 1)) if on_gpu else (network, fed)
        return FusedDetector(
            classes, preprocessing, network, passport, fed, limits["keep"], limits["nms_pre"]
        )

    def detect(self, picture: np.ndarray) -> List[Detection]:
        """Find objects in a BGR uint8 [height, width, 3] picture, best first."""
        height, width = picture.shape[:2]
        return self.postprocess(self.outputs(picture), (width, height))

    def outputs(self, picture: np.ndarray) -> Outputs:
        """Run every step before `postprocess`."""
        height, width = picture.shape[:2]
        batch = self.format(self.normalize(self.resize(picture)))
        return self.infer(batch, (width, height))

    def resize(self, picture: np.ndarray) -> np.ndarray:
        """Scale and pad to the network's size: uint8 [height, width, 3]."""
        return self.preprocessing.resize(picture)

    def normalize(self, picture: np.ndarray) -> np.ndarray:
        """Subtract the mean and divide by the deviation: float32 [height, width, 3]."""
        return self.preprocessing.normalize(picture)

    def format(self, picture: np.ndarray) -> np.ndarray:
        """Lay out as the network reads it: float32 [1, 3, height, width]."""
        return self.preprocessing.format(picture)

    def infer(self, batch: np.ndarray, size: Size) -> Outputs:
        """Run the network on a picture that had ``size`` (width, height) before all steps."""
        return self.network(batch)

    def postprocess(self, outputs: Outputs, size: Size) -> List[Detection]:
        """Map boxes back into a picture of ``size`` (width, height), clip and sort them.

        ``outputs`` are dets [1, n, 5] in pixels of the network's input and labels [1, n]. The
        boxes are divided by the real scale of each axis (rounded sizes make them differ), as
        MMDetection does. Rows with score 0 only fill up the number of rows, and what covers
        nothing of the picture (all in the padding, or inside out) is no detection.
        """
        dets, labels = outputs[0][0], outputs[1][0]
        resized = np.array(self.preprocessing.resized_size(*size), np.float32)
        scale = resized / np.array(size, np.float32)
        boxes, covers = clip_boxes(dets[:, :4] / np.tile(scale, 2), size)
        found = np.flatnonzero((dets[:, 4] > 0) & (labels >= 0) & covers)
        order = found[np.argsort(-dets[found, 4], kind="stable")]
        return _detections(boxes[order], dets[order, 4], labels[order])

    def is_complete(self, outputs: Outputs) -> bool:
        """Whether NMS over all boxes would have found the same."""
        return True


@dataclass(frozen=True)
class Feeding:
    """What a fused graph is fed: ``mode`` is "image", "letterboxed" or "tensor".

    With "image", whatever takes the picture prepares it: the graph itself, or a kernel before it.
    """

    mode: str
    batch: int


@dataclass(frozen=True)
class FusedDetector(Detector):
    """The detector of a fused graph, which takes pictures and gives boxes in their own pixels.

    ``keep`` and ``candidates`` are the graph's: how many detections leave its NMS, and how many
    pairs of a box and a class take part in it.
    """

    fed: Feeding
    keep: int
    candidates: int

    def resize(self, picture: np.ndarray) -> np.ndarray:
        """Scale and pad, unless the graph does."""
        return picture if self.fed.mode == "image" else super().resize(picture)

    def normalize(self, picture: np.ndarray) -> np.ndarray:
        """Normalise, unless the graph does."""
        return super().normalize(picture) if self.fed.mode == "tensor" else picture

    def format(self, picture: np.ndarray) -> np.ndarray:
        """Lay out as the graph reads it, as often as it takes pictures at a time."""
        one = super().format(picture) if self.fed.mode == "tensor" else picture[None]
        return one if self.fed.batch == 1 else np.repeat(one, self.fed.batch, axis=0)

    def infer(self, batch: np.ndarray, size: Size) -> Outputs:
        """Run the graph; where it does not scale the picture, it is told how that was done."""
        if self.fed.mode == "image":
            return self.network(batch)
        row = mapping(self.preprocessing, size)[None]
        return self.network(batch, np.repeat(row, self.fed.batch, axis=0))

    def postprocess(self, outputs: Outputs, size: Size) -> List[Detection]:
        """Drop the rows that only fill up."""
        dets, labels = outputs[0][0], outputs[1][0]
        found = dets[:, 4] > 0
        return _detections(dets[found, :4], dets[found, 4], labels[found])

    def is_complete(self, outputs: Outputs) -> bool:
        """Whether NMS over all boxes would have found the same.

        It would if no candidate changed in the last round, and either every pair over the score
        threshold was a candidate or the best ones filled all rows.
        """
        passing, kept, unsettled = outputs[2][0].tolist()
        return bool(unsettled == 0 and (passing <= self.candidates or kept >= self.keep))


def _detections(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> List[Detection]:
    rows = zip(boxes.tolist(), scores.tolist(), labels.tolist())
    return [
        Detection(box=(box[0], box[1], box[2], box[3]), score=score, label=label)
        for box, score, label in rows
    ]


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
