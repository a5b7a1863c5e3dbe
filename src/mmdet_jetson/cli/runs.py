"""What was trained in the store: one line a training, the newest first."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

from rich.console import Console

from mmdet_jetson.bundles.ledger import Entry, ledger, when
from mmdet_jetson.bundles.trainings import NAMED
from mmdet_jetson.cli.part_lines import decimals, printable
from mmdet_jetson.config.settings import read_settings
from mmdet_jetson.config.sources import Sources
from mmdet_jetson.config.toml import convert, read_toml
from mmdet_jetson.errors import UserError
from mmdet_jetson.store import Store

NOTHING = "nothing was trained in {} yet: `invoke demo` trains in minutes, without a GPU"

DAMAGED = "{} is damaged and not listed: run again, or `invoke verify --mend`"


@dataclass(frozen=True)
class Column:
    """A column: its cells, how narrow it may become, and whether it may be left out."""

    title: str
    cells: Sequence[str]
    narrowest: int
    right: bool = False
    optional: bool = False

    @property
    def width(self) -> int:
        """As wide as its widest cell."""
        return max(len(each) for each in (self.title, *self.cells))


def runs(*, as_json: bool = False) -> None:
    """Tabulate every training of the store, or print it as JSON.

    Raises:
        UserError: the store cannot be read.
    """
    settings = read_settings()
    store, console = Store(settings.artifacts), Console(emoji=False)
    entries = ledger(store)
    if as_json:
        console.out(json.dumps([asdict(each) for each in entries], indent=1), highlight=False)
        return
    damaged = [tag for tag in store.tags() if tag.endswith(NAMED) and store.damage(tag)]
    notes = [DAMAGED.format(tag) for tag in damaged]
    if not entries:
        console.print("\n".join(notes) or NOTHING.format(store.root), markup=False, soft_wrap=True)
        return
    known = _weights(settings.root / "configs/sources.toml")
    for number, line in enumerate([*table(entries, known, console.width), *notes]):
        style = None if number else "bold"
        console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def _weights(file: Path) -> dict[str, str]:
    """The names of weights by their SHA-256, as far as the project's sources tell it."""
    with suppress(UserError):
        sources = convert(read_toml(file), Sources, file).sources
        return {each.sha256: name for name, each in sources.items() if each.sha256}
    return {}


def table(entries: Sequence[Entry], weights: Mapping[str, str], width: int) -> Iterator[str]:
    """One line a training, in as many columns as there is room for; safe for a terminal."""

    def column(
        title: str,
        cell: Callable[[Entry], str],
        narrowest: int = width,
        *,
        right: bool = False,
        optional: bool = False,
    ) -> Column:
        cells = [printable(cell(each)) for each in entries]
        whole = max(len(each) for each in (title, *cells))
        return Column(title, cells, min(whole, narrowest), right, optional)

    year = datetime.now().astimezone().year
    made = (when(each.created) for each in entries)
    this_year = all(each.year == year for each in made if each)
    day = "%m-%d %H:%M" if this_year else "%Y-%m-%d"
    columns = [
        column("name", lambda each: each.name),
        column("trained", lambda each: _day(each, day)),
        column("AP", _ap, right=True),
        column("engine", _engine, right=True),
        column("epochs", _epochs, right=True),
        column("seed", lambda each: _or_dash(each.seed), right=True),
        column("data", _data),
        column("run", _run, 4, optional=True),
        column("from", lambda each: _start(each, weights), 6, optional=True),
        column("config", lambda each: PurePosixPath(each.config).stem or "its own", 10),
    ]
    fitted = list(_fitted(columns, width))
    for row in range(-1, len(entries)):
        yield " ".join(_cell(each, row, wide) for each, wide in fitted).rstrip()
    if any(each.taken for each in entries):
        yield "taken: trained elsewhere; its date is that of the taking, `from` is its file"
    if any("~" in _ap(each) for each in entries):
        yield "~ by the training's own validation: it was not evaluated"


def _fitted(columns: Sequence[Column], width: int) -> Iterator[tuple[Column, int]]:
    """Leave out what is empty or has no room; give the rest the room that there is, in order."""
    room = width + 1 - sum(each.narrowest + 1 for each in columns if not each.optional)
    for each in columns:
        needed = each.narrowest + 1 if each.optional else 0
        if each.optional and (not any(each.cells) or needed > room):
            continue
        room -= needed
        more = min(each.width - each.narrowest, max(0, room))
        room -= more
        yield each, each.narrowest + more


def _cell(column: Column, row: int, width: int) -> str:
    text = column.title if row < 0 else column.cells[row]
    text = text if len(text) <= width else f"{text[: width - 2]}.."
    return f"{text:>{width}}" if column.right else f"{text:{width}}"


def _day(entry: Entry, form: str) -> str:
    made = when(entry.created)
    return f"{made:{form}}" if made else "?"


def _ap(entry: Entry) -> str:
    is_estimate = not entry.evaluated and entry.ap is not None
    return decimals(entry.ap) + ("~" if is_estimate else "")


def _epochs(entry: Entry) -> str:
    return "taken" if entry.taken else _or_dash(entry.epochs)


def _or_dash(value: int | None) -> str:
    return "-" if value is None else str(value)


def _engine(entry: Entry) -> str:
    best = entry.best_engine
    return decimals(best[1] if best else None)


def _data(entry: Entry) -> str:
    """The pictures of both splits, and the digest by which datasets of one size differ.

    The training alone does not tell how many they were, where its dataset is no longer here.
    """
    counts = "+".join(str(count) for count in entry.pictures.values())
    return f"{counts} {entry.data.removeprefix('sha256:')[:4]}".strip() or "-"


def _run(entry: Entry) -> str:
    """The run that has made it, where that has gone on to another training."""
    return "" if entry.runs else entry.run


def _start(entry: Entry, weights: Mapping[str, str]) -> str:
    """The weights that it started from."""
    return weights.get(entry.weights, entry.weights.removeprefix("sha256:")[:8])
