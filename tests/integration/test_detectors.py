"""Stock detectors of MMDetection through `invoke pipeline`: four rows of docs/detectors.md."""

import re
import subprocess
import sys

import pytest
from commands import ROOT

PROVEN, REFUSED = "proven", "refused before training"


@pytest.mark.parametrize(
    ("name", "becomes"),
    [
        ("RetinaNet", PROVEN),  # pads after normalising
        ("YOLOX-tiny", PROVEN),  # its first step is no convolution
        ("YOLOv3", PROVEN),  # scores with a factor, a head of its own
        ("Faster R-CNN", REFUSED),
    ],
)
def test_a_stock_detector_is_proven_or_refused_before_its_training(name: str, becomes: str) -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/detectors.py", name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = re.findall(rf"^\| {re.escape(name)} \|.*$", done.stdout, re.MULTILINE)
    assert row.split(" | ")[3].startswith(becomes)


def test_the_page_has_no_detector_that_ended_in_another_way() -> None:
    """What is not proven is refused before its training, in a sentence."""
    rows = re.findall(
        r"^\| \S.*\| `\w+/.*$", (ROOT / "docs/detectors.md").read_text(), re.MULTILINE
    )
    assert len(rows) >= 20
    ends = [row.split(" | ")[3] for row in rows]
    assert all(end == PROVEN or end.startswith(f"{REFUSED}: ") for end in ends)
