"""TOML files, parsed once into frozen typed objects.

A wrong field is answered with its file, its path and what was expected; an unknown key with the
nearest valid one.
"""

import difflib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

import msgspec

from mmdet_jetson.errors import ConfigError

Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,47}$")]
Positive = Annotated[int, msgspec.Meta(ge=1)]
T = TypeVar("T")


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of a configuration file."""


def read_toml(path: Path, hint: str = "name another with --config") -> dict[str, Any]:
    """Parse one TOML file; ``hint`` is what to try where it does not exist.

    Raises:
        ConfigError: it does not exist, is not UTF-8 or is not TOML.
    """
    try:
        parsed: dict[str, Any] = msgspec.toml.decode(path.read_bytes(), type=dict[str, Any])
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file", hint) from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    return parsed


def flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn nested tables into dotted keys: ``{"a": {"b": 1}}`` becomes ``{"a.b": 1}``."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def convert(raw: Any, kind: type[T], path: Path, name: str = "") -> T:
    """Turn parsed TOML into a section.

    Raises:
        ConfigError: a field is wrong or unknown; names file and field.
    """
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {_explain(str(error), kind, name)}") from error


def _explain(message: str, kind: Any, name: str) -> str:
    """Turn msgspec's message into one that starts with the field and names what is valid."""
    text, _, where = message.partition(" - at `$")
    inside = where.rstrip("`").replace("[...]", ".*").lstrip(".")
    field = ".".join(filter(None, (name, inside)))
    unknown = re.search(r"unknown field `(.+)`", text)
    if unknown:
        advice = nearest(unknown[1], _type_at(kind, inside).__struct_encode_fields__)
        return f"unknown key {'.'.join(filter(None, (field, unknown[1])))!r}; {advice}"
    value = re.search(r"[Ii]nvalid enum value '(.*)'", text)
    if value:
        advice = nearest(value[1], get_args(_type_at(kind, inside)))
        return f"{field}: {value[1]!r} is unknown; {advice}"
    if "matching regex" in text:
        text = "a name has letters, digits, '_', '-' and '.' only, at most 48 of them"
    if "of length >= 1" in text:
        text = "must not be empty"
    return (f"{field}: " if field else "") + text[0].lower() + text[1:]


def _type_at(kind: Any, field: str) -> Any:
    """Find the type at a dotted path; ``*`` stands for any key of a mapping."""
    for part in filter(None, field.split(".")):
        if part == "*":
            kind = get_args(kind)[-1]
            continue
        kind = {each.encode_name: each.type for each in msgspec.structs.fields(kind)}[part]
        tables = [t for t in get_args(kind) if hasattr(t, "__struct_fields__")]
        if tables and get_origin(kind) is not dict:
            kind = tables[0]
    return kind


def overridden(raw: dict[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Apply ``dotted.key=value`` assignments in TOML to parsed TOML; a bare word is a string.

    Raises:
        ConfigError: one is not an assignment.
    """
    for assignment in assignments:
        _merge(raw, _parse_assignment(assignment))
    return raw


def _parse_assignment(assignment: str) -> dict[str, Any]:
    key, equals, value = assignment.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {assignment}: not an assignment", "write --set train.epochs=3")
    for text in (value, json.dumps(value.strip())):
        try:
            return msgspec.toml.decode(f"{key} = {text}".encode(), type=dict[str, Any])
        except msgspec.DecodeError:
            continue
    raise ConfigError(f"--set {assignment}: {key!r} is not a key", "write --set train.epochs=3")


def _merge(base: dict[str, Any], extra: Mapping[str, Any]) -> None:
    for key, value in extra.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value


def check_choice(field: str, value: str, valid: Collection[str]) -> None:
    """Refuse a value that is none of the valid ones.

    Raises:
        ConfigError: names the field, and the nearest that is valid.
    """
    if value not in valid:
        raise ConfigError(f"{field}: {value!r} is unknown; {nearest(value, valid)}")


def nearest(name: str, valid: Collection[str]) -> str:
    """Name the nearest valid word, or list them all, as a hint."""
    near = difflib.get_close_matches(name, list(valid), n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"one of: {', '.join(valid) or 'none yet'}"
