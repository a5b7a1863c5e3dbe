"""TOML files, parsed once into frozen typed objects.

A wrong field is answered with its file, its path and what was expected; an unknown key with the
nearest valid one.
"""

import difflib
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from msgspec import inspect

from mmdet_jetson.contract.files import refuse_special
from mmdet_jetson.errors import ConfigError

# A regex as msgspec quotes it -> what to say of a text that does not match.
_rules: dict[str, str] = {}

# A key of an earlier release -> what it is called now.
_former = {"profile.repeats": "samples"}

# msgspec's types -> what a user of TOML calls them, and how they are written there.
_types = {
    "int": ("a whole number", "without quotes and point, as 3"),
    "float": ("a number", "without quotes, as 0.5"),
    "bool": ("true or false", "without quotes, as true"),
    "str": ("text", "in quotes"),
    "array": ("a list", "in brackets, as [...]"),
    "object": ("a table", "with keys of its own, as {key = ...}"),
    "null": ("", ""),
}


def pattern(regex: str, rule: str) -> msgspec.Meta:
    """Limit a text to what ``regex`` matches; ``rule`` is what a user reads otherwise."""
    _rules[repr(regex)] = rule
    return msgspec.Meta(pattern=regex)


EMPTY = '""'
"""How a choice of nothing is written."""
Name = Annotated[
    str,
    pattern(
        r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,47}$",
        "a name has letters, digits, '_', '-' and '.' only, at most 48 of them",
    ),
]
Positive = Annotated[int, msgspec.Meta(ge=1)]
T = TypeVar("T")


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of a configuration file."""


def read_toml(path: Path, hint: str = "") -> dict[str, object]:
    """Parse one TOML file; ``hint`` is what to try where it does not exist.

    Raises:
        ConfigError: it does not exist, is not UTF-8 or is not TOML.
    """
    try:
        refuse_special(path)
        return msgspec.toml.decode(path.read_bytes(), type=dict[str, object])
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file", hint) from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}", hint) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


def flatten(table: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Turn nested tables into dotted keys: ``{"a": {"b": 1}}`` becomes ``{"a.b": 1}``.

    What a key adds by a ``+`` before it stays whole.
    """
    flat: dict[str, object] = {}
    for key, value in table.items():
        if isinstance(value, Mapping) and value and not key.startswith("+"):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def convert(
    raw: object, kind: type[T], path: Path, name: str = "", assigned: Sequence[str] = ()
) -> T:
    """Turn parsed TOML into a section; ``assigned`` is what `overridden` changed in it.

    Raises:
        ConfigError: a field is wrong or unknown; names file, or the assignment, and field.
    """
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        told, hint = _explain(str(error), raw, kind, name)
        by = [each for each in assigned if _is_about(each, told)]
        where = f"--set {by[-1]}" if by else str(path)
        raise ConfigError(f"{where}: {told}", hint) from error


def _is_about(assignment: str, told: str) -> bool:
    """Whether an assignment is what a sentence, which names its field, complains of."""
    key = re.escape(assignment.partition("=")[0].strip())
    return re.match(rf"(unknown key ')?{key}([.:'\[]|$)", told) is not None


def _explain(message: str, raw: object, kind: type, name: str) -> tuple[str, str]:
    """Turn msgspec's message into one that starts with the field, and a hint if that says none."""
    text, _, where = message.partition(" - at `$")
    inside = where.rstrip("`").replace("[...]", ".*").lstrip(".")
    field = ".".join(filter(None, (name, _with_key(inside, message, raw, kind))))
    unknown = re.search(r"unknown field `(.+)`", text)
    if unknown:
        key = ".".join(filter(None, (field, unknown[1])))
        if key in _former:
            return f"unknown key {key!r}; it is called {_former[key]!r} now", ""
        return f"unknown key {key!r}; {nearest(unknown[1], _names_at(kind, inside))}", ""
    value = re.search(r"[Ii]nvalid enum value '(.*)'", text)
    if value:
        valid = _names_at(kind, inside)
        # By its letters, "gpu" is nearest to "cpu".
        advice = nearest("cuda" if value[1].lower() == "gpu" else value[1], valid)
        return f"{field}: {value[1]!r} is unknown; {advice}", ""
    missing = re.search(r"missing required field `(.+)`", text)
    if missing:
        key = ".".join(filter(None, (field, missing[1])))
        wanted = _type_at(kind, ".".join(filter(None, (inside, missing[1]))))
        is_table = isinstance(wanted, inspect.StructType)
        return f"{key} is missing", f"add [{key}]" if is_table else f"add {missing[1]} = ..."
    regex = re.search(r"matching regex (.*)", text, re.DOTALL)
    if regex:
        text = _rules[regex[1]]
    if "of length >= 1" in text:
        text = "must not be empty"
    told = (f"{field}: " if field else "") + text[0].lower() + text[1:]
    return re.sub("`(.+?)`", lambda found: _in_words(found[1]), told), _how_to_write(
        text, partial(_type_at, kind, inside)
    )


def _in_words(types: str) -> str:
    """Name msgspec's types, such as ``int | null``, as a person calls them."""
    named = [_types[each][0] if each in _types else each for each in types.split(" | ")]
    return " or ".join(filter(None, named))


def _how_to_write(text: str, wanted: Callable[[], inspect.Type]) -> str:
    """Give a hint for a value of another type, range or length."""
    limit = re.search(r"([<>]=) (\S+)$", text)
    if limit:
        return f"set it to {limit[2]} or {'less' if limit[1] == '<=' else 'more'}"
    beyond = re.search(r"([<>]) (\S+)$", text)
    if beyond:
        return f"set it to {'less' if beyond[1] == '<' else 'more'} than {float(beyond[2]):g}"
    length = re.search(r"of length (\d+)", text)
    if length:
        return f"list {length[1]} of them"
    expected = re.match(r"Expected `(\w+)", text)
    if not expected or expected[1] not in _types:
        return ""
    advice = f"write it {_types[expected[1]][1]}"
    least = _least(wanted()) if expected[1] == "int" else 0
    return advice if least <= 3 else f"{advice.removesuffix(' 3')} {least}, which is the least"


def _least(wanted: inspect.Type) -> int:
    """The least whole number that a field takes, as far as it has one."""
    return (wanted.ge if isinstance(wanted, inspect.IntType) else None) or 0


def _with_key(field: str, message: str, raw: object, kind: type) -> str:
    """Put a key in place of the ``*`` in a path: the one that fails alone as all together do."""
    before, star, after = field.partition(".*")
    table = raw
    for part in before.split(".") if star else ():
        table = table.get(part) if isinstance(table, dict) else None
    if not (star and isinstance(table, dict)):
        return field
    entries = dict(table)
    for key, value in entries.items():
        table.clear()
        table[key] = value
        try:
            msgspec.convert(raw, kind)
        except msgspec.ValidationError as error:
            if str(error) == message:
                field = f"{before}.{key}{after}"
    table.update(entries)
    return field


def _names_at(kind: type, field: str) -> list[str]:
    """List what may stand at a dotted path: the keys of a table, or the values of a choice.

    ``*`` in the path stands for any key of a mapping.
    """
    found = _type_at(kind, field)
    if isinstance(found, inspect.StructType):
        return [each.encode_name for each in found.fields]
    return [str(value) for value in found.values] if isinstance(found, inspect.LiteralType) else []


def _type_at(kind: type, field: str) -> inspect.Type:
    """What has to stand at a dotted path; ``*`` in it stands for any key of a mapping."""
    found = inspect.type_info(kind)
    for part in re.findall(r"\[\d+\]|[^.[]+", field):
        found = _child(found, part)
    return found


def _child(table: inspect.Type, key: str) -> inspect.Type:
    if isinstance(table, inspect.DictType):
        return table.value_type
    if isinstance(table, inspect.ListType | inspect.VarTupleType):
        return table.item_type
    if isinstance(table, inspect.TupleType):
        return table.item_types[int(key.strip("[]"))]
    if not isinstance(table, inspect.StructType):
        raise TypeError(f"nothing lies inside of {table}")
    (found,) = (each.type for each in table.fields if each.encode_name == key)
    if isinstance(found, inspect.UnionType):  # a field that may be left out: None is the other
        others = [each for each in found.types if not isinstance(each, inspect.NoneType)]
        found = others[0] if len(others) == 1 else found
    return found


def overridden(raw: dict[str, object], assignments: Sequence[str]) -> dict[str, object]:
    """Apply ``dotted.key=value`` assignments in TOML to parsed TOML; strings need no quotes.

    Raises:
        ConfigError: one is not an assignment.
    """
    for assignment in assignments:
        _merge(raw, _parse_assignment(assignment))
    return raw


def _parse_assignment(assignment: str) -> dict[str, object]:
    key, equals, value = assignment.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {assignment}: not an assignment", "write --set train.epochs=3")
    for text in (value, json.dumps(value.strip())):
        try:
            return msgspec.toml.decode(f"{key} = {text}".encode(), type=dict[str, object])
        except msgspec.DecodeError:
            continue
    raise ConfigError(f"--set {assignment}: {key!r} is not a key", "write --set train.epochs=3")


def _merge(base: dict[str, object], extra: Mapping[str, object]) -> None:
    for key, value in extra.items():
        inner = base.get(key)
        if isinstance(value, dict) and isinstance(inner, dict):
            _merge(inner, value)
        else:
            base[key] = value


def check_can_travel(field: str, table: Mapping[str, object]) -> None:
    """Refuse what TOML has words for and JSON has none, in which a stage is told it.

    Raises:
        ConfigError: names the key.
    """
    for key, value in flatten(table).items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"{field}.{key}: {value} cannot be handed to a stage",
                "finite numbers, texts, true, false, and lists and tables of them can",
            ) from error


def check_choice(field: str, value: str, valid: Collection[str]) -> None:
    """Refuse a value that is none of the valid ones.

    Raises:
        ConfigError: names the field, and the nearest that is valid.
    """
    if value not in valid:
        raise ConfigError(f"{field}: {value!r} is unknown; {nearest(value, valid)}")


def nearest(name: str, valid: Collection[str]) -> str:
    """Suggest the nearest valid name, or list them all, as a hint."""
    by_lowercase = {each.lower(): each for each in valid}
    near = difflib.get_close_matches(name.lower(), by_lowercase, n=1, cutoff=0.5)
    return (
        f"did you mean {by_lowercase[near[0]]!r}?"
        if near
        else f"one of: {', '.join(each or EMPTY for each in valid) or 'none yet'}"
    )
