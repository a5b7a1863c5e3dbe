"""What a device runs: a picture in, boxes in the picture's own pixels out.

`engines.opening` opens engines as detectors.
"""

from dataclasses import dataclass
from typing import List, Optional, Tuple

import numpy as np

from mmdet_jetson.stages.inference.boxes import Detection, clip_boxes
from mmdet_jetson.stages.inference.feeding import Feeding
from mmdet_jetson.stages.inference.graph import FUSED, Graph
from mmdet_jetson.stages.inference.network import Arrays, Network
from mmdet_jetson.stages.inference.passport import Passport
from mmdet_jetson.stages.inference.preprocessing import Preprocessing, Size


@dataclass(frozen=True)
class Detector:
    """An engine with what belongs around it. Each step is a method, so that each can be timed.

    This is the detector of a documented graph: boxes are mapped back into the picture here.
    ``classes`` are names by label; ``passport`` says what the engine was built from and for, and is
    None for an exported graph, which is no engine yet.
    """

    classes: Tuple[str, ...]
    feeding: Feeding
    network: Network
    passport: Optional[Passport]

    @property
    def preprocessing(self) -> Preprocessing:
        """What happens to a picture before the network, here or in the graph."""
        return self.feeding.preprocessing

    def detect(self, picture: np.ndarray) -> List[Detection]:
        """Find objects in a BGR uint8 [height, width, 3] picture, best first."""
        height, width = picture.shape[:2]
        return self.postprocess(self.outputs(picture), (width, height))

    def outputs(self, picture: np.ndarray) -> Arrays:
        """Run every step before `postprocess`."""
        return self.network(*self.feeding(picture))

    def infer(self, values: np.ndarray, size: Size) -> Arrays:
        """Run the network on a picture that had ``size`` (width, height) before all steps.

        ``values`` are what `Feeding.format` made of it.
        """
        return self.network(*self.feeding.inputs(values, size))

    def postprocess(self, outputs: Arrays, size: Size) -> List[Detection]:
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

    def is_complete(self, outputs: Arrays) -> bool:
        """Whether NMS over all boxes would have found the same."""
        return True


@dataclass(frozen=True)
class FusedDetector(Detector):
    """The detector of a fused graph, which takes pictures and gives boxes in their own pixels.

    ``keep`` and ``candidates`` are the graph's: how many detections leave its NMS, and how many
    pairs of a box and a class take part in it.
    """

    keep: int
    candidates: int

    def postprocess(self, outputs: Arrays, size: Size) -> List[Detection]:
        """Drop the rows that only fill up."""
        dets, labels = outputs[0][0], outputs[1][0]
        found = dets[:, 4] > 0
        return _detections(dets[found, :4], dets[found, 4], labels[found])

    def is_complete(self, outputs: Arrays) -> bool:
        """Whether NMS over all boxes would have found the same.

        It would if no candidate changed in the last round, and either every pair over the score
        threshold was a candidate or the best ones filled all rows.
        """
        passing, kept, unsettled = outputs[2][0].tolist()
        return bool(unsettled == 0 and (passing <= self.candidates or kept >= self.keep))


def detector_of(
    graph: Graph, feeding: Feeding, network: Network, passport: Optional[Passport]
) -> Detector:
    """Give the detector that belongs to a graph of either kind."""
    if graph.graph != FUSED:
        return Detector(graph.classes, feeding, network, passport)
    limits = graph.post_processing
    assert limits.keep is not None  # a fused graph limits both
    assert limits.nms_pre is not None
    return FusedDetector(
        graph.classes, feeding, network, passport, keep=limits.keep, candidates=limits.nms_pre
    )


def _detections(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> List[Detection]:
    rows = zip(boxes.tolist(), scores.tolist(), labels.tolist())
    return [
        Detection(box=(box[0], box[1], box[2], box[3]), score=score, label=label)
        for box, score, label in rows
    ]
