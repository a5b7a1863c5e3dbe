"""What a person sees while steps run: a live bar at a terminal, sparse lines elsewhere."""

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from mmdet_jetson.contract.job import Progress as StageProgress
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.store import Artifact

# Without a terminal: a line for each tenth of the way, but not many at once and not none for long.
LINES_A_STEP = 10
LEAST_SECONDS, MOST_SECONDS = 2.0, 30.0


class Display:
    """Tells how each step goes; use it as a context manager."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self.console = console
        self._clock = clock
        self._last_line = clock()
        self._tenths = 0
        self._task: TaskID | None = None
        self._bar = Progress(
            TextColumn("{task.description:<28}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[numbers]}", style="dim", markup=False),
            console=console,
            transient=True,
        )

    def __enter__(self) -> "Display":
        if self.console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def say(self, sentence: str) -> None:
        """Print one line above whatever is live; brackets in it are brackets."""
        self.console.print(sentence, highlight=False, markup=False, soft_wrap=True)

    def started(self, step: Step) -> None:
        """Show that a step begins."""
        self._show(step.name)
        if not self.console.is_terminal:
            self.say(f"{step.name:<28} started")

    def waiting(self, step: Step) -> None:
        """Show that another run of ours is making this very result."""
        self.say(f"{step.name:<28} waiting: another run is making it")

    def progress(self, step: Step, progress: StageProgress) -> None:
        """Show how far a stage is; what it only records changes nothing of that."""
        if progress.recorded:
            return
        numbers = "  ".join(
            f"{name} {value:.4g}" for name, value in progress.metrics.items() if value is not None
        )
        text = f"{progress.label} {numbers}".strip()
        self._advance(progress.step, progress.total, text)
        self._line(step.name, progress.step, progress.total, f"{_of(progress)} {text}")

    def bytes_fetched(self, name: str, done: int, total: int | None) -> None:
        """Show how far a download is, in bytes."""
        if self._task is None:
            self._show(f"fetching {name}")
        self.bytes_moved(f"fetching {name}", done, total)

    def transfer(self, what: str) -> None:
        """Show that a transfer begins."""
        self._show(what)

    def bytes_moved(self, what: str, done: int, total: int | None) -> None:
        """Show how far a transfer is, in bytes."""
        of = f" of {total / 1e6:.0f}" if total else ""
        text = f"{done / 1e6:.0f}{of} MB"
        self._advance(done, total or 0, text)
        self._line(what, done, total or 0, text)

    def finished(self, step: Step, artifact: Artifact, *, cached: bool) -> None:
        """Show a step's result and what it warns of."""
        took = _duration(artifact.provenance.seconds)
        self._result(step, artifact, f"cached (took {took})" if cached else f"done in {took}")

    def in_registry(self, step: Step, artifact: Artifact) -> None:
        """Show a step's result that is not here, and need not be as long as nothing reads it."""
        took = _duration(artifact.provenance.seconds)
        self._result(step, artifact, f"in the registry (took {took})")

    def left_out(self, step: Step, why: str) -> None:
        """Show that what only comes before others is not done here."""
        self.say(f"{step.name:<28} left out: {why}")

    def _result(self, step: Step, artifact: Artifact, how: str) -> None:
        self._hide()
        line = f"[green]✓[/] {step.name:<26} {how}  [dim]{artifact.digest[:19]}[/]"
        self.console.print(line, highlight=False)
        found = artifact.provenance.facts.get("found")
        if found:
            self.console.print(f"  {found}", style="dim", markup=False, soft_wrap=True)
        for warning in artifact.provenance.warnings:
            self.console.print(
                f"  warning: {warning}", style="yellow", markup=False, soft_wrap=True
            )

    def _show(self, description: str) -> None:
        self._hide()
        self._task = self._bar.add_task(description, total=None, numbers="")
        self._last_line, self._tenths = self._clock(), 0

    def _hide(self) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None

    def _advance(self, step: int, total: int, numbers: str) -> None:
        if self._task is not None:
            self._bar.update(self._task, completed=step, total=total or None, numbers=numbers)

    def _line(self, name: str, step: int, total: int, text: str) -> None:
        """Print how far it is where no bar shows it, if a line is due."""
        since = self._clock() - self._last_line
        tenths = LINES_A_STEP * step // total if total else 0
        is_due = since >= (LEAST_SECONDS if tenths > self._tenths else MOST_SECONDS)
        if is_due and not self.console.is_terminal:
            self._last_line, self._tenths = self._clock(), tenths
            self.say(f"{name:<28} {text}")


def _of(progress: StageProgress) -> str:
    return f"{progress.step}/{progress.total or '?'}"


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min"
