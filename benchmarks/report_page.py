"""Size of a report's page, and CPU time to make it, for many validation pictures and many classes.

Usage: report_page.py [FOLDER]. The pages are kept in the folder, to be looked at; the analyses are
made up, with drawings that compress badly.
"""

import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests/unit/stages"), str(ROOT / "src")]

from made_analyses import made_analysis  # noqa: E402
from made_pages import page_of, subject  # noqa: E402

from mmdet_jetson.contract.analysis import ANALYSIS, Analysis  # noqa: E402
from mmdet_jetson.contract.records import read_record  # noqa: E402
from mmdet_jetson.stages.reporting.compared import Side  # noqa: E402

CASES = ((13, 2), (80, 2), (5000, 80))


def classes(number: int) -> tuple[str, ...]:
    names = ("mug", "ball", "street sign with a long name")
    return tuple(f"{names[at % 3]} {at + 1}" if at > 1 else names[at] for at in range(number))


def made(pictures: int, number: int, seed: int = 0) -> Analysis:
    return made_analysis(pictures, classes(number), wished=0.9, worst=12, seed=seed)


def page(pictures: int, number: int, into: Path) -> tuple[int, float, float]:
    """Write a page; gives its bytes, and seconds of CPU to read the analysis and make the page."""
    checkpoint = subject(made(pictures, number), into / "evaluation")
    other = subject(made(pictures, number, seed=1), into / "other")
    start = time.process_time()
    read_record(into / "evaluation" / ANALYSIS, Analysis)
    read = time.process_time() - start
    start = time.process_time()
    compared = [Side("another run", (other,), None, "")]
    text = page_of(checkpoint, compared=compared, name=f"{pictures} pictures")
    rendered = time.process_time() - start
    (into / "report.html").write_text(text, encoding="utf-8")
    return len(text.encode()), read, rendered


def main() -> None:
    into = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
    print("| pictures | classes | page | analysis read | page made |\n|---:|---:|---:|---:|---:|")
    for pictures, number in CASES:
        folder = into / f"{pictures}-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        size, read, rendered = page(pictures, number, folder)
        row = f"{size / 1e6:.2f} MB | {read:.2f} s | {rendered:.1f} s"
        print(f"| {pictures:,} | {number} | {row} |", flush=True)


if __name__ == "__main__":
    main()
