"""What is claimed of times: percentiles that there are enough of them for, and their bounds."""

from typing import Dict, Optional

import numpy as np

from mmdet_jetson.contract.report import Bounds, Spread
from mmdet_jetson.contract.samples import PERCENTILES, bounds_of, most_above

QUARTERS = 4


def drift(milliseconds: np.ndarray) -> Optional[float]:
    """Compare the medians of the last and the first quarter; None for fewer than four samples."""
    quarter = len(milliseconds) // QUARTERS
    if not quarter:
        return None
    return float(np.median(milliseconds[-quarter:]) / np.median(milliseconds[:quarter]) - 1)


def spread(milliseconds: np.ndarray) -> Spread:
    """Give mean and percentiles of times, but for those that so few times do not carry."""
    found = {
        name: float(np.percentile(milliseconds, percentile))
        for name, percentile in PERCENTILES.items()
        if name == "p50" or most_above(percentile, len(milliseconds)) is not None
    }
    return Spread(
        mean=float(milliseconds.mean()),
        p50=found["p50"],
        p90=found.get("p90"),
        p99=found.get("p99"),
    )


def bounds(milliseconds: np.ndarray) -> Dict[str, Bounds]:
    """Give between which times each percentile lies, as far as these times carry it."""
    ordered = np.sort(milliseconds).tolist()
    found = {}
    for name, percentile in PERCENTILES.items():
        low, high = bounds_of(percentile, len(ordered))
        found[name] = Bounds(
            None if low is None else ordered[low], None if high is None else ordered[high]
        )
    return found
