"""Numbers as the gates' sentences and the report's tables write them."""

import pytest

from mmdet_jetson.stages.plain_numbers import number, plain

NAN = float("nan")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0, "0"),
        (6.487e-14, "0"),
        (-6.487e-14, "0"),
        (4e-7, "0"),
        (1e-6, "0.000001"),
        (1e-5, "0.00001"),
        (-0.00002, "-0.00002"),
        (0.00392157, "0.003922"),
        (0.05, "0.05"),
        (0.123456, "0.1235"),
        (2.0, "2"),
        (10, "10"),
        (57.375, "57.38"),
        (100.0, "100"),
        (999.99, "1000"),
        (1234.5, "1234"),
        (12_345_678.9, "12345679"),
        (1e22, "10000000000000000000000"),
        (NAN, "–"),
        (float("inf"), "–"),
    ],
)
def test_no_number_has_a_power_of_ten(value: float, written: str) -> None:
    assert plain(value) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [(None, "–"), (NAN, "–"), (0, "0.000"), (-0.0001, "0.000"), (0.62851, "0.629")],
)
def test_a_figure_has_its_decimals(value: float | None, written: str) -> None:
    assert number(value) == written
