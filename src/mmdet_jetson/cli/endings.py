"""The table at the end of a run: where each step was, how it ended, how long it took."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from mmdet_jetson.running.context import Ending

WORK = ("made", "failed", "not made")
STYLES = {"made": "green", "failed": "red", "not made": "yellow"}


def is_worth_a_table(endings: Sequence[Ending]) -> bool:
    """Whether single lines did not say it all: several targets, or not all is there.

    Where nothing ran, and nothing had to, they did.
    """
    words = {each.word for each in endings}
    targets = {each.step.subject for each in endings if each.step.stage.runs_engines}
    return bool(words & {"failed", "not made"}) or ("made" in words and len(targets) > 1)


def table(endings: Sequence[Ending]) -> Table:
    """Tabulate them, narrow enough for 80 columns."""
    lines = Table(show_edge=False, pad_edge=False)
    lines.add_column("step", no_wrap=True)
    lines.add_column("where", overflow="fold")
    lines.add_column("how it ended", overflow="fold")
    lines.add_column("time", justify="right", no_wrap=True)
    for each in endings:
        how = Text(each.word, STYLES.get(each.word, "dim"))
        if each.why:
            how.append(f": {each.why}", "default")
        took = duration(each.seconds) if each.seconds else ""
        lines.add_row(each.step.name, Text(each.where), how, took)
    return lines


def duration(seconds: float) -> str:
    """Say how long something took."""
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min"
