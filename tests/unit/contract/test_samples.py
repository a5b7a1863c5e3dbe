"""The early-stopping rule of MLPerf Inference, against its published numbers and by simulation."""

from math import comb
from time import process_time

import numpy as np
import pytest

from mmdet_jetson.contract.samples import (
    CONFIDENCE,
    bounds_of,
    chance_of_at_most,
    fewest_samples,
    is_carried,
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
def test_what_carries_bounds_has_them(percentile: float) -> None:
    for samples in (0, 1, 2, 3, 6, 7, 43, 44, 200, 458, 459):
        low, high = bounds_of(percentile, samples) if samples else (None, None)
        assert is_carried(percentile, samples) == (low is not None, high is not None)
    assert is_carried(percentile, 10**15) == (True, True)  # and takes no time


def test_the_chance_is_the_whole_sum_of_the_binomials_terms() -> None:
    for samples, share in ((200, 0.01), (662, 0.01), (44, 0.1), (300, 0.5)):
        terms = [comb(samples, k) * share**k * (1 - share) ** (samples - k) for k in range(samples)]
        for above in range(0, samples, 7):
            expected = sum(terms[: above + 1])
            assert chance_of_at_most(above, samples, share) == pytest.approx(expected, rel=1e-9)


def test_ten_minutes_of_a_fast_engine_are_judged_at_once() -> None:
    began = process_time()
    low, high = bounds_of(50, 1_000_000)
    assert process_time() - began < 8  # some 20 million terms would take longer
    assert low is not None
    assert high is not None
    # 2.33 deviations of 500 to each side of the middle, by the central limit theorem
    assert low == pytest.approx(498_836, abs=3)
    assert high == pytest.approx(501_163, abs=3)


@pytest.mark.parametrize("percentile", [50.0, 90.0, 99.0])
@pytest.mark.parametrize("samples", [459, 662, 2000])
def test_bounds_hold_as_often_as_they_claim(percentile: float, samples: int) -> None:
    """Of uniform numbers the percentile is known: each bound misses it in 1 of 100 cases at most."""
    drawn = np.sort(np.random.default_rng(7).random((4_000, samples)), axis=1)
    low, high = bounds_of(percentile, samples)
    assert low is not None
    assert high is not None
    too_low = np.mean(drawn[:, high] < percentile / 100)
    too_high = np.mean(drawn[:, low] > percentile / 100)
    assert max(too_low, too_high) <= 1 - CONFIDENCE + 0.005  # of 4,000 draws: three deviations
    # and the next sample inwards would miss more often: they are as tight as they can be
    assert np.mean(drawn[:, high - 1] < percentile / 100) > 1 - CONFIDENCE - 0.005
    assert np.mean(drawn[:, low + 1] > percentile / 100) > 1 - CONFIDENCE - 0.005
