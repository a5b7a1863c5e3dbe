"""What is shown while steps run."""

import io
import itertools
from dataclasses import replace

import pytest
from fakes import dataset_step, train_step
from rich.console import Console

from mmdet_jetson.cli.progress import Display
from mmdet_jetson.contract.job import Progress
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning import stages
from mmdet_jetson.running.context import Ending


class Log:
    """A display without a terminal, on a clock that the test winds."""

    def __init__(self) -> None:
        self.now = 0.0
        self._shown = io.StringIO()
        self.display = Display(Console(file=self._shown, width=200), lambda: self.now)

    def run(self, steps: int, seconds: float) -> list[str]:
        """Give the lines of a stage that takes this long and reports every step."""
        self.display.started(dataset_step())
        for step in range(1, steps + 1):
            self.now += seconds / steps
            self.display.progress(dataset_step(), Progress(step, steps, "checking"))
        return self.lines

    @property
    def lines(self) -> list[str]:
        return [" ".join(line.split()) for line in self._shown.getvalue().splitlines()]


def test_brackets_are_shown_as_they_are() -> None:
    """They are in paths and messages, and rich's markup has brackets, too."""
    log = Log()
    log.display.say("no such file: runs[/x]/[dim]a")
    log.now = 100
    log.display.progress(dataset_step(), Progress(1, 2, "[bold]b[/y]"))
    assert log.lines[0] == "no such file: runs[/x]/[dim]a"
    assert log.lines[1].endswith("1/2 [bold]b[/y]")


def test_a_fast_stage_says_nothing_between_its_start_and_its_end() -> None:
    """A single "1/1120" would be all that a log ever says of it."""
    assert Log().run(steps=1120, seconds=1.5) == ["dataset started"]


def test_a_log_has_a_line_for_each_tenth_of_a_stage() -> None:
    lines = Log().run(steps=1120, seconds=200)
    expected = [f"dataset {112 * tenth}/1120 checking" for tenth in range(1, 11)]
    assert lines == ["dataset started", *expected]


def test_a_log_is_never_silent_for_long() -> None:
    """A tenth of an hour is too long, and a total may be unknown."""
    lines = Log().run(steps=3600, seconds=3600)
    steps = [int(line.split()[1].partition("/")[0]) for line in lines[1:]]
    assert max(b - a for a, b in itertools.pairwise([0, *steps, 3600])) <= 31

    log = Log()
    for second in range(100):
        log.now = second
        log.display.bytes_fetched("balloon", second * 1_000_000, None)
    assert log.lines == [f"fetching balloon {second} MB" for second in (30, 60, 90)]


def test_a_download_is_told_in_megabytes_only() -> None:
    log = Log()
    log.display.bytes_fetched("balloon", 0, 40_000_000)
    log.now = 5
    log.display.bytes_fetched("balloon", 20_000_000, 40_000_000)
    assert log.lines == ["fetching balloon 20 of 40 MB"]


def test_a_transfer_is_told_as_a_stage_is() -> None:
    log = Log()
    log.display.transfer("pushing train")
    for done in range(0, 101, 10):
        log.now += 3
        log.display.bytes_moved("pushing train", done * 10**6, 10**8)
    assert log.lines[1] == "pushing train 20 of 100 MB"
    assert log.lines[-1] == "pushing train 100 of 100 MB"


def test_lines_of_two_steps_at_once_are_each_one_of_its_own_step() -> None:
    log = Log()
    first, second = dataset_step(), train_step()
    log.display.started(first)
    log.display.started(second)
    for step in range(1, 11):
        log.now += 3
        log.display.progress(first, Progress(step, 10, "reading"))
        log.display.progress(second, Progress(step, 20, "epoch"))
    assert log.lines[:4] == ["dataset started", "train started", "dataset 1/10 reading",
                             "dataset 2/10 reading"]  # fmt: skip
    assert [line for line in log.lines if line.startswith("train")][1:] == [
        f"train {step}/20 epoch" for step in (2, 4, 6, 8, 10)
    ]


def test_a_terminal_has_a_bar_for_each_step_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")  # a dumb one has no bars
    shown = io.StringIO()
    console = Console(file=shown, width=100, force_terminal=True, color_system=None)
    display = Display(console)
    with display:
        display.started(dataset_step())
        display.started(train_step())
        display.progress(dataset_step(), Progress(1, 4, "reading"))
        display.progress(train_step(), Progress(1, 2, "epoch"))
        display._bar.refresh()
    frame = shown.getvalue()
    assert "dataset" in frame
    assert "25%" in frame
    assert "train" in frame
    assert "50%" in frame


ORIN = replace(dataset_step(), stage=replace(stages.DATASET, runs_engines=True), subject="orin")
NANO = replace(ORIN, subject="nano")


@pytest.mark.parametrize(
    ("endings", "shown"),
    [
        ([Ending(dataset_step(), "made", "here", 3)], False),
        ([Ending(ORIN, "cached"), Ending(NANO, "cached")], False),
        ([Ending(ORIN, "made", "orin-1", 3), Ending(NANO, "cached")], True),
        ([Ending(dataset_step(), "failed", "here", 3, "no")], True),
    ],
)
def test_a_table_ends_a_run_of_several_targets_or_with_a_failure(
    endings: list[Ending], shown: bool
) -> None:
    log = Log()
    log.display.ended(endings)
    assert bool(log.lines) == shown


def test_the_table_says_where_how_and_why() -> None:
    log = Log()
    log.display.failed(ORIN, UserError("engine: [a] broke\nits log", "read it"))
    log.display.ended(
        [
            Ending(ORIN, "failed", "orin-1", 63.21, "engine: [a] broke"),
            Ending(NANO, "not made", why="needs dataset-orin"),
        ]
    )
    assert log.lines[0] == "✗ dataset-orin failed"
    assert log.lines[1] == "engine: [a] broke"
    assert log.lines[-2:] == [
        "dataset-orin │ orin-1 │ failed: engine: [a] broke │ 63.2 s",
        "dataset-nano │ │ not made: needs dataset-orin │",
    ]
