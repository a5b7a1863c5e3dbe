"""What is shown while steps run."""

import io
import itertools

from fakes import dataset_step
from rich.console import Console

from mmdet_jetson.cli.progress import Display
from mmdet_jetson.contract.job import Progress


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
