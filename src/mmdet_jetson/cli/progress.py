"""What a person sees while steps run: a live bar a step at a terminal, sparse lines elsewhere."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from mmdet_jetson import stopping
from mmdet_jetson.cli import endings as ending
from mmdet_jetson.contract.job import Progress as StageProgress
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.running.context import Ending
from mmdet_jetson.store import Artifact

# Without a terminal: a line for each tenth of the way, but not many at once and not none for long.
LINES_A_STEP = 10
LEAST_SECONDS, MOST_SECONDS = 2.0, 30.0


@dataclass
class _Shown:
    """What is live: its bar, and of its lines when the last one came, and how far it was then."""

    bar: TaskID
    last_line: float
    tenths: int = 0


class Display:
    """Tells how each step goes; use it as a context manager.

    Steps run side by side, so it is told from several threads. What is fetched or moved belongs to
    the step of the thread that does so.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self.console = console
        self._clock = clock
        self._guard = threading.RLock()
        self._live: dict[str, _Shown] = {}
        self._began = clock()
        self._of_thread = threading.local()
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
        with self._guard:
            self.console.print(sentence, highlight=False, markup=False, soft_wrap=True)

    def started(self, step: Step) -> None:
        """Show that a step begins."""
        self._of_thread.step = step.name
        self._show(step.name)
        if not self.console.is_terminal:
            self.say(f"{step.name:<28} started")

    def waiting(self, step: Step) -> None:
        """Show that another run of ours is making this very result."""
        self.held_up(step, "waiting: another run is making it")

    def held_up(self, step: Step, why: str) -> None:
        """Show what a step waits for."""
        self.say(f"{step.name:<28} {why}")

    def progress(self, step: Step, progress: StageProgress) -> None:
        """Show how far a stage is; what it only records changes nothing of that."""
        if progress.recorded:
            return
        numbers = "  ".join(
            f"{name} {value:.4g}" for name, value in progress.metrics.items() if value is not None
        )
        text = f"{progress.label} {numbers}".strip()
        self._live_or_new(step.name)
        self._advance(step.name, progress.step, progress.total, text)
        self._line(step.name, step.name, progress.step, progress.total, f"{_of(progress)} {text}")

    def bytes_fetched(self, name: str, done: int, total: int | None) -> None:
        """Show how far a download is, in bytes."""
        if self._step_of_thread() not in self._live:
            self._live_or_new(f"fetching {name}")
        self.bytes_moved(f"fetching {name}", done, total)

    def transfer(self, what: str) -> None:
        """Show that a transfer begins."""
        self._show(what)

    def bytes_moved(self, what: str, done: int, total: int | None) -> None:
        """Show how far a transfer is, in bytes."""
        stopping.current().check()
        of = f" of {total / 1e6:.0f}" if total else ""
        text = f"{done / 1e6:.0f}{of} MB"
        shown = what if what in self._live else self._step_of_thread()
        self._advance(shown, done, total or 0, text)
        self._line(shown, what, done, total or 0, text)
        if total and done >= total and shown == what:
            self._hide(what)

    def finished(self, step: Step, artifact: Artifact, *, cached: bool) -> None:
        """Show a step's result and what it warns of."""
        took = ending.duration(artifact.provenance.seconds)
        self._result(step, artifact, f"cached (took {took})" if cached else f"done in {took}")

    def in_registry(self, step: Step, artifact: Artifact) -> None:
        """Show a step's result that is not here, and need not be as long as nothing reads it."""
        took = ending.duration(artifact.provenance.seconds)
        self._result(step, artifact, f"in the registry (took {took})")

    def left_out(self, step: Step, why: str) -> None:
        """Show that what only comes before others is not done here."""
        self._hide(step.name)
        self.say(f"{step.name:<28} left out: {why}")

    def failed(self, step: Step, error: UserError) -> None:
        """Show that a step ended without a result, while others go on."""
        self._hide(step.name)
        first, *_ = error.message.splitlines() or [""]
        with self._guard:
            self.console.print(f"[red]✗[/] {step.name:<26} failed", highlight=False)
            self.console.print(f"  {first}", markup=False, highlight=False, soft_wrap=True)

    def ended(self, endings: Sequence[Ending]) -> None:
        """Tabulate how all steps ended, where single lines did not say it."""
        with self._guard:
            for name in tuple(self._live):
                self._hide(name)
            if ending.is_worth_a_table(endings):
                self.console.print(ending.table(endings))

    def _result(self, step: Step, artifact: Artifact, how: str) -> None:
        with self._guard:
            self._hide(step.name)
            line = f"[green]✓[/] {step.name:<26} {how}  [dim]{artifact.digest[:19]}[/]"
            self.console.print(line, highlight=False)
            found = artifact.provenance.facts.get("found")
            if found:
                self.console.print(f"  {found}", style="dim", markup=False, soft_wrap=True)
            for warning in artifact.provenance.warnings:
                self.console.print(
                    f"  warning: {warning}", style="yellow", markup=False, soft_wrap=True
                )

    def _step_of_thread(self) -> str:
        return str(getattr(self._of_thread, "step", ""))

    def _show(self, name: str) -> None:
        with self._guard:
            self._hide(name)
            self._live[name] = _Shown(
                self._bar.add_task(name, total=None, numbers=""), self._clock()
            )

    def _live_or_new(self, name: str) -> None:
        with self._guard:
            if name not in self._live:
                self._live[name] = _Shown(
                    self._bar.add_task(name, total=None, numbers=""), self._began
                )

    def _hide(self, name: str) -> None:
        with self._guard:
            if shown := self._live.pop(name, None):
                self._bar.remove_task(shown.bar)

    def _advance(self, name: str, step: int, total: int, numbers: str) -> None:
        with self._guard:
            if shown := self._live.get(name):
                self._bar.update(shown.bar, completed=step, total=total or None, numbers=numbers)

    def _line(self, name: str, told: str, step: int, total: int, text: str) -> None:
        """Print how far it is where no bar shows it, if a line is due."""
        with self._guard:
            shown = self._live.get(name)
            if shown is None or self.console.is_terminal:
                return
            since = self._clock() - shown.last_line
            tenths = LINES_A_STEP * step // total if total else 0
            if since >= (LEAST_SECONDS if tenths > shown.tenths else MOST_SECONDS):
                shown.last_line, shown.tenths = self._clock(), tenths
                self.say(f"{told:<28} {text}")


def _of(progress: StageProgress) -> str:
    return f"{progress.step}/{progress.total or '?'}"
