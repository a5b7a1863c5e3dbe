"""The early-stopping rule of MLPerf Inference, against its published numbers and by simulation."""

import numpy as np
import pytest

from mmdet_jetson.contract.samples import (
    CONFIDENCE,
    bounds_of,
    chance_of_at_most,
    fewest_samples,
    most_above,
)


@pytest.mark.parametrize(
    ("percentile", "fewest"),
    [(90, (44, 64)), (99, (459, 662)), (99.9, (4603, 6636)), (50, (7, 11))],
)
def test_the_rule_asks_for_the_numbers_of_mlperf(
    percentile: float, fewest: tuple[int, int]
) -> None:
    assert (fewest_samples(percentile, 0), fewest_samples(percentile, 1)) == fewest


@pytest.mark.parametrize("percentile", [50.0, 90.0, 99.0])
@pytest.mark.parametrize("above", [0, 1, 7])
def test_both_directions_agree(percentile: float, above: int) -> None:
    fewest = fewest_samples(percentile, above)
    assert most_above(percentile, fewest) == above
    assert most_above(percentile, fewest - 1) == (above - 1 if above else None)


def test_two_hundred_samples_miss_the_99th_percentile_in_13_of_100_cases() -> None:
    assert chance_of_at_most(0, 200, 0.01) == pytest.approx(0.134, abs=0.001)
    assert most_above(99, 200) is None
    assert chance_of_at_most(5, 5, 0.5) == 1


@pytest.mark.parametrize(("samples", "bounds"), [(6, (None, None)), (7, (0, 6)), (200, (83, 116))])
def test_bounds_of_the_median(samples: int, bounds: tuple[int | None, int | None]) -> None:
    assert bounds_of(50, samples) == bounds


@pytest.mark.parametrize("percentile", [50.0, 90.0, 99.0])
@pytest.mark.parametrize("samples", [459, 662, 2000])
def test_bounds_hold_as_often_as_they_claim(percentile: float, samples: int) -> None:
    """Of uniform numbers the percentile is known: each bound misses it in 1 of 100 cases at most."""
    drawn = np.sort(np.random.default_rng(7).random((20_000, samples)), axis=1)
    low, high = bounds_of(percentile, samples)
    assert low is not None
    assert high is not None
    too_low = np.mean(drawn[:, high] < percentile / 100)
    too_high = np.mean(drawn[:, low] > percentile / 100)
    assert max(too_low, too_high) <= 1 - CONFIDENCE + 0.002  # of 20,000 draws: three deviations
    # and the next sample inwards would miss more often: they are as tight as they can be
    assert np.mean(drawn[:, high - 1] < percentile / 100) > 1 - CONFIDENCE - 0.002
    assert np.mean(drawn[:, low + 1] > percentile / 100) > 1 - CONFIDENCE - 0.002
