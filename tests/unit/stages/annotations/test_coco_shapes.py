import math

import pytest
from labelled import Json

from mmdet_jetson.stages.annotations import geometry
from mmdet_jetson.stages.annotations.coco_shapes import all_corners, all_fractions, shaped
from mmdet_jetson.stages.annotations.findings import Defect, Findings, LeftOut
from mmdet_jetson.stages.annotations.records import Outline, Region

BOX = [10, 20, 40, 30]
CORNERS = [10, 20, 50, 20, 50, 50, 10, 50]
RECTANGLE: Outline = ((10, 20), (50, 20), (50, 50), (10, 50))


def shape(**raw: object) -> tuple[Region, list[str]]:
    """The shape of an annotation, and the warnings."""
    findings = Findings()
    region = shaped(Region("annotation 1", "kite"), raw, "a.jpg", findings)
    return region, findings.warnings()


@pytest.mark.parametrize(
    "segmentation",
    [
        [CORNERS],
        CORNERS,
        [[10, 20], [50, 20], [50, 50], [10, 50]],
        [[[10, 20], [50, 20], [50, 50], [10, 50]]],
        [CORNERS, []],
    ],
    ids=["rings", "flat", "points", "rings-of-points", "an-empty-ring"],
)
def test_polygons_are_read_however_they_are_nested(segmentation: object) -> None:
    region, warnings = shape(bbox=BOX, segmentation=segmentation)
    assert region.outlines == (RECTANGLE,)
    assert region.stated == RECTANGLE
    assert warnings == []


@pytest.mark.parametrize("segmentation", [None, [], "", [[]], {}])
def test_no_segmentation_is_the_box(segmentation: object) -> None:
    region, warnings = shape(bbox=BOX, segmentation=segmentation)
    assert (region.outlines, region.stated, warnings) == ((RECTANGLE,), None, [])


def test_two_parts_of_two_points_are_not_taken_for_one_polygon() -> None:
    region, warnings = shape(bbox=BOX, segmentation=[[1, 2], [3, 4]])
    assert region.outlines == (RECTANGLE,)
    assert warnings[0].startswith("its segmentation has fewer than three different points, so")


@pytest.mark.parametrize("ring", [[60, 60, 61, 61], [60, 60, 60, 60, 60, 60], [60, 60]])
def test_ring_of_two_points_is_left_out_beside_a_good_one(ring: list[int]) -> None:
    region, warnings = shape(bbox=BOX, segmentation=[CORNERS, ring])
    assert region.outlines == (RECTANGLE,)
    assert warnings == [
        "a ring with fewer than three different points was left out of the segmentation: a.jpg"
    ]


def test_rings_of_two_points_alone_need_a_box() -> None:
    region, warnings = shape(bbox=BOX, segmentation=[[60, 60, 61, 61]])
    assert region.outlines == (RECTANGLE,)
    assert warnings == [
        "its segmentation has fewer than three different points, so its box is used: a.jpg"
    ]
    with pytest.raises(Defect, match="has 2 different points"):
        shape(segmentation=[[60, 60, 61, 61]])


@pytest.mark.parametrize("box", [[50, 50, 0, 30], [50, 50, 30, 0], [50, 50, -3, 3], [0, 0, 0, 0]])
def test_box_without_an_extent_is_left_out_or_its_segmentation_is_used(box: list[int]) -> None:
    with pytest.raises(LeftOut, match="no width or no height, and MMDetection"):
        shape(bbox=box)
    region, warnings = shape(bbox=box, segmentation=[CORNERS])
    assert (region.outlines, region.stated) == ((RECTANGLE,), None)
    assert warnings == ["its box has no width or no height, so its segmentation is used: a.jpg"]


def test_segmentation_needs_no_box() -> None:
    region, warnings = shape(segmentation=[CORNERS])
    assert (region.outlines, region.stated, warnings) == ((RECTANGLE,), None, [])


@pytest.mark.parametrize("degrees", [45, 45.0, "45", -315, 405])
def test_turned_box_becomes_the_box_around_it(degrees: object) -> None:
    region, warnings = shape(bbox=[40, 30, 40, 10], attributes={"rotation": degrees})
    (outline,) = region.outlines
    left, top, right, bottom = geometry.bounds([outline])
    half = 50 / math.sqrt(2) / 2
    assert (left, top, right, bottom) == pytest.approx((60 - half, 35 - half, 60 + half, 35 + half))
    # Clockwise on the screen: the top left corner of a flat box goes up and to the right.
    assert outline[0] == pytest.approx((60 - 15 / math.sqrt(2), 35 - 25 / math.sqrt(2)))
    assert warnings[0].startswith("the box is turned by attributes.rotation, so the upright box")


@pytest.mark.parametrize("attributes", [None, {}, {"rotation": 0.0}, {"rotation": 360}, [], "x"])
def test_box_that_is_not_turned_stays(attributes: object) -> None:
    region, warnings = shape(bbox=BOX, attributes=attributes)
    assert (region.outlines, warnings) == ((RECTANGLE,), [])


@pytest.mark.parametrize("degrees", [True, "left", [], float("nan"), 1e30])
def test_rotation_that_is_nonsense_is_refused(degrees: object) -> None:
    with pytest.raises(Defect, match=r"attributes\.rotation is"):
        shape(bbox=BOX, attributes={"rotation": degrees})


def test_turned_box_with_its_polygon_is_that_polygon() -> None:
    turned = [45, 5, 60, 20, 45, 35, 30, 20]
    region, _ = shape(bbox=BOX, segmentation=[turned], attributes={"rotation": 30})
    assert list(region.outlines) == [((45, 5), (60, 20), (45, 35), (30, 20))]
    assert region.stated is None
    again, warnings = shape(bbox=BOX, segmentation=[CORNERS], attributes={"rotation": 30})
    assert again.outlines == (geometry.turned(RECTANGLE, (30, 35), 30),)
    assert warnings


@pytest.mark.parametrize("area", [0, -1, 0.0])
def test_object_that_mmdetection_would_drop_for_its_area_is_used_with_a_warning(
    area: float,
) -> None:
    _, warnings = shape(bbox=BOX, area=area)
    assert warnings[0].startswith("its area is 0 or less, so MMDetection would leave it out")


@pytest.mark.parametrize("area", [None, "1200", True, 1200, 700.5, float("nan")])
def test_other_areas_do_not_matter(area: object) -> None:
    assert shape(bbox=BOX, area=area)[1] == []


def test_box_that_seems_to_be_two_corners_is_warned_of() -> None:
    assert shape(bbox=[10, 20, 50, 60], area=1600)[1][0].startswith("its area is that of a box")
    assert shape(bbox=[10, 20, 50, 60], area=3000)[1] == []


BAD: dict[str, tuple[Json, str]] = {
    "nothing": ({}, "bbox is missing"),
    "empty": ({"bbox": []}, "its bbox has 0 numbers"),
    "text": ({"bbox": "1,2,3,4"}, 'bbox is "1,2,3,4", not a list'),
    "numbers-as-text": ({"bbox": ["1", "2", "3", "4"]}, 'is "1", not a number'),
    "true": ({"bbox": [True, 2, 3, 4]}, "is true, not a number"),
    "huge": ({"bbox": [1, 2, 3, 10**400]}, "which cannot be a coordinate"),
    "five": ({"bbox": [1, 2, 3, 4, 5]}, "has 5 numbers, not 4"),
    "odd-ring": ({"segmentation": [[1, 2, 3]]}, "has 2 x and 1 y"),
    "mixed": ({"segmentation": [CORNERS, 5]}, r"segmentation\[1\] is 5, not a list"),
    "dict-in-a-list": ({"segmentation": [{"size": [1, 1]}]}, "not a list of numbers"),
    "a-number": ({"segmentation": 5}, "neither polygons nor a mask"),
}


@pytest.mark.parametrize(("raw", "sentence"), BAD.values(), ids=BAD.keys())
def test_shape_that_cannot_be_read_is_one_sentence(raw: Json, sentence: str) -> None:
    with pytest.raises(Defect, match=sentence) as caught:
        shape(**raw)
    assert caught.value.hint


def test_areas_that_all_say_so_tell_corners() -> None:
    corners = {"bbox": [10, 20, 50, 60], "area": 1600}
    box = {"bbox": [10, 20, 40, 40], "area": 1600}
    assert all_corners([corners, corners, {"bbox": [1, 2, 3, 4]}, "x"])
    assert not all_corners([corners])
    assert not all_corners([corners, corners, box])
    assert not all_corners([corners, {**corners, "bbox": ["a", 1, 2, 3]}])
    assert not all_corners([corners, {"bbox": [1, 2, 3, 10**400], "area": 5.0}])
    assert not all_corners([])


def test_boxes_between_0_and_1_are_shares() -> None:
    assert all_fractions([{"bbox": [0.1, 0.2, 0.3, 1.0]}, {"bbox": None}, "x"])
    assert not all_fractions([{"bbox": [0.1, 0.2, 0.3, 1.0]}, {"bbox": [0, 0, 1, 2]}])
    assert not all_fractions([{"bbox": ["a", 0, 0, 0]}])
    assert not all_fractions([])
