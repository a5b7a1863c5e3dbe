"""Records between JSON and frozen dataclasses, strictly: a key too many or too few is an error.

The host side has msgspec for this; an environment has nothing but its own packages.
"""

import json
from dataclasses import MISSING, asdict, fields, is_dataclass
from math import isfinite
from pathlib import Path
from typing import Dict, List, Mapping, Sequence, Type, TypeVar, Union, cast, get_type_hints

from mmdet_jetson.contract.files import write_whole

T = TypeVar("T")


class ContractError(ValueError):
    """What arrived is not what was agreed upon, as when the two sides are of different versions."""


def encode(record: object) -> Dict[str, object]:
    """Turn a dataclass into what JSON can say; tuples become lists only when it is written."""
    if not is_dataclass(record) or isinstance(record, type):
        raise TypeError(f"not a record: {record!r}")
    return asdict(record)


def write_record(path: Path, record: object) -> None:
    """Write a dataclass as a JSON file, all of it or nothing.

    Raises:
        ContractError: it holds a number that is infinite or none, which JSON has no word for.
    """
    try:
        content = json.dumps(encode(record), indent=1, sort_keys=True, allow_nan=False)
    except ValueError as error:
        raise ContractError(f"{path.name} cannot be written as JSON: {error}") from error
    write_whole(path, content.encode())


def read_record(path: Path, kind: Type[T]) -> T:
    """Read a JSON file as a dataclass.

    Raises:
        ContractError: it is not JSON, or not such a record; says where.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ContractError(f"{path.name} is not JSON: {error}") from error
    return decode(kind, content, path.name)


def decode(kind: Type[T], value: object, where: str = "record") -> T:
    """Turn what JSON says into a dataclass, with all that is in it.

    Raises:
        ContractError: it is something else; names the place.
    """
    return cast("T", _decoded(kind, value, where))


def _decoded(kind: object, value: object, where: str) -> object:
    """Find out what a type asks for; ``kind`` is a type or one of the constructs of `typing`."""
    if kind is object:
        return value
    if is_dataclass(kind):
        return _record(cast("type", kind), value, where)
    origin: object = getattr(kind, "__origin__", None)
    arguments: Sequence[object] = getattr(kind, "__args__", ())
    if origin is Union:
        return _optional(arguments, value, where)
    if origin is tuple:
        return _tuple(arguments, value, where)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(arguments[1], value, where)
    return _scalar(cast("type", kind), value, where)


def _record(kind: type, value: object, where: str) -> object:
    if not isinstance(value, dict):
        raise ContractError(f"{where}: not an object: {value!r}")
    hints = get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}
    unknown = sorted(set(value) - set(known))
    if unknown:
        raise ContractError(f"{where}: {kind.__name__} has no {unknown[0]!r}")
    for name, field in known.items():
        needed = field.default is MISSING and field.default_factory is MISSING
        if needed and name not in value:
            raise ContractError(f"{where}: {kind.__name__} needs {name!r}")
    return kind(**{k: _decoded(hints[k], v, f"{where}: {k}") for k, v in value.items()})


def _optional(choices: Sequence[object], value: object, where: str) -> object:
    if value is None and type(None) in choices:
        return None
    reasons: List[str] = []
    for choice in choices:
        if choice is not type(None):
            try:
                return _decoded(choice, value, where)
            except ContractError as error:
                reasons.append(str(error))
    raise ContractError(reasons[0])


def _tuple(kinds: Sequence[object], value: object, where: str) -> object:
    if not isinstance(value, (list, tuple)):
        raise ContractError(f"{where}: not a list: {value!r}")
    if list(kinds[1:]) == [Ellipsis]:
        kinds = [kinds[0]] * len(value)
    if len(kinds) != len(value):
        raise ContractError(f"{where}: {len(value)} entries, not {len(kinds)}")
    return tuple(_decoded(kind, value[i], f"{where}[{i}]") for i, kind in enumerate(kinds))


def _mapping(kind: object, value: object, where: str) -> object:
    if not isinstance(value, dict):
        raise ContractError(f"{where}: not an object: {value!r}")
    return {str(key): _decoded(kind, each, f"{where}: {key}") for key, each in value.items()}


def _scalar(kind: type, value: object, where: str) -> object:
    if kind is float and type(value) is int:
        try:
            return float(value)
        except OverflowError as error:
            raise ContractError(f"{where}: {error}") from error
    if type(value) is float and not isfinite(value):
        raise ContractError(f"{where}: {value!r} is no number")  # as Python's JSON reads NaN
    if type(value) is not kind:
        raise ContractError(f"{where}: {value!r} is not of type {kind.__name__}")
    return value
