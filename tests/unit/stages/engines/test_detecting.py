"""The steps of a detector apart find what the detector finds, also several pictures at a time."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from fused import fused_folder

from mmdet_jetson.stages.engines.detecting import Found, Steps, scores_of
from mmdet_jetson.stages.engines.opening import open_graph
from mmdet_jetson.stages.engines.streams import Frame
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.detector import Detector
from mmdet_jetson.stages.inference.feeding import Feeding
from mmdet_jetson.stages.inference.network import Arrays
from mmdet_jetson.stages.inference.preprocessing import Preprocessing

SQUARE = Preprocessing((64, 64), True, (0, 0, 0), (0, 0, 0), (1, 1, 1), to_rgb=False)
WIDE = Preprocessing((64, 32), True, (0, 0, 0), (0, 0, 0), (1, 1, 1), to_rgb=False)


def frames(*sizes: tuple[int, int]) -> list[Frame]:
    """Pictures of (width, height), each brighter than the one before."""
    return [
        Frame(number, np.full((height, width, 3), 10 * (number + 1), np.uint8))
        for number, (width, height) in enumerate(sizes)
    ]


def found_in(steps: Steps, pictures: Sequence[Frame], full: bool = True) -> list[Found]:
    groups = steps.groups(map(steps.prepare, pictures), lambda: full)
    return [steps.finish(raw) for group in groups for raw in steps.infer(group)]


def bright_network(*values: np.ndarray) -> Arrays:
    """Find in each picture of a batch one object, with a score by its brightness."""
    scores = values[0].reshape(len(values[0]), -1).max(axis=1) / 255
    boxes = np.tile(np.array([4, 4, 8, 8], np.float32), (len(scores), 1))
    dets = np.concatenate([boxes, scores[:, None]], axis=1)[:, None].astype(np.float32)
    return dets, np.zeros((len(scores), 1), np.int64)


def bright_detector(batch: int, preprocessing: Preprocessing = SQUARE) -> Detector:
    calls: list[int] = []

    def network(*values: np.ndarray) -> Arrays:
        calls.append(len(values[0]))
        assert len(values[0]) == batch
        return bright_network(*values)

    detector = Detector(("balloon",), Feeding(preprocessing, None, batch), network, None)
    object.__setattr__(detector, "calls", calls)
    return detector


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_a_batch_holds_different_pictures_and_gives_each_its_own(batch: int) -> None:
    detector = bright_detector(batch)
    pictures = frames((64, 64), (128, 96), (32, 64), (64, 64), (640, 480))
    expected = [detector.detect(frame.picture) for frame in pictures if frame.picture is not None]
    detector.calls.clear()  # type: ignore[attr-defined]

    found = found_in(Steps(detector, [0.0]), pictures)

    assert [list(each.detections) for each in found] == expected
    assert len({each.detections[0].score for each in found}) == 5
    assert len(detector.calls) == -(-5 // batch)  # type: ignore[attr-defined]


def test_a_live_frame_waits_for_no_other(tmp_path: Path) -> None:
    detector = bright_detector(4)
    steps = Steps(detector, [0.0])
    groups = steps.groups(map(steps.prepare, frames((64, 64), (64, 64))), lambda: False)
    assert [len(group) for group in groups] == [1, 1]


def test_a_fused_graph_finds_the_same_in_steps(tmp_path: Path) -> None:
    detector = open_graph(fused_folder(tmp_path / "onnx"))
    random = np.random.default_rng(0)
    pictures = [Frame(n, random.integers(0, 255, (48 + n, 80, 3), np.uint8)) for n in range(4)]

    found = found_in(Steps(detector, [0.0, 0.0]), pictures)

    expected = [detector.detect(frame.picture) for frame in pictures if frame.picture is not None]
    assert [list(each.detections) for each in found] == expected
    assert all(expected)


def test_each_class_counts_from_its_own_score(tmp_path: Path) -> None:
    detector = open_graph(fused_folder(tmp_path / "onnx"))
    (frame,) = frames((64, 64))
    assert frame.picture is not None
    balloon, kite = sorted(detector.detect(frame.picture), key=lambda each: each.label)

    scores = scores_of(detector.classes, balloon.score, {"kite": kite.score + 1e-6})
    (found,) = found_in(Steps(detector, scores), [frame])

    assert list(found.detections) == [balloon]  # the score itself counts


@pytest.mark.parametrize("batch", [1, 3])
def test_pictures_with_a_problem_keep_their_place(batch: int) -> None:
    problem = StageError("broken")
    pictures = frames((64, 32), (64, 32), (32, 64), (64, 32))
    pictures[1] = Frame(1, None, problem)

    found = found_in(Steps(bright_detector(batch, WIDE), [0.0]), pictures)

    assert [each.frame.number for each in found] == [0, 1, 2, 3]
    assert found[1].frame.problem is problem
    assert found[2].frame.problem
    assert "does not fit a network" in found[2].frame.problem.message
    assert [len(each.detections) for each in found] == [1, 0, 0, 1]
