"""How many timed samples a percentile needs: the early-stopping rule of MLPerf Inference.

A latency is claimed as a percentile where so few samples lie above it that, were the true percentile
higher, this would happen with a chance of at most 1 - `CONFIDENCE`. The rule, and its confidence of
0.99, are from the MLPerf Inference rules, appendix "Early Stopping Criterion"; for a 99th percentile
it asks for 459 samples if none lies above, and for 662 if one does.
"""

from math import exp, lgamma, log
from typing import Optional

CONFIDENCE = 0.99


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
    raise NotImplementedError


def most_above(percentile: float, samples: int) -> Optional[int]:
    """Give how many of ``samples`` may lie above a claimed percentile; None for too few samples."""
    raise NotImplementedError
