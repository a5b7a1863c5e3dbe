import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdet_jetson.stages.annotations import geometry
from mmdet_jetson.stages.annotations.findings import Defect
from mmdet_jetson.stages.annotations.records import Extent, Outline

sides = st.floats(1, 500)
anywhere = st.floats(-300, 900)
points = st.lists(st.tuples(anywhere, anywhere), min_size=3, max_size=12, unique=True)


def rings(extent: Extent) -> list[list[float]]:
    assert isinstance(extent.segmentation, list)
    return extent.segmentation


@settings(deadline=None)
@given(x=st.floats(0, 500), y=st.floats(0, 500), width=sides, height=sides)
def test_rectangle_has_the_area_of_a_rectangle(
    x: float, y: float, width: float, height: float
) -> None:
    extent = geometry.place([geometry.rectangle(x, y, width, height)], 1000, 1000).extent
    assert extent.area == pytest.approx(width * height, abs=1e-3)
    assert extent.box == pytest.approx((x, y, width, height), abs=2e-3)


@settings(deadline=None)
@given(rx=sides, ry=sides, theta=st.floats(-7, 7))
def test_ellipse_has_the_area_of_its_inscribed_polygon(rx: float, ry: float, theta: float) -> None:
    outline = geometry.ellipse(600, 600, rx, ry, theta)
    area = geometry.place([outline], 1200, 1200).extent.area
    n = geometry.ELLIPSE_POINTS
    assert area == pytest.approx(n / 2 * math.sin(2 * math.pi / n) * rx * ry, rel=1e-4, abs=1e-2)
    assert 0.998 < area / (math.pi * rx * ry) < 1


@settings(deadline=None)
@given(rx=sides, ry=sides, theta=st.floats(-7, 7))
def test_ellipse_is_bounded_as_the_formula_says(rx: float, ry: float, theta: float) -> None:
    # The half width of a turned ellipse is sqrt((rx cos)^2 + (ry sin)^2).
    half_width = math.hypot(rx * math.cos(theta), ry * math.sin(theta))
    _, _, width, _ = geometry.place(
        [geometry.ellipse(600, 600, rx, ry, theta)], 1200, 1200
    ).extent.box
    assert 0.998 * 2 * half_width - 0.01 <= width <= 2 * half_width + 0.01


@settings(deadline=None)
@given(outline=points)
def test_whatever_is_placed_lies_inside_the_picture(outline: list[tuple[float, float]]) -> None:
    try:
        extent = geometry.place([tuple(outline)], 640, 480).extent
    except Defect:
        return
    x, y, width, height = extent.box
    assert x >= 0
    assert y >= 0
    assert x + width <= 640 + 1e-6
    assert y + height <= 480 + 1e-6
    assert 0 < extent.area <= width * height + 0.1
    flat = [value for ring in rings(extent) for value in ring]
    assert (min(flat[0::2]), max(flat[0::2])) == pytest.approx((x, x + width))


def test_an_outline_that_nothing_makes_valid_is_a_defect() -> None:
    tangle = (
        *((0.0, 3.1395893383178207e-108), (0.0, 2.0), (3.0, 0.0), (1.0, 1.0), (0.0, -1.0)),
        *((2.0, 2.0), (0.0, 1.4439692114960526e-21), (4.0, 0.0), (0.0, 0.0), (1.0, -1.0)),
    )
    with pytest.raises(Defect, match="crosses itself in a way that cannot be resolved"):
        geometry.place([tangle], 640, 480)


def test_outline_inside_is_kept_point_by_point() -> None:
    outline = ((1.5, 2), (10, 2), (10, 9.25))
    placement = geometry.place([outline], 20, 20)
    assert placement.extent.segmentation == [[1.5, 2, 10, 2, 10, 9.25]]
    assert (placement.repaired, placement.clipped) == (False, False)


def test_outline_over_the_edge_is_cut_off() -> None:
    placement = geometry.place([geometry.rectangle(-5, 10, 10, 30)], 20, 20)
    assert placement.clipped
    assert placement.extent.area == 50
    assert placement.extent.box == (0, 10, 5, 10)


def test_outline_that_crosses_itself_is_made_valid() -> None:
    bow_tie = ((0, 0), (10, 10), (10, 0), (0, 10))
    placement = geometry.place([bow_tie], 20, 20)
    assert placement.repaired
    assert placement.extent.area == 50
    assert len(rings(placement.extent)) == 2
    assert placement.extent.box == (0, 0, 10, 10)


def test_area_of_overlapping_parts_counts_once() -> None:
    parts = [geometry.rectangle(0, 0, 10, 10), geometry.rectangle(5, 0, 10, 10)]
    assert geometry.place(parts, 20, 20).extent.area == 150


def test_line_that_hangs_off_a_polygon_is_left_out() -> None:
    outline = ((0, 0), (10, 0), (10, 10), (0, 10), (0, 0), (-9, 0))
    extent = geometry.place([((5, 5), (15, 5), (15, 15), (5, 15), (5, 5), (2, 5))], 20, 20).extent
    assert geometry.place([outline], 20, 20).extent.area == 100
    assert extent.area == 100
    assert extent.box == (5, 5, 10, 10)


BAD: dict[str, tuple[Outline, str]] = {
    "line": (((1, 1), (5, 5), (9, 9)), "has no area"),
    "outside-left": (geometry.rectangle(-20, 0, 10, 10), "lies wholly outside its picture"),
    "outside-below": (geometry.rectangle(0, 25, 10, 10), "lies wholly outside its picture"),
    "touching-the-edge": (geometry.rectangle(20, 0, 10, 10), "lies wholly outside its picture"),
    "under-a-pixel": (geometry.rectangle(1, 1, 0.5, 10), "covers less than one pixel"),
    "under-a-pixel-inside": (geometry.rectangle(19.5, 1, 10, 10), "covers less than one pixel"),
}


@pytest.mark.parametrize(("outline", "sentence"), BAD.values(), ids=BAD.keys())
def test_outline_that_leaves_no_box_is_a_defect(outline: Outline, sentence: str) -> None:
    with pytest.raises(Defect, match=sentence):
        geometry.place([outline], 20, 20)
