"""The text of a channel file: TOML that a person reads in a pull request, a block a record.

A file of 1,000 records takes Python's TOML parser a second. So the lines that this module itself
writes are read by their form, each value as the JSON that it is, too; a file with any other line is
read as TOML, as a whole.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, TypeGuard

import msgspec

from mmdet_jetson.promotion.records import Record

_HEADER = """\
# Channel {name}: what has been in it, the newest last. Written by `invoke promote` and
# `invoke rollback`; every record names the one before it, so a change by hand is found.
"""
_RECORD, _OVERRIDE = "[[record]]", "[[record.overrides]]"
_BLOCKS = re.compile(r"^\[\[record\]\]$", re.MULTILINE)
_TEXT = r'"(?:[^"\\\x00-\x1f\x7f]|\\["\\bfnrt]|\\u(?!d[89a-f])[0-9a-f]{4})*"'
_NUMBER = "(?:0|[1-9][0-9]{0,17})"
_LINE = re.compile(rf"([a-z]+) = ({_TEXT}|{_NUMBER}|true|false|\[{_NUMBER}(?:, {_NUMBER})*\])")
Table = dict[str, Any]


def header_of(name: str) -> str:
    """How the file of a channel begins."""
    return _HEADER.format(name=name)


def text_of(record: Record) -> str:
    """The block of a record, as it is appended to the file."""
    table = msgspec.to_builtins(record)
    overrides = table.pop("overrides", [])
    lines = ["", _RECORD, *_lines(table)]
    for override in overrides:
        lines += ["", _OVERRIDE, *_lines(override)]
    return "\n".join(lines) + "\n"


def tables_in(text: str) -> object:
    """What the file says: the value of its ``record``.

    Raises:
        msgspec.DecodeError: it is no TOML.
        ValueError: it has something besides records.
    """
    tables = _as_written(text)
    if tables is not None:
        return tables
    found = msgspec.toml.decode(text, type=dict[str, object])
    if others := [key for key in found if key != "record"]:
        raise ValueError(f"it has {others[0]!r} besides records")
    return found.get("record", [])


def _lines(table: Table) -> Iterator[str]:
    for key, value in table.items():
        yield f"{key} = {_value(value)}"


def _value(value: object) -> str:
    """A value that means the same in TOML and in JSON, and shows all that is in it.

    A letter that is not seen, or turns others around, would be read past in a review.
    """
    written = json.dumps(value, ensure_ascii=False)
    return "".join(each if each.isprintable() else _escaped(each) for each in written)


def _escaped(letter: str) -> str:
    return f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else f"\\U{ord(letter):08x}"


def _as_written(text: str) -> list[Table] | None:
    """The records of a file in the very form that `text_of` has; None for one in any other."""
    head, *blocks = _BLOCKS.split(text)
    if any(line[:1] not in ("", "#") or not line.isprintable() for line in head.split("\n")):
        return None
    tables = [_table(block) for block in blocks]
    return tables if _all_there(tables) else None


def _all_there(tables: list[Table | None]) -> TypeGuard[list[Table]]:
    return None not in tables


def _table(block: str) -> Table | None:
    record: Table = {}
    table = record
    for line in block.split("\n"):
        match = _LINE.fullmatch(line)
        if match and match[1] not in table and match[1] != "overrides":
            table[match[1]] = msgspec.json.decode(match[2])
        elif line == _OVERRIDE:
            table = {}
            record.setdefault("overrides", []).append(table)
        elif line:
            return None
    return record
