import numpy as np
import pytest

from mmdet_jetson.contract.report import Bounds, Spread
from mmdet_jetson.stages.inference.percentiles import bounds, drift, spread


def test_percentiles_are_those_of_all_samples() -> None:
    assert spread(np.arange(1.0, 502.0)) == Spread(mean=251, p50=251, p90=451, p99=496)


@pytest.mark.parametrize(
    ("samples", "p90", "p99"), [(43, 0, 0), (44, 1, 0), (458, 1, 0), (459, 1, 1)]
)
def test_a_percentile_is_told_where_there_are_samples_for_it(
    samples: int, p90: int, p99: int
) -> None:
    found = spread(np.arange(1.0, samples + 1))
    assert (found.p90 is not None, found.p99 is not None) == (bool(p90), bool(p99))


def test_bounds_are_samples() -> None:
    found = bounds(np.arange(662.0)[::-1])
    assert found["p99"] == Bounds(648, 660)  # one lies above, as the rule lets it
    assert found["p90"] == Bounds(576, 613)
    assert found["p50"] == Bounds(300, 361)


def test_too_few_samples_bound_a_percentile_from_below_alone() -> None:
    assert bounds(np.arange(200.0))["p99"] == Bounds(193, None)


def test_drift_compares_the_last_quarter_with_the_first() -> None:
    times = np.concatenate([[10.0] * 50, [99.0] * 100, [12.0] * 50])
    assert drift(times) == pytest.approx(0.2)
    assert drift(times[::-1]) == pytest.approx(-1 / 6)
    assert drift(np.array([1.0, 2.0, 3.0])) is None
