"""How many timed samples a percentile needs: the early-stopping rule of MLPerf Inference.

A latency is claimed as a percentile where so few samples lie above it that, were the true
percentile higher, this would happen with a chance of at most 1 - `CONFIDENCE`. The rule, and its
confidence of 0.99, are from the MLPerf Inference rules, appendix "Early Stopping Criterion"; for a
99th percentile it asks for 459 samples if none lies above, and for 662 if one does. Like them it
takes samples to be independent of each other.
"""

from math import exp, lgamma, log
from typing import Callable, Optional, Tuple

CONFIDENCE = 0.99
PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0}
"""Those that a profile tells, by their names in it."""


def chance_of_at_most(above: int, samples: int, share: float) -> float:
    """Give the probability that at most ``above`` of independent ``samples`` exceed a level.

    ``share`` is the probability that one does: the binomial's cumulative distribution function.
    """
    if above >= samples:
        return 1.0
    logs = lgamma(samples + 1)
    terms = (
        logs - lgamma(k + 1) - lgamma(samples - k + 1) + k * log(share)
        + (samples - k) * log(1 - share)
        for k in range(above + 1)
    )  # fmt: skip
    return min(1.0, sum(exp(term) for term in terms))


def fewest_samples(percentile: float, above: int) -> int:
    """Give the fewest samples for a percentile (0 to 100) of which ``above`` may lie above it."""
    share = 1 - percentile / 100

    def enough(samples: int) -> bool:
        return chance_of_at_most(above, samples, share) <= 1 - CONFIDENCE

    most = 2 * (above + 1)
    while not enough(most):
        most *= 2
    return _first(enough, above + 1, most)


def most_above(percentile: float, samples: int) -> Optional[int]:
    """Give how many of ``samples`` may lie above a claimed percentile; None for too few samples."""
    share = 1 - percentile / 100

    def too_many(above: int) -> bool:
        return chance_of_at_most(above, samples, share) > 1 - CONFIDENCE

    first = _first(too_many, 0, samples)
    return first - 1 if first else None


def bounds_of(percentile: float, samples: int) -> Tuple[Optional[int], Optional[int]]:
    """Tell which of sorted ``samples``, counted from 0, bound a percentile from below and above.

    Each does with a confidence of `CONFIDENCE`; None where no sample does.
    """
    share = 1 - percentile / 100
    above = most_above(percentile, samples)
    # Nearly always at most that many lie above the percentile, so the next one below does not.
    nearly_always = _first(
        lambda many: chance_of_at_most(many, samples, share) >= CONFIDENCE, 0, samples
    )
    low = samples - 1 - nearly_always if nearly_always < samples else None
    return low, None if above is None else samples - 1 - above


def _first(holds: Callable[[int], bool], least: int, most: int) -> int:
    """Give the first number from ``least`` on for which a condition holds, as it does from there.

    It is taken to hold for ``most`` without being asked.
    """
    while least < most:
        middle = (least + most) // 2
        if holds(middle):
            most = middle
        else:
            least = middle + 1
    return most
