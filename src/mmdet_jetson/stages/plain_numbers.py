"""How sentences and tables write a number for people, who do not read powers of ten."""

import math
from typing import Optional


def number(value: Optional[float], digits: int = 3) -> str:
    """A figure with a fixed number of decimals; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:.{digits}f}"
    return text if float(text) else text.lstrip("-")


def plain(value: float) -> str:
    """Four digits that count, all before the point and at most six behind it; no power of ten."""
    if abs(value) >= 1000:
        return number(value, 0)
    text = number(float(f"{value:.4g}"), 6)
    return text.rstrip("0").rstrip(".") if "." in text else text
