from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from labelled import HEIGHT, WIDTH
from PIL import Image
from pycocotools import mask as coco_mask

from mmdet_jetson.stages.annotations import geometry
from mmdet_jetson.stages.annotations.findings import Findings
from mmdet_jetson.stages.annotations.orientation import (
    Listed,
    turned_outline,
    turned_pixels,
    upright_records,
)
from mmdet_jetson.stages.annotations.pictures import Inspection, inspect, upright
from mmdet_jetson.stages.annotations.records import Record, Region
from mmdet_jetson.stages.errors import StageError

STORED = (WIDTH, HEIGHT)  # 40 x 30, which is 30 x 40 upright
ON_ITS_SIDE = (5, 6, 7, 8)


def picture(path: Path, orientation: int) -> Inspection:
    """A picture that is stored 40 pixels wide and 30 high, with a white block in a corner."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[2:8, 4:20] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif)
    return inspect(path)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_outlines_turn_as_opencv_turns_the_picture(tmp_path: Path, orientation: int) -> None:
    found = picture(tmp_path / "a.png", orientation)
    assert (found.orientation, found.stored_size) == (orientation, STORED)
    seen = upright(tmp_path / "a.png")
    assert seen.shape[:2] == (found.height, found.width)
    ys, xs = np.nonzero(seen[:, :, 0])
    turned = turned_outline(geometry.rectangle(4, 2, 16, 6), found)
    assert geometry.bounds([turned]) == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_masks_turn_as_opencv_turns_the_picture(tmp_path: Path, orientation: int) -> None:
    picture(tmp_path / "a.png", orientation)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    stored = cv2.imread(str(tmp_path / "a.png"), flags)
    assert stored is not None
    assert np.array_equal(turned_pixels(stored, orientation), upright(tmp_path / "a.png"))


def listed(
    path: Path, *regions: Region, size: tuple[int, int] = STORED, by: bool = False
) -> dict[str, Listed]:
    return {"a.png": Listed(Record("a.png", regions, size, upright=by), picture(path, 6))}


def box(x: float, y: float, width: float, height: float) -> Region:
    return Region("annotation 1", "kite", (geometry.rectangle(x, y, width, height),))


UPRIGHT_ONLY, STORED_ONLY, EITHER = box(5, 32, 10, 7), box(32, 5, 7, 10), box(5, 5, 10, 12)


def judged(*arguments: object, **options: object) -> tuple[dict[str, Record], Findings]:
    findings = Findings()
    return upright_records(listed(*arguments, **options), "c.json", findings), findings  # type: ignore[arg-type]


def test_regions_that_fit_the_upright_picture_alone_stay(tmp_path: Path) -> None:
    records, findings = judged(tmp_path / "a.png", UPRIGHT_ONLY, EITHER)
    assert records["a.png"] == Record("a.png", (UPRIGHT_ONLY, EITHER), (30, 40))
    (warning,) = findings.warnings()
    assert "EXIF" in warning
    assert "upright picture, as those of the file fit that one only: c.json, a.png" in warning


def test_regions_that_fit_the_stored_picture_alone_turn_with_it(tmp_path: Path) -> None:
    stated = Region("2", "kite", STORED_ONLY.outlines, stated=STORED_ONLY.outlines[0])
    records, findings = judged(tmp_path / "a.png", STORED_ONLY, stated)
    first, second = records["a.png"].regions
    # 40 x 30 turned clockwise: y counts from the right then, and x from above.
    assert geometry.bounds(first.outlines) == (15, 32, 25, 39)
    assert second.stated == first.outlines[0]
    (warning,) = findings.warnings()
    assert "its regions were turned with it" in warning


def test_mask_of_the_stored_size_turns_with_it(tmp_path: Path) -> None:
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    pixels[2:8, 4:20] = 1
    runs = coco_mask.encode(np.asfortranarray(pixels))
    mask = {"size": [HEIGHT, WIDTH], "counts": runs["counts"].decode()}
    records, _ = judged(tmp_path / "a.png", Region("1", "kite", mask=mask))
    turned = records["a.png"].regions[0].mask
    assert turned is not None
    assert turned["size"] == [WIDTH, HEIGHT]
    assert np.array_equal(coco_mask.decode(turned), np.rot90(pixels, -1))


def test_what_fits_both_is_refused_with_both_ways_out(tmp_path: Path) -> None:
    _, findings = judged(tmp_path / "a.png", EITHER)
    with pytest.raises(StageError) as caught:
        findings.raise_defects()
    assert "EXIF orientation (6) turns it to 30 × 40" in caught.value.message
    assert "nothing tells on which of the two" in caught.value.message
    assert "remove width and height" in str(caught.value.hint)
    assert "exiftool -Orientation=" in str(caught.value.hint)


def test_what_speaks_for_both_is_refused(tmp_path: Path) -> None:
    _, findings = judged(tmp_path / "a.png", UPRIGHT_ONLY, STORED_ONLY)
    assert len(findings.defects) == 1


def test_tool_that_is_known_decides_what_fits_both(tmp_path: Path) -> None:
    records, findings = judged(tmp_path / "a.png", EITHER, by=True)
    assert records["a.png"].regions == (EITHER,)
    assert "as the tool that wrote the file shows it" in findings.warnings()[0]
    _, findings = judged(tmp_path / "a.png", STORED_ONLY, by=True)
    assert len(findings.defects) == 1


def test_regions_that_were_turned_in_pixels_of_the_stored_size_are_refused(tmp_path: Path) -> None:
    turned = replace(EITHER, fractions=True, turned=True)
    _, findings = judged(tmp_path / "a.png", turned, by=True)
    (defect,) = findings.defects
    assert "rotated regions were turned on 40 × 30 pixels" in defect.what
    assert "turns it to 30 × 40" in defect.what
    assert "swap original_width and original_height" in defect.hint


def test_picture_without_regions_needs_no_decision(tmp_path: Path) -> None:
    records, findings = judged(tmp_path / "a.png")
    assert records["a.png"].size == (30, 40)
    assert (findings.defects, findings.warnings()) == ([], [])


@pytest.mark.parametrize("size", [(30, 40), (31, 40), None])
def test_other_sizes_are_none_of_its_business(tmp_path: Path, size: tuple[int, int] | None) -> None:
    record = Record("a.png", (EITHER,), size)
    findings = Findings()
    every = {"a.png": Listed(record, picture(tmp_path / "a.png", 6))}
    assert upright_records(every, "c.json", findings) == {}
    assert (findings.defects, findings.warnings()) == ([], [])
