"""All that differs, as JSON can say it."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass

from mmdet_jetson.bundles.comparison import Comparison
from mmdet_jetson.bundles.fields import ABSENT
from mmdet_jetson.bundles.figures import FigureChange


def told(found: Comparison) -> dict[str, object]:
    """Everything of a comparison; a field that was or is not there is null under "absent"."""
    content = _plain(found)
    assert isinstance(content, dict)
    return {"nothing_differs": found.is_empty, **content}


def _plain(value: object) -> object:
    if isinstance(value, FigureChange):
        differences = {name: value.difference(name) for name in _figures(value)}
        return {**_record(value), "differences": differences}
    if is_dataclass(value) and not isinstance(value, type):
        return _record(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    if value is ABSENT:
        return {"absent": True}
    if isinstance(value, float) and value - value != 0:  # infinite or none, which JSON cannot say
        return str(value)
    known = value is None or isinstance(value, str | int | float)
    return value if known else repr(value)


def _record(value: object) -> dict[str, object]:
    return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}  # type: ignore[arg-type]


def _figures(change: FigureChange) -> list[str]:
    sides = (change.was, change.now)
    return sorted({name for side in sides if side for name in side.figures})
