"""What differs between two trainings, runs or bundles, the most important first."""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from rich.console import Console

from mmdet_jetson.bundles.comparison import FROM_OUTSIDE, Comparison, Named, compare
from mmdet_jetson.bundles.fields import ABSENT, FieldChange
from mmdet_jetson.bundles.ledger import when
from mmdet_jetson.bundles.trainings import side
from mmdet_jetson.cli.diff_json import told
from mmdet_jetson.cli.diff_tables import data_lines, engine_lines, figure_lines
from mmdet_jetson.cli.part_lines import cut, printable
from mmdet_jetson.cli.upkeep import existing_store

FEW = {"parameters": 8, "fields": 6, "commits": 4, "packages": 6}
"""How many lines of each a first screen has."""


def diff(before: str, after: str, *, as_json: bool = False, everything: bool = False) -> None:
    """Print what differs between two trainings, runs or bundles of the store.

    ``everything`` shortens no list, and reads pictures of large datasets, too.

    Raises:
        UserError: there is no such thing, or a part of it cannot be read.
    """
    store = existing_store()
    found = compare(side(store, before), side(store, after), read_all=everything)
    console = Console(emoji=False)
    if as_json:
        console.out(json.dumps(told(found), indent=1, allow_nan=False), highlight=False)
        return
    for line in lines(found, everything=everything):
        style = "bold" if line and not line.startswith(" ") else None
        console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def lines(found: Comparison, *, everything: bool = False) -> Iterator[str]:
    """Say it in lines of at most 80 columns, unless a name is longer; safe for a terminal."""
    for line in _lines(found, everything=everything):
        yield printable(line)


def _lines(found: Comparison, *, everything: bool) -> Iterator[str]:
    if found.before.digest == found.after.digest and found.is_empty:
        yield f"{found.before.name} and {found.after.name} are the same: {_short(found.before)}"
        return
    yield f"A  {_side(found.before)}"
    yield f"B  {_side(found.after)}"
    if found.is_empty:
        yield _nothing(found)
        return
    yield _summary(found)
    yield from figure_lines(found.figures, everything=everything)
    yield from engine_lines(found.engines)
    yield from data_lines(found, everything=everything)
    yield from _config(found, everything=everything)
    yield from _code(found, everything=everything)
    yield from _environments(found, everything=everything)
    for letter, names in (("A", found.only_before), ("B", found.only_after)):
        if names:
            yield cut(f"Only in {letter}: {', '.join(names)}")


def _nothing(found: Comparison) -> str:
    """Say that all is the same, and whether even the weights are, which are seldom."""
    if "checkpoint" in found.same_parts:
        return "Nothing differs: both are of the same training."
    return "Nothing differs but when they were made: data, config, code, packages, figures."


def _short(named: Named) -> str:
    return named.digest.removeprefix("sha256:")[:12]


def _side(named: Named) -> str:
    made = when(named.created)
    was = f"run {named.run}" if named.run and named.run != named.name else ""
    digest = _short(named) if _short(named) != named.name else ""
    verb = {"training": "trained", "model": "taken", "bundle": "bundle, trained"}.get(
        named.kind, "made"
    )
    verdict = f"verdict {named.verdict}" if named.verdict else ""
    return "  ".join(
        filter(
            None,
            (named.name, digest, f"{verb} {made:%Y-%m-%d %H:%M}" if made else "", was, verdict),
        )
    )


def _summary(found: Comparison) -> str:
    """Name what kinds of things differ, in one line."""
    fields = found.config.fields or found.config.lines
    inputs = [each for each in found.inputs if each.what != FROM_OUTSIDE["source"]]
    kinds = {
        "data": found.data_alike is False,
        "config": found.parameters or fields or inputs,
        "code": found.code.stages,
        "packages": found.environments or found.facts,
    }
    changed = [name for name, differs in kinds.items() if differs]
    same = [name for name, differs in kinds.items() if not differs]
    if not changed:
        return "Data, config, code of the stages and packages are the same."
    rest = f"; the same: {', '.join(same)}" if same else ""
    return f"What differs: {', '.join(changed)}{rest}."


def _config(found: Comparison, *, everything: bool) -> Iterator[str]:
    shown = [f"{_steps(each.steps)}: {_field(each.field)}" for each in found.parameters]
    shown += [f"{each.what}: {_digest(each.was)} -> {_digest(each.now)}" for each in found.inputs]
    if shown:
        yield f"Config and inputs as given: {_count(len(shown), 'difference')}"
        yield from _some(shown, None if everything else FEW["parameters"])
    if found.config.fields:
        yield f"The training's whole config: {_count(len(found.config.fields), 'field')}"
        fields = [_field(each) for each in found.config.fields]
        yield from _some(fields, None if everything else FEW["fields"])
    if found.config.lines:
        yield "The training's whole config, which is no plain data:"
        yield from _some(found.config.lines, None if everything else FEW["fields"])


def _digest(text: str) -> str:
    return text.removeprefix("sha256:")[:12]


def _steps(steps: Sequence[str]) -> str:
    return steps[0] if len(steps) == 1 else f"{steps[0]} and {len(steps) - 1} more steps"


def _field(change: FieldChange) -> str:
    was, now = (_value(each) for each in (change.was, change.now))
    return f"{change.name}: {was} -> {now}"


def _value(value: object) -> str:
    """A value as a person says it; None is what a stage is told of a field that is left out."""
    if value is None or value is ABSENT:
        return "not set"
    return value if isinstance(value, str) and value else repr(value)


def _code(found: Comparison, *, everything: bool) -> Iterator[str]:
    code = found.code
    if code.is_empty:
        return
    was, now = (_commits(each) for each in (code.was, code.now))
    commits = f"{was} -> {now}" if was != now else was
    if not code.stages:
        yield cut(f"Code: {commits}; no stage's source differs")
        return
    yield cut(f"Code: {commits}; other source of {', '.join(code.stages)}")
    if code.added is None or code.dropped is None:
        yield "  this clone does not know both commits, so it cannot list what lies between"
        return
    listed = [*code.added, *(f"not in B: {each}" for each in code.dropped)]
    yield from _some(listed, None if everything else FEW["commits"])


def _commits(commits: Sequence[str]) -> str:
    """The commit of the training, and how many more there are; "+" is an edited tree."""
    if not commits:
        return "no commit"
    first = f"{commits[0][:10]}{'+' if commits[0].endswith('+') else ''}"
    return first if len(commits) == 1 else f"{first} and {len(commits) - 1} more"


def _environments(found: Comparison, *, everything: bool) -> Iterator[str]:
    most = None if everything else FEW["packages"]
    told_of: set[str] = set()
    for each in found.environments:
        parts = f"{', '.join(each.was) or 'none'} -> {', '.join(each.now) or 'none'}"
        yield cut(f"Environment {each.name}: {parts}")
        yield cut(f"  of {', '.join(each.stages)}")
        packages = each.packages or {}
        told_of |= packages.keys()
        yield from _some([f"{n}: {was} -> {now}" for n, (was, now) in packages.items()], most)
        if each.packages is None:
            yield "  its packages are not known here: no lock file of that digest is at hand"
    facts = [each for each in found.facts if each.name not in told_of]
    if facts:
        yield "What stages told of where they ran:"
        told = [f"{each.name}: {each.was} -> {each.now} ({each.stages[0]})" for each in facts]
        yield from _some(told, most)


def _count(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number} {what}s"


def _some(shown: Iterable[str], most: int | None) -> Iterator[str]:
    """The first lines, indented, and how many more there are."""
    everything = list(shown)
    for line in islice(everything, most):
        yield cut(f"  {line}") if most else f"  {line}"
    if most and len(everything) > most:
        yield f"  ... and {len(everything) - most} more: --all, --json"
