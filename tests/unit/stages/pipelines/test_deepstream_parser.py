"""The library for nvinfer, compiled by its own Makefile and run on buffers."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from exported_engines import tensorrt_engine
from fused import PREPROCESSING
from nvinfer import Host, placed, scaled_size

from mmdet_jetson.stages.conversion.fused_nms import Given, NmsLimits, nms_graph
from mmdet_jetson.stages.inference.detector import FusedDetector
from mmdet_jetson.stages.inference.feeding import Feeding, mapping
from mmdet_jetson.stages.inference.network import Arrays
from mmdet_jetson.stages.inference.preprocessing import Preprocessing
from mmdet_jetson.stages.pipelines import deepstream
from mmdet_jetson.stages.pipelines.deepstream_parser import PARSE_FUNCTION
from mmdet_jetson.stages.pipelines.described_engine import describe_engine

pytestmark = pytest.mark.skipif(
    not (shutil.which("g++") and shutil.which("make")), reason="g++ or make is not installed"
)
NETWORK = (128, 128)
LETTERBOX = {**PREPROCESSING, "input_size": list(NETWORK)}
LIMITS = NmsLimits(
    score_threshold=0.05,
    inclusive=False,
    iou_threshold=0.5,
    min_size=0.0,
    keep=20,
    candidates=60,
    rounds=16,
)
THRESHOLDS = np.array([0.3, 0.6])  # of the two classes, as the program hands them in


def host(tmp_path: Path, frame: tuple[int, int] | None, *, keep_ratio: bool = True) -> Host:
    preprocessing = {**LETTERBOX, "keep_ratio": keep_ratio}
    engine = tensorrt_engine(
        tmp_path / "engine", preprocessing=preprocessing, input_size=list(NETWORK)
    )
    made = tmp_path / "made"
    made.mkdir()
    deepstream.write(describe_engine(engine), made)
    options = (f"FRAME_WIDTH={frame[0]}", f"FRAME_HEIGHT={frame[1]}") if frame else ()
    return Host.of(made, tmp_path / "deepstream", NETWORK, *options)


@pytest.mark.parametrize(
    ("frame", "keep_ratio", "covered"),
    [
        ((1920, 1080), True, (128, 72)),
        ((1080, 1920), True, (72, 128)),
        ((641, 481), True, (128, 96)),  # nvinfer reads 640x480 of it
        ((1000, 700), True, (128, 89)),  # of 89.6
        ((1920, 1080), False, NETWORK),
        (None, True, NETWORK),
    ],
)
def test_mapping_leaves_boxes_in_the_network_and_ends_them_with_the_frame(
    frame: tuple[int, int] | None, keep_ratio: bool, covered: tuple[int, int], tmp_path: Path
) -> None:
    filled = host(tmp_path, frame, keep_ratio=keep_ratio).fill(pictures=3)

    assert filled.tolist() == [[1, 1, *covered]] * 3
    if frame and keep_ratio:
        assert covered == scaled_size(NETWORK, frame)


def test_boxes_are_those_that_our_own_detector_gives(tmp_path: Path) -> None:
    """The graph's own NMS, once with our `mapping` and once with the library's and nvinfer's steps.

    Of a frame of this shape, both sides make 128x72 pixels of the network's input.
    """
    frame = (1280, 720)
    library = host(tmp_path, frame)
    boxes, scores = candidates(np.random.default_rng(1))
    graph = nms_graph(LIMITS, Given(batch=1, boxes=boxes.shape[1], classes=2))
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])

    def outputs(row: np.ndarray) -> Arrays:
        return tuple(session.run(None, {"boxes": boxes, "scores": scores, "mapping": row}))

    preprocessing = Preprocessing(NETWORK, True, (114,) * 3, (0,) * 3, (1,) * 3, False)
    feeding = Feeding(preprocessing, "tensor")
    detector = FusedDetector(("a", "b"), feeding, lambda *_: (), None, keep=20, candidates=60)
    ours = [
        found
        for found in detector.postprocess(outputs(mapping(preprocessing, frame)[None]), frame)
        if found.score >= THRESHOLDS[found.label]
    ]

    dets, labels, _ = outputs(library.fill(pictures=1))
    theirs = placed(library.parse(PARSE_FUNCTION, dets, labels), NETWORK, frame)

    assert len(ours) > 5
    assert theirs[:, 0].tolist() == [found.label for found in ours]
    assert theirs[:, 5] == pytest.approx([found.score for found in ours])
    assert theirs[:, 1:5] == pytest.approx(np.array([found.box for found in ours]), abs=1e-2)
    assert (theirs[:, 3:5] <= frame).all()
    assert max(found.box[3] for found in ours) == frame[1]  # one reached into the padding


def candidates(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Boxes [1, 60, 4] all over the network's input, its padding too, and scores [1, 60, 2]."""
    middles = random.uniform(0, 128, (60, 2))
    sides = random.uniform(8, 48, (60, 2))
    boxes = np.concatenate([middles - sides / 2, middles + sides / 2], axis=1)
    scores = random.uniform(0, 1, (60, 2))
    return boxes[None].astype(np.float32), scores[None].astype(np.float32)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["DEEPSTREAM=/nowhere"], "headers are not in /nowhere/sources/includes: set DEEPSTREAM="),
        (["FRAME_WIDTH=1920"], "FRAME_WIDTH and FRAME_HEIGHT go together"),
        (["FRAME_HEIGHT=1080"], "FRAME_WIDTH and FRAME_HEIGHT go together"),
    ],
)
def test_what_keeps_it_from_being_compiled_is_told_first(
    tmp_path: Path, options: list[str], told: str
) -> None:
    host(tmp_path, None)
    for library in (tmp_path / "made").glob("*.so"):
        library.unlink()

    call = ["make", f"DEEPSTREAM={tmp_path / 'deepstream'}", *options]
    ended = subprocess.run(call, cwd=tmp_path / "made", capture_output=True, text=True, check=False)

    assert ended.returncode
    assert told in ended.stderr
    assert not list((tmp_path / "made").glob("*.so"))


def test_rows_that_only_fill_up_and_weak_ones_are_no_objects(tmp_path: Path) -> None:
    dets = np.array(
        [
            [1, 2, 11, 22, 0.9],
            [3, 4, 5, 6, 0.5],  # below the threshold of class 1
            [3, 4, 5, 6, 0.5],
            [7, 7, 7, 9, 0.9],  # covers nothing
            [1, 1, 2, 2, 0.9],  # of a class that is not configured
            [1, 1, 2, 2, np.nan],
            [0, 0, 0, 0, 0],
        ]
    )
    labels = np.array([1, 1, 0, 0, 2, 0, -1])

    found = host(tmp_path, None).parse(PARSE_FUNCTION, dets, labels)

    assert found.tolist() == [[1, 1, 2, 10, 20, np.float32(0.9)], [0, 3, 4, 2, 2, 0.5]]


def test_tensors_that_it_does_not_know_are_refused_in_words(tmp_path: Path) -> None:
    library = host(tmp_path, None)
    with pytest.raises(subprocess.CalledProcessError) as refused:
        library.fill(1, name="image_size")
    assert "an input beside the picture that is not mapping" in refused.value.stderr
    with pytest.raises(subprocess.CalledProcessError) as refused:
        library.parse(PARSE_FUNCTION, np.zeros((1, 5)), np.zeros(1), half=True)
    assert "labels are not INT32" in refused.value.stderr
