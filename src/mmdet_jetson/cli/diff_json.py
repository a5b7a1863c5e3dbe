"""All that differs, as JSON can say it."""

import math
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
    if is_dataclass(value) and not isinstance(value, type):
        return _record(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    return {"absent": True} if value is ABSENT else _scalar(value)


def _scalar(value: object) -> object:
    """What JSON has a word for; the rest, infinite numbers among it, as Python writes it."""
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    return value if value is None or isinstance(value, str | int | float) else repr(value)


def _record(value: object) -> dict[str, object]:
    told = {each.name: _plain(getattr(value, each.name)) for each in fields(value)}  # type: ignore[arg-type]
    if isinstance(value, FigureChange):
        told["differences"] = {name: value.difference(name) for name in _figures(value)}
    return told


def _figures(change: FigureChange) -> list[str]:
    sides = (change.was, change.now)
    return sorted({name for side in sides if side for name in side.figures})
