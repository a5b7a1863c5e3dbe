"""How the page says numbers, sizes, times and facts."""

import math
from typing import Optional

from mmdet_jetson.stages.plain_numbers import plain


def difference(value: Optional[float], reference: Optional[float]) -> str:
    """The signed difference of two figures, with four decimals; a dash where one is missing."""
    apart = math.nan if value is None or reference is None else value - reference
    if not math.isfinite(apart):
        return "–"
    text = f"{apart:+.4f}"
    return "0.0000" if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")


def filesize(size: int) -> str:
    """A number of bytes in the unit that suits it (1 kB = 1000 bytes)."""
    for unit, power in (("GB", 9), ("MB", 6), ("kB", 3)):
        if size >= 0.99995 * 10**power:  # else it would round to 1000.0 of the unit below
            return f"{size / 10**power:.1f} {unit}"
    return f"{size} B"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def fact(value: object) -> str:
    """A fact about a machine or a setting, whatever its type."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(fact(item) for item in value)
    return plain(value) if isinstance(value, float) else str(value)


def count(number: int, noun: str, nouns: str = "") -> str:
    """A number of things: "1 picture", "5,000 pictures"."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def percent(share: Optional[float], digits: int = 1) -> str:
    """A share between 0 and 1 as percent; a dash where there is none."""
    if share is None or not math.isfinite(share):
        return "–"
    return f"{100 * share:.{digits}f}%"


def exact(threshold: Optional[float]) -> str:
    """A score threshold with all its digits: one that is rounded selects other detections."""
    if threshold is None:
        return "–"
    text = f"{threshold:.7f}".rstrip("0")
    return text + "0" * max(0, 4 - len(text))
