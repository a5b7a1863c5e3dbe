from pathlib import Path

import pytest
from labelled import HEIGHT, WIDTH, noise

from mmdet_jetson.stages.annotations import geometry
from mmdet_jetson.stages.annotations.examples import Split, examine
from mmdet_jetson.stages.annotations.findings import Findings
from mmdet_jetson.stages.annotations.records import Example, Record, Region
from mmdet_jetson.stages.errors import StageError

Box = tuple[float, float, float, float]


def box(*values: float) -> Region:
    return Region("region 1", "kite", (geometry.rectangle(*values),))


def examined(folder: Path, *records: Record) -> tuple[list[Example], list[str]]:
    """The examples of records over the pictures of a folder, and the warnings."""
    findings = Findings()
    split = Split("train", folder, folder / "a.json", "a.json")
    examples = examine(split, records, findings, lambda: None)
    findings.raise_defects()
    return examples, findings.warnings()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    noise(tmp_path / "p.png", 1)
    return tmp_path


def stated(shape: Box, beside: Box) -> Region:
    region = box(*shape)
    return Region("region 1", "kite", region.outlines, stated=geometry.rectangle(*beside))


AGREE: list[tuple[Box, Box]] = [
    ((4, 6, 10, 8), (4, 6, 10, 8)),
    ((4, 6, 10, 8), (3, 5, 13, 11)),
    ((-5, 6, 10, 8), (0, 6, 5, 8)),
]


@pytest.mark.parametrize(("shape", "beside"), AGREE)
def test_shape_is_used_where_its_box_agrees(folder: Path, shape: Box, beside: Box) -> None:
    examples, warnings = examined(folder, Record("p.png", (stated(shape, beside),)))
    x, y, width, height = shape
    left = max(x, 0)
    assert examples[0].annotations[0].extent.box == (left, y, x + width - left, height)
    assert not any("differs" in warning for warning in warnings)


def test_box_is_used_where_its_shape_differs(folder: Path) -> None:
    """MMDetection trains on the box, which may hold what the shape leaves out."""
    region = stated((4, 6, 10, 8), (4, 6, 20, 8))
    examples, warnings = examined(folder, Record("p.png", (region,)))
    extent = examples[0].annotations[0].extent
    assert (extent.box, extent.area) == ((4, 6, 20, 8), 160)
    assert extent.segmentation == [[4, 6, 24, 6, 24, 14, 4, 14]]
    assert warnings[0].startswith("its box differs from its segmentation by more than two pixels")


def test_the_sign_of_a_zero_makes_no_other_outline(folder: Path) -> None:
    one = Region("region 1", "kite", (((-0.0, 0.0), (9.0, 0.0), (9.0, 8.5), (-0.0, 8.0)),))
    other = Region("region 2", "kite", (((0.0, -0.0), (9.0, 0.0), (9.0, 8.5), (0.0, 8.0)),))
    examples, warnings = examined(folder, Record("p.png", (one, other)))
    assert len(examples[0].annotations) == 1
    assert "repeats another region" in warnings[0]


def test_two_percent_of_a_large_box_are_no_difference(tmp_path: Path) -> None:
    noise(tmp_path / "p.png", 1, (400, 300))
    near = stated((10, 10, 300, 200), (10, 10, 305, 200))
    _, warnings = examined(tmp_path, Record("p.png", (near,)))
    assert warnings == []
    far = stated((10, 10, 300, 200), (10, 10, 308, 200))
    assert "differs" in examined(tmp_path, Record("p.png", (far,)))[1][0]


def test_the_one_of_shape_and_box_that_is_in_the_picture_is_used(folder: Path) -> None:
    inside, outside = (4.0, 6.0, 10.0, 8.0), (400.0, 6.0, 10.0, 8.0)
    examples, warnings = examined(folder, Record("p.png", (stated(outside, inside),)))
    assert examples[0].annotations[0].extent.box == inside
    assert warnings[0].startswith("its box is used, as its segmentation is broken")
    examples, warnings = examined(folder, Record("p.png", (stated(inside, outside),)))
    assert examples[0].annotations[0].extent.box == inside
    assert warnings[0].startswith("its segmentation is used, as its box has no area")


def test_mask_of_another_size_gives_way_to_the_box(folder: Path) -> None:
    region = Region(
        "1", "kite", mask={"size": [3, 4], "counts": [12]}, stated=geometry.rectangle(4, 6, 10, 8)
    )
    examples, warnings = examined(folder, Record("p.png", (region,)))
    assert examples[0].annotations[0].extent.box == pytest.approx((4, 6, 10, 8))
    assert len(warnings) == 1


def test_region_under_a_pixel_is_left_out_and_all_of_them_are_refused(folder: Path) -> None:
    tiny = box(4, 6, 0.5, 8)
    examples, warnings = examined(folder, Record("p.png", (tiny, box(4, 6, 10, 8))))
    assert len(examples[0].annotations) == 1
    assert warnings == [
        "left out, as it covers less than one pixel of the picture in width or height, and "
        "MMDetection learns none of that kind: a.json, p.png, region 1"
    ]
    with pytest.raises(StageError, match="all objects of the train split are left out: left out"):
        examined(folder, Record("p.png", (tiny,)))


def test_crowds_alone_are_refused(folder: Path) -> None:
    crowd = Region("region 1", "kite", (geometry.rectangle(4, 6, 10, 8),), crowd=True)
    with pytest.raises(StageError, match="are crowds, of which nothing is learnt"):
        examined(folder, Record("p.png", (crowd,)))


def test_crowds_are_told_of(folder: Path) -> None:
    crowd = Region("region 2", "kite", (geometry.rectangle(4, 6, 10, 8),), crowd=True)
    examples, warnings = examined(folder, Record("p.png", (box(9, 6, 10, 8), crowd)))
    assert [each.crowd for each in examples[0].annotations] == [False, True]
    (warning,) = warnings
    assert warning.startswith("marked as a crowd (iscrowd), so it is not learnt")
    assert warning.endswith("a.json, p.png, region 2")


def test_name_that_is_found_by_its_end_is_warned_of(folder: Path) -> None:
    examples, warnings = examined(folder, Record("images\\p.png", (box(4, 6, 10, 8),)))
    assert examples[0].name == "p.png"
    assert warnings == ["found by the end of its path alone: a.json, images\\p.png is p.png"]


def test_two_entries_that_may_be_one_picture_are_refused(folder: Path) -> None:
    """A camera's pictures that are not there must not be taken for another's of their names."""
    for other in ("p.png", "cam1/p.png"):
        with pytest.raises(StageError, match=r'"p\.png" ends like it, but so does another entry'):
            examined(folder, Record(other, (box(4, 6, 10, 8),)), Record("cam2/p.png", ()))


def test_picture_listed_twice_is_merged_where_nothing_is_in_doubt(folder: Path) -> None:
    full, other, empty = (box(4, 6, 10, 8),), (box(5, 6, 10, 8),), ()
    same = (Region("region 7", "kite", full[0].outlines),)
    for one, two in ((full, empty), (empty, full), (full, same)):
        examples, warnings = examined(folder, Record("p.png", one), Record("p.png", two))
        assert len(examples[0].annotations) == 1
        assert warnings[0] == (
            "listed twice, with the same regions or with none in one entry: a.json, p.png"
        )
        repeated = "left out, as it repeats another region: a.json, p.png, region 7"
        assert warnings[1:] == [repeated] * (two == same)
    with pytest.raises(StageError, match="the picture is listed twice"):
        examined(folder, Record("p.png", full), Record("p.png", other))


def test_size_of_another_picture_is_refused(folder: Path) -> None:
    record = Record("p.png", (box(4, 6, 10, 8),), (WIDTH, HEIGHT + 1))
    with pytest.raises(StageError, match=f"has {WIDTH} × {HEIGHT}"):
        examined(folder, record)
