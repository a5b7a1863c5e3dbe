import json
from pathlib import Path

import numpy as np
import pytest
from exports import BOX, corners, labelme, pictures, png, read, shape
from labelled import HEIGHT, WIDTH, Json
from pycocotools import mask as coco_mask

from mmdet_jetson.stages.annotations.findings import Defect
from mmdet_jetson.stages.annotations.records import Record, Region


def folder(source: Path, **files: Json) -> Path:
    """A folder of JSON files with a picture for each."""
    pictures(source, [f"{stem}.png" for stem in files])
    (source / "json").mkdir()
    for stem, content in files.items():
        (source / "json" / f"{stem}.json").write_text(json.dumps(content))
    return source / "json"


def only(tmp_path: Path, *shapes: Json, **more: object) -> tuple[Record, str]:
    """The record of one file, and what was said."""
    records, findings = read("labelme", folder(tmp_path, a=labelme(*shapes, **more)), tmp_path)
    return records[0], findings.said()


def pixels(region: Region) -> np.ndarray:
    assert region.mask is not None
    mask: np.ndarray = coco_mask.decode(dict(region.mask))
    return mask


@pytest.mark.parametrize(
    ("kind", "points"),
    [
        ("rectangle", [[4, 6], [14, 14]]),
        ("rectangle", [[14, 14], [4, 6]]),
        ("rectangle", [[4, 14], [14, 6]]),
        ("rectangle", BOX),
        ("polygon", BOX),
        (None, BOX),
        ("rotation", BOX),
    ],
)
def test_corners_are_as_they_stand(tmp_path: Path, kind: str, points: object) -> None:
    record, said = only(tmp_path, shape(kind, points))
    assert corners(record) == list(BOX)
    assert (record.name, record.size, said) == ("a.png", (WIDTH, HEIGHT), "")


def test_version_3_has_no_types_and_no_size(tmp_path: Path) -> None:
    old = {"label": "kite", "line_color": None, "fill_color": None, "points": BOX}
    content: Json = {
        "version": "3.2.1",
        "shapes": [old],
        "imagePath": "a.png",
        "imageData": "x" * 9,
    }
    records, findings = read("labelme", folder(tmp_path, a=content), tmp_path)
    assert corners(records[0]) == list(BOX)
    assert (records[0].size, findings.said()) == (None, "")


def test_a_circle_is_a_centre_and_a_point_on_it(tmp_path: Path) -> None:
    record, _ = only(tmp_path, shape("circle", [[20, 15], [23, 19]]))
    xs, ys = zip(*corners(record), strict=True)
    assert (min(xs), max(xs), min(ys), max(ys)) == (15, 25, 10, 20)


def test_a_mask_begins_at_its_first_pixel(tmp_path: Path) -> None:
    part = np.zeros((3, 4), np.uint8)
    part[0, 1:] = part[2, 3] = 255
    record, said = only(tmp_path, shape("mask", [[5, 7], [8, 9]], mask=png(part)))
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[7:10, 5:9] = part > 0
    assert (pixels(record.regions[0]) == expected).all()
    assert said == ""


def test_shapes_of_one_group_and_class_are_one_object(tmp_path: Path) -> None:
    near = [[20, 20], [24, 20], [24, 24]]
    shapes = [
        shape("polygon", BOX, group_id=1), shape(group_id=2), shape("polygon", near, group_id=1),
        shape("polygon", near, group_id=1, label="kite"), shape("polygon", near), shape(),
    ]  # fmt: skip
    record, said = only(tmp_path, *shapes)
    assert [len(region.outlines) for region in record.regions] == [2, 1, 1, 1, 1]
    assert [region.where for region in record.regions][:2] == ["shape 1", "shape 2"]
    assert (
        "shapes of the same group_id were read as one object: json/a.json, shape 1, shape 3" in said
    )


@pytest.mark.parametrize("kind", ["point", "line", "linestrip", "points"])
def test_shapes_without_area_are_left_out_with_a_warning(tmp_path: Path, kind: str) -> None:
    record, said = only(tmp_path, shape(kind, [[1, 1], [5, 5]]), shape())
    assert len(record.regions) == 1
    assert said == f"left out, as its type {kind} has no area: json/a.json, shape 1"


def test_pictures_are_named_by_the_file_or_by_their_path(tmp_path: Path) -> None:
    path = folder(tmp_path, a=labelme(), b=labelme(imagePath="C:\\x\\c.png"), c=labelme())
    (tmp_path / "images/b.png").unlink()
    records, findings = read("labelme", path, tmp_path)
    assert [record.name for record in records] == ["a.png", "C:\\x\\c.png", "c.png"]
    assert 'json/c.json, c.png, not "..\\images\\a.png"' in findings.said()


def test_one_file_is_read_alone(tmp_path: Path) -> None:
    path = folder(tmp_path, a=labelme(shape())) / "a.json"
    records, _ = read("labelme", path, tmp_path)
    assert corners(records[0]) == list(BOX)


BAD: dict[str, tuple[object, str]] = {
    "not-an-object": (5, "the shape is not an object of JSON"),
    "no-label": (shape(label=""), "the shape has no label"),
    "class": (shape(label="ballon"), 'unknown class "ballon"'),
    "type": (shape("cuboid"), 'the shape type "cuboid" is not known'),
    "type-is-a-list": (shape(["polygon"]), "is not known"),  # type: ignore[arg-type]
    "points-missing": (shape(points=None), "its points are not a list"),
    "points-are-text": (shape(points=[["1", 2], [3, 4]]), 'points[0][0] is "1", not a number'),
    "three-coordinates": (shape(points=[[1, 2, 3], [3, 4, 5]]), "does not have two coordinates"),
    "three-corners": (shape(points=[[1, 2], [3, 4], [5, 6]]), "the rectangle has 3 points, not 2"),
    "two-points": (shape("polygon", [[1, 2], [3, 4]]), "the polygon has 2 different points"),
    "circle": (shape("circle", [[1, 2], [1, 2]]), "the circle's radius is 0.0, it must be above 0"),
    "group": (shape(group_id=[1]), "its group_id is neither a number nor text"),
    "mask-missing": (shape("mask"), "its mask is missing"),
    "mask-broken": (shape("mask", mask="AAAA"), "its mask is not a grey PNG in base64"),
    "mask-no-base64": (shape("mask", mask="?"), "its mask is not a grey PNG in base64"),
    "mask-size": (
        shape("mask", mask=png(np.ones((3, 3), np.uint8))),
        "its mask has 3 × 3 pixels, its points span 11 × 9",
    ),
    "mask-outside": (
        shape("mask", [[38, 7], [40, 9]], mask=png(np.ones((3, 3), np.uint8))),
        "its mask of 3 × 3 pixels at 38, 7 reaches past the picture",
    ),
}


@pytest.mark.parametrize(("bad", "sentence"), BAD.values(), ids=BAD.keys())
def test_a_bad_shape_is_one_sentence_with_its_place(
    tmp_path: Path, bad: Json, sentence: str
) -> None:
    path = folder(tmp_path, a=labelme(shape(), bad), b=labelme())
    records, findings = read("labelme", path, tmp_path)
    assert len(records[0].regions) == 1
    (defect,) = findings.defects
    assert (defect.where, defect.hint != "") == ("json/a.json, shape 2", True)
    assert sentence in defect.what


def test_a_group_of_a_mask_and_a_polygon_is_one_sentence(tmp_path: Path) -> None:
    mask = shape("mask", [[5, 7], [7, 9]], mask=png(np.ones((3, 3), np.uint8)), group_id=1)
    _, said = only(tmp_path, shape(group_id=1), mask)
    assert "shape 1: its group_id joins it with shape 2, and one of these is a mask" in said


BAD_FILES: dict[str, tuple[Json, str]] = {
    "not-labelme": ({"shape": []}, 'is JSON but not labelme\'s: it has no list "shapes"'),
    "path": (labelme(imagePath=5), "its imagePath is not text"),
    "size": (labelme(imageWidth=0), "imageWidth is 0, it must be above 0"),
    "half-a-size": (labelme(imageWidth=None), "imageWidth is missing"),
}


@pytest.mark.parametrize(("content", "sentence"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_bad_file_is_one_sentence_and_the_others_are_read(
    tmp_path: Path, content: Json, sentence: str
) -> None:
    path = folder(tmp_path, a=content, b=labelme(shape()))
    records, findings = read("labelme", path, tmp_path)
    (defect,) = findings.defects
    assert sentence in defect.what
    assert [record.name for record in records] == ["b.png"]


def test_a_folder_without_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(Defect, match=r"is a folder without \.json files"):
        read("labelme", tmp_path / "images", tmp_path)
