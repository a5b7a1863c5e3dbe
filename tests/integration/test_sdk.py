"""An independent reader of a documented folder: MMDeploy's SDK detects what our detector does.

The pictures are the balloon validation set; the model is the demo's, since one epoch on balloons
finds nothing that could be compared.
"""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from commands import BalloonRun, Commands

from mmdet_jetson.stages.engines.opening import open_graph
from mmdet_jetson.stages.inference.detector import Detector
from mmdet_jetson.stages.inference.preprocessing import read_picture

SCRIPT = Path(__file__).with_name("sdk_detect.py")
# Fainter detections are noise, of which another runtime's rounding picks others.
LEAST_SCORE = 0.02
# The SDK ends boxes at the last pixel (width - 1), we at the border (width): just one pixel apart.
PIXELS, SCORE = 1.0, 1e-3

Rows = list[list[float]]


@pytest.fixture(scope="module")
def demo_model(demo_run: Commands, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's documented folder: trained enough to detect a lot on any picture."""
    folder = tmp_path_factory.mktemp("model") / "documented"
    assert demo_run.run("checkout", "demo.export-documented", str(folder)).returncode == 0
    return folder


def by_sdk(python: Path, folder: Path, pictures: Sequence[Path]) -> dict[str, Rows]:
    command = [python, SCRIPT, folder, *pictures]
    answer = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Rows] = json.loads(answer.stdout)
    return found


@pytest.fixture(scope="module")
def sdk_found(demo_model: Path, balloon_run: BalloonRun, sdk_python: Path) -> dict[str, Rows]:
    return by_sdk(sdk_python, demo_model, balloon_run.val_pictures)


@pytest.fixture(scope="module")
def detector(demo_model: Path) -> Detector:
    return open_graph(demo_model)


def confident(rows: Rows, least: float) -> Rows:
    return [row for row in rows if row[4] >= least]


def ours(detector: Detector, path: Path) -> Rows:
    found = detector.detect(read_picture(path))
    return [[*detection.box, detection.score, detection.label] for detection in found]


def has_match(row: list[float], others: Rows) -> bool:
    """Whether a detection of the same class has the same corners and score."""
    return any(
        other[5] == row[5]
        and abs(other[4] - row[4]) <= SCORE
        and max(abs(a - b) for a, b in zip(other[:4], row[:4], strict=True)) <= PIXELS
        for other in others
    )


def test_the_sdk_and_our_detector_find_the_same(
    balloon_run: BalloonRun, sdk_found: dict[str, Rows], detector: Detector
) -> None:
    assert_same(sdk_found, detector, balloon_run.val_pictures)


def test_both_pad_after_normalising_where_pipeline_json_does(
    balloon_run: BalloonRun, demo_model: Path, sdk_python: Path, tmp_path: Path
) -> None:
    """The order that an export writes for a test pipeline without a Pad."""
    folder = tmp_path / "documented"
    shutil.copytree(demo_model, folder)
    content = json.loads((folder / "pipeline.json").read_text())
    steps = content["pipeline"]["tasks"][0]["transforms"]
    _, _, pad, normalize, idle = steps[:5]
    assert [pad["type"], normalize["type"], idle["type"]] == ["Pad", "Normalize", "Pad"]
    steps[2:5] = [normalize, {"type": "Pad", "size": pad["size"], "pad_val": 0.0}]
    (folder / "pipeline.json").write_text(json.dumps(content))
    found = by_sdk(sdk_python, folder, balloon_run.val_pictures)
    detector = open_graph(folder)
    assert detector.feeding.preprocessing.pads_normalized
    assert_same(found, detector, balloon_run.val_pictures)


def assert_same(found: dict[str, Rows], detector: Detector, pictures: Sequence[Path]) -> None:
    compared = 0
    for path in pictures:
        theirs, mine = found[str(path)], ours(detector, path)
        for name, rows, others in (("SDK", theirs, mine), ("detector", mine, theirs)):
            alone = [r for r in confident(rows, LEAST_SCORE) if not has_match(r, others)]
            assert not alone, f"{path.name}: only the {name} found {alone}"
        compared += len(confident(mine, LEAST_SCORE))

    assert compared >= len(pictures), "too few detections to mean anything"
