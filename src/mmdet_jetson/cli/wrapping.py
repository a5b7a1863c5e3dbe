"""Long lines at a terminal: at most as wide as that is, and what follows stands further in."""

import re
import shutil
import sys
import textwrap
from collections.abc import Iterable

NARROWEST = 40
"""Columns below which a terminal breaks the lines as well as we could."""
# What stands before a sentence: an indent, with the outcome of a gate or the number of a record.
_BEFORE = re.compile(r" *(?:(?:pass|fail|inconclusive|overridden)  +|\d+  )?")


def fitted(lines: Iterable[str]) -> str:
    """Lines as a terminal shows them best; as they are where a program or a file reads them."""
    width = shutil.get_terminal_size().columns if is_terminal() else 0
    return "\n".join(wrapped(each, width) if width >= NARROWEST else each for each in lines)


def is_terminal() -> bool:
    """Whether somebody looks at what we say."""
    return sys.stdout.isatty()


def wrapped(line: str, width: int) -> str:
    """A line in several of at most ``width`` columns, but for words that are longer by themselves.

    Those are paths and digests, which somebody copies.
    """
    before = _BEFORE.match(line)
    start = len(before[0]) if before else 0
    # What stands under an outcome is a column of its own; any other line goes on a bit further in.
    inside = start if before and before[0].strip() else start + 2
    return "\n".join(
        textwrap.wrap(
            line,
            width,
            subsequent_indent=" " * inside,
            break_long_words=False,
            break_on_hyphens=False,
        )
        or [line]
    )
