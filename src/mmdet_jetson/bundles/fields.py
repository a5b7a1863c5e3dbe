"""What differs between two configurations, field by field; nothing of them is ever run."""

import ast
import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mmdet_jetson.config.toml import flatten
from mmdet_jetson.planning.python_source import parse

MOST_DIFFERENCES = 2000
"""Lines of a difference of texts that are kept."""


class _Absent:
    """What a field is where there is none."""

    def __repr__(self) -> str:
        return "absent"


ABSENT = _Absent()


@dataclass(frozen=True)
class FieldChange:
    """A field by its dotted name, as it was and as it is; `ABSENT` where it was or is not."""

    name: str
    was: object
    now: object


@dataclass(frozen=True)
class ConfigChanges:
    """What differs between two training configs: fields, or lines where one is no plain data."""

    fields: tuple[FieldChange, ...] = ()
    lines: tuple[str, ...] = ()


def changed_fields(
    was: Mapping[str, object], now: Mapping[str, object], prefix: str = ""
) -> tuple[FieldChange, ...]:
    """Compare two tables; nested ones, and lists of the same length, entry by entry."""
    return tuple(_changes(flatten(dict(was)), flatten(dict(now)), prefix))


def _changes(
    was: Mapping[str, object], now: Mapping[str, object], prefix: str
) -> Iterator[FieldChange]:
    for name in sorted({*was, *now}):
        before, after = was.get(name, ABSENT), now.get(name, ABSENT)
        if _is_filled(name, was, now):
            continue
        full = f"{prefix}{name}"
        if (pairs := _paired(before, after)) is not None:
            for index, pair in enumerate(pairs):
                yield from _entry(f"{full}[{index}]", *pair)
        elif _plain(before) != _plain(after):
            yield FieldChange(full, before, after)


def _is_filled(name: str, was: Mapping[str, object], now: Mapping[str, object]) -> bool:
    """Whether this is a table that is empty or none on one side: the other's entries say it all."""
    for one, other in ((was, now), (now, was)):
        is_empty = name in one and one[name] in ({}, None)
        if is_empty and any(each.startswith(f"{name}.") for each in other):
            return True
    return False


def _entry(name: str, before: object, after: object) -> Iterator[FieldChange]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        yield from _changes(flatten(before), flatten(after), f"{name}.")
    elif _plain(before) != _plain(after):
        yield FieldChange(name, before, after)


def _paired(before: object, after: object) -> list[tuple[object, object]] | None:
    """The entries of two lists as long as each other with tables among them, as a pipeline's steps.

    None for anything else.
    """
    if not (isinstance(before, list | tuple) and isinstance(after, list | tuple)):
        return None
    if len(before) != len(after) or not any(isinstance(e, Mapping) for e in (*before, *after)):
        return None
    return list(zip(before, after, strict=True))


def _plain(value: object) -> str:
    """A value as JSON has it, for which a tuple is a list, and true is not 1."""
    return json.dumps(value, sort_keys=True, default=repr)


def compare_configs(was: str, now: str) -> ConfigChanges:
    """Compare two training configs as MMEngine dumps them: assignments of plain data.

    Where one holds anything else, its lines are compared.
    """
    if was == now:
        return ConfigChanges()
    before, after = fields_of(was), fields_of(now)
    if before is None or after is None:
        lines = difflib.unified_diff(was.splitlines(), now.splitlines(), "A", "B", "", "", 1)
        kept = [line.rstrip("\n") for line in lines]
        return ConfigChanges(lines=tuple(kept[:MOST_DIFFERENCES]))
    return ConfigChanges(changed_fields(before, after))


def fields_of(text: str) -> dict[str, object] | None:
    """The assignments of a config as data; None where one is not plain data."""
    try:
        return {name: _value(node) for name, node in _assignments(parse(text))}
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return None


def _assignments(module: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for statement in module.body:
        if not isinstance(statement, ast.Assign):
            raise TypeError("not an assignment")
        for target in statement.targets:
            if not isinstance(target, ast.Name):
                raise TypeError("not a name")
            yield target.id, statement.value


def _value(node: ast.expr) -> object:
    """Plain data, which may be written ``dict(key=...)``."""
    if isinstance(node, ast.Call):
        is_dict = isinstance(node.func, ast.Name) and node.func.id == "dict"
        if not is_dict or node.args or any(each.arg is None for each in node.keywords):
            raise TypeError("a call")
        return {str(each.arg): _value(each.value) for each in node.keywords}
    if isinstance(node, ast.Dict):
        keys = [ast.literal_eval(key) if key else None for key in node.keys]
        return {str(key): _value(each) for key, each in zip(keys, node.values, strict=True)}
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(each) for each in node.elts]
    value: object = ast.literal_eval(node)
    return value
