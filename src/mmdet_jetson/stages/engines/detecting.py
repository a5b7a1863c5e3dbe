"""The steps of a detector apart, so that the network has the next pictures when it is through.

Before the network and after it a picture is prepared and boxes are mapped, on other threads.
"""

from dataclasses import dataclass, replace
from time import perf_counter
from typing import Callable, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from mmdet_jetson.stages.engines.streams import Frame
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.boxes import Detection
from mmdet_jetson.stages.inference.detector import Detector
from mmdet_jetson.stages.inference.network import Arrays


@dataclass(frozen=True)
class Prepared:
    """A picture as the network takes it, in a batch of one; none of a picture with a problem."""

    frame: Frame
    inputs: Arrays
    milliseconds: float


@dataclass(frozen=True)
class Raw:
    """What the network gave for a picture; ``milliseconds`` are its share of a batch.

    ``on_gpu`` are the milliseconds of the GPU, where there is one.
    """

    frame: Frame
    outputs: Arrays
    milliseconds: float
    on_gpu: Optional[float] = None


@dataclass(frozen=True)
class Found:
    """A picture with what is on it, best first; ``milliseconds`` are of all steps."""

    frame: Frame
    detections: Sequence[Detection]
    milliseconds: float
    on_gpu: Optional[float] = None


class Steps:
    """A detector's steps for several pictures; ``busy`` counts the seconds of its network.

    ``scores`` say from which score on a detection counts, by label.
    """

    def __init__(self, detector: Detector, scores: Sequence[float]) -> None:
        self.detector, self.scores = detector, scores
        # The network's batch is filled here, with different pictures.
        self.batch = detector.feeding.batch
        self.feeding = replace(detector.feeding, batch=1)
        self.busy = 0.0

    def prepare(self, frame: Frame) -> Prepared:
        """Scale and normalise a picture, as far as the graph leaves that to us."""
        if frame.picture is None:
            return Prepared(frame, (), 0.0)
        began = perf_counter()
        try:
            inputs = self.feeding(frame.picture)
        except StageError as error:  # too narrow for a network that is not square
            return Prepared(replace(frame, picture=None, problem=error), (), 0.0)
        return Prepared(frame, inputs, _since(began))

    def groups(
        self, pictures: Iterable[Prepared], full: Callable[[], bool]
    ) -> Iterator[List[Prepared]]:
        """Put as many pictures together as the network takes; one alone unless ``full`` says so."""
        group: List[Prepared] = []
        for each in pictures:
            group.append(each)
            if not full() or sum(bool(one.inputs) for one in group) == self.batch:
                yield group
                group = []
        if group:
            yield group

    def infer(self, group: Sequence[Prepared]) -> List[Raw]:
        """Run the network on pictures of one group."""
        ready = [each for each in group if each.inputs]
        if not ready:
            return [Raw(each.frame, (), 0.0) for each in group]
        began = perf_counter()
        filled = [*ready, *[ready[-1]] * (self.batch - len(ready))]
        inputs = zip(*(each.inputs for each in filled))
        outputs = self.detector.network(*(_batch(each) for each in inputs))
        self.busy += perf_counter() - began
        share = _since(began) / len(ready)
        on_gpu: Optional[float] = getattr(self.detector.network, "milliseconds", None)
        on_gpu = on_gpu and on_gpu / len(ready)
        rows = iter(range(len(ready)))
        return [
            Raw(each.frame, _row(outputs, next(rows)), each.milliseconds + share, on_gpu)
            if each.inputs
            else Raw(each.frame, (), 0.0)
            for each in group
        ]

    def finish(self, raw: Raw) -> Found:
        """Map boxes into the picture, and leave out what has too low a score."""
        if raw.frame.picture is None:
            return Found(raw.frame, (), 0.0)
        began = perf_counter()
        height, width = raw.frame.picture.shape[:2]
        all_of_them = self.detector.postprocess(raw.outputs, (width, height))
        kept = [each for each in all_of_them if each.score >= self.scores[each.label]]
        return Found(raw.frame, kept, raw.milliseconds + _since(began), raw.on_gpu)


def scores_of(
    classes: Sequence[str], threshold: float, per_class: Mapping[str, float]
) -> Tuple[float, ...]:
    """Give the score from which on each class counts, by label."""
    return tuple(per_class.get(name, threshold) for name in classes)


def _batch(values: Sequence[np.ndarray]) -> np.ndarray:
    return values[0] if len(values) == 1 else np.concatenate(values)


def _row(outputs: Arrays, row: int) -> Arrays:
    return tuple(output[row : row + 1] for output in outputs)


def _since(began: float) -> float:
    return (perf_counter() - began) * 1000
