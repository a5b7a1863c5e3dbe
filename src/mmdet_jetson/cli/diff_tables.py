"""The tables of what differs: figures, engines, pictures."""

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from mmdet_jetson.bundles.comparison import Comparison
from mmdet_jetson.bundles.figures import (
    OUTSIDE,
    UNKNOWN,
    WITHIN,
    EngineChange,
    FigureChange,
    Timed,
)
from mmdet_jetson.bundles.pictures import BY_NAME, ClassChanges, PictureChanges
from mmdet_jetson.cli.part_lines import WIDTH, cut, decimals
from mmdet_jetson.contract.report import BASE, CHECKPOINT, DOCUMENTED

FEW_CLASSES = 4
LEAST = 0.0005
"""A difference that shows in three decimals."""
CHANCE = {WITHIN: "within*", OUTSIDE: "outside*", UNKNOWN: "", "equal": ""}


def figure_lines(figures: Sequence[FigureChange], *, everything: bool) -> Iterator[str]:
    """AP and AP50 of the checkpoint and of each engine, and the classes that differ most."""
    hidden = () if everything else (BASE, DOCUMENTED)
    shown = [each for each in figures if each.subject not in hidden]
    if not shown:
        return
    titles = "".join(f"{each:>7}" for each in ("A", "B", "B-A"))
    yield f"{'Figures':18}{'AP':>21}  {'AP50':>21}"
    yield f"{'':18}{titles}  {titles}"
    for each in shown:
        yield f"  {_name(each.subject)}{_figure(each, 'AP')}  {_figure(each, 'AP50')}{_end(each)}"
        if each.subject == CHECKPOINT and not each.no_comparison:
            yield from _classes(each, everything=everything)
    yield from _notes(shown)


def _end(each: FigureChange) -> str:
    return f"  {CHANCE[each.ap50]}".rstrip()


def _name(text: str) -> str:
    return f"{text if len(text) <= 16 else text[:14] + '..':16}"


def _figure(each: FigureChange, name: str) -> str:
    was, now = (decimals(side.figures.get(name) if side else None) for side in (each.was, each.now))
    return f"{was:>7}{now:>7}{_signed(each.difference(name), was, now):>7}"


def _signed(value: float | None, was: str, now: str) -> str:
    """A difference as a reader works it out from the two numbers beside it."""
    if value is None:
        return "-"
    return "0" if was == now else f"{float(now) - float(was):+.3f}"


def _classes(each: FigureChange, *, everything: bool) -> Iterator[str]:
    """AP of each class; those that differ most, where there are many."""
    was, now = each.was, each.now
    if not (was and now):
        return
    names = sorted(
        was.per_class.keys() | now.per_class.keys(),
        key=lambda name: (-abs(each.class_difference(name) or 0), name),
    )
    apart = any(abs(each.class_difference(name) or 0) >= LEAST for name in names)
    if len(names) < 2 or not (apart or everything):
        return
    shown = names if everything else names[:FEW_CLASSES]
    for name in shown:
        values = [decimals(side.per_class.get(name)) for side in (was, now)]
        difference = _signed(each.class_difference(name), *values)
        yield f"    {_name(name)[:14]}{values[0]:>7}{values[1]:>7}{difference:>7}"
    if len(names) > len(shown):
        yield f"    ... and {len(names) - len(shown)} classes that differ by less"


def _notes(shown: Iterable[FigureChange]) -> Iterator[str]:
    shown = list(shown)
    for why in dict.fromkeys(each.no_comparison for each in shown if each.no_comparison):
        names = ", ".join(each.subject for each in shown if each.no_comparison == why)
        yield from wrapped(f"no comparison of {names}: {why}", 2)
    judged = [each for each in shown if each.ap50 in (WITHIN, OUTSIDE)]
    if judged:
        yield from wrapped(f"* {_meaning(judged)}", 2)
    elif any(each.ap50 == UNKNOWN and not each.no_comparison for each in shown):
        yield "  whether that is more than chance is not known: no report has an interval"


def _meaning(judged: Sequence[FigureChange]) -> str:
    """What within and outside mean, with the intervals of the first model."""
    first = judged[0]
    spans = ", ".join(
        f"{letter} {side.interval[0]:.3f} to {side.interval[1]:.3f}"
        for letter, side in (("A", first.was), ("B", first.now))
        if side and side.interval
    )
    within = "the 95% interval of the other's AP50"
    says = [f"{WITHIN} {within}: these pictures do not tell them apart"] * any(
        each.ap50 == WITHIN for each in judged
    )
    says += [f"{OUTSIDE} {within}"] * any(each.ap50 == OUTSIDE for each in judged)
    return f"{'; '.join(says)} ({first.subject}: {spans}); AP has no interval"


def engine_lines(engines: Sequence[EngineChange]) -> Iterator[str]:
    """Size, median and 99th percentile of every target's engine."""
    if not engines:
        return
    yield f"{'Engines':18}{'size, MB':>14}  {'latency p50, ms':>20}  {'latency p99, ms':>20}"
    yield f"{'':18}{'A':>7}{'B':>7}  {'A':>7}{'B':>7}{'':6}  {'A':>7}{'B':>7}"
    for each in engines:
        was, now = each.was or Timed(None), each.now or Timed(None)
        sizes = "".join(f"{_mega(side.size):>7}" for side in (was, now))
        times = (_times(was.p50, now.p50, each), _times(was.p99, now.p99, each))
        yield f"  {_name(each.target)}{sizes}  {'  '.join(times)}".rstrip()
        if each.no_comparison and each.no_comparison != "not timed":
            yield from wrapped(f"no comparison of times: {each.no_comparison}", 4)
        for letter, side in (("A", was), ("B", now)):
            doubts = (each.partition(":")[0] for each in side.warnings[:1])
            yield from (cut(f"    {letter}: {doubt}") for doubt in doubts)


def _mega(size: int | None) -> str:
    return "-" if size is None else f"{size / 1e6:.2f}"


def _times(was: float | None, now: float | None, each: EngineChange) -> str:
    texts = ["-" if value is None else f"{value:.1f}" for value in (was, now)]
    percent = ""
    if was and now is not None and not each.no_comparison:
        ratio = now / was
        percent = f"{100 * (ratio - 1):+.0f}%" if ratio < 10 else f"x{ratio:.0f}"
    return f"{texts[0]:>7}{texts[1]:>7}{percent:>6}"


def data_lines(found: Comparison, *, everything: bool) -> Iterator[str]:
    """Pictures and objects: how many there are, and what became of them."""
    data = found.data
    if data is None:
        if not found.data_alike:
            known = "it differs; " if found.data_alike is False else ""
            yield f"Data: {known}a side comes without its dataset, so nothing more can be told"
        return
    if data.is_empty:
        yield "Data: the same pictures with the same objects, in other files"
        return
    sizes = " -> ".join(
        ", ".join(f"{number} {split}" for split, number in side.items()) for side in data.pictures
    )
    yield f"Data: pictures {sizes}, told apart by {data.told_by}"
    yield from wrapped(", ".join(_happened(data)), 2)
    yield from _objects(data, everything=everything)
    lists = {
        "added": data.added,
        "removed": data.removed,
        "relabelled": data.relabelled,
        "moved": [f"{was} to {now}" for was, now in data.moved],
    }
    for what, names in lists.items():
        if names:
            text = f"  {what}: {', '.join(names)}"
            yield text if everything else cut(text)
    if data.told_by == BY_NAME:
        yield "  what pictures show was not compared: --all reads them"


def _happened(data: PictureChanges) -> Iterator[str]:
    said = [
        f"{len(names)} {what} ({_splits(names)})"
        for what, names in (
            ("added", data.added),
            ("removed", data.removed),
            ("relabelled", data.relabelled),
        )
        if names
    ]
    counts = {"moved to another split": len(data.moved), "renamed": len(data.renamed)}
    said += [f"{number} {what}" for what, number in counts.items() if number]
    yield from said or ["the same pictures, and other classes"]
    if data.replaced:
        yield f"under {data.replaced} names another picture than before"


def _splits(names: Sequence[str]) -> str:
    """Name the splits of pictures, which are in front of their names: val matters most."""
    counts = Counter(name.partition("/")[0] for name in names)
    return ", ".join(f"{counts[each]} {each}" if len(counts) > 1 else each for each in counts)


def wrapped(text: str, indent: int) -> list[str]:
    """A sentence in lines of at most 80 columns; a longer word stays whole."""
    margin = " " * indent
    return textwrap.wrap(
        text, WIDTH, initial_indent=margin, subsequent_indent=margin, break_long_words=False
    )


def _objects(data: PictureChanges, *, everything: bool) -> Iterator[str]:
    titles = ("A", "B", "added", "removed", "other class", "other shape")
    yield "  objects       " + "".join(f"{each:>{_wide(each)}}" for each in titles)
    ordered = sorted(data.classes.items(), key=lambda item: (-_touched(item[1]), item[0]))
    shown = ordered if everything else ordered[:FEW_CLASSES]
    for name, each in shown:
        became = sum(each.became.values())
        counts = (each.before, each.after, each.added, each.removed, became, each.reshaped)
        cells = zip(counts, titles, strict=True)
        yield f"    {_name(name)[:12]}" + "".join(f"{n:>{_wide(title)}}" for n, title in cells)
    if len(ordered) > len(shown):
        yield f"    ... and {len(ordered) - len(shown)} classes of which less has changed"


def _wide(title: str) -> int:
    return max(9, len(title) + 2)


def _touched(each: ClassChanges) -> int:
    return each.added + each.removed + each.reshaped + sum(each.became.values())
