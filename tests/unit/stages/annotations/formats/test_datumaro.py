from pathlib import Path

import pytest
from exports import BOX, Noted, corners, datumaro, pictures, read
from exports import datumaro_shape as shape
from labelled import HEIGHT, WIDTH, Json, save

from mmdet_jetson.stages.annotations.findings import Defect
from mmdet_jetson.stages.annotations.records import Record

FLAT = [value for point in BOX for value in point]


def saved(tmp_path: Path, content: object, *names: str) -> tuple[list[Record], Noted]:
    pictures(tmp_path, names or ("a.png",))
    save(tmp_path / "train.json", content)
    return read("datumaro", tmp_path / "train.json", tmp_path)


@pytest.mark.parametrize("raw", [shape(), shape("polygon", points=FLAT)])
def test_corners_are_as_they_stand(tmp_path: Path, raw: Json) -> None:
    records, findings = saved(tmp_path, datumaro(raw))
    assert corners(records[0]) == list(BOX)
    assert (records[0].name, records[0].size, findings.said()) == ("a.png", (WIDTH, HEIGHT), "")


def test_a_box_of_cvat_turns_around_its_centre_with_a_warning(tmp_path: Path) -> None:
    records, findings = saved(tmp_path, datumaro(shape(attributes={"rotation": 90.0})))
    assert corners(records[0]) == [(13, 5), (13, 15), (5, 15), (5, 5)]
    assert "a rotated box was read as its four corners" in findings.said()


def test_an_ellipse_is_the_box_around_it(tmp_path: Path) -> None:
    records, _ = saved(tmp_path, datumaro(shape("ellipse", points=[4, 6, 14, 14])))
    xs, ys = zip(*corners(records[0]), strict=True)
    assert (min(xs), max(xs), min(ys), max(ys)) == (4, 14, 6, 14)


def test_masks_and_crowds_are_kept(tmp_path: Path) -> None:
    rle = {"counts": "PPYo1", "size": [HEIGHT, WIDTH]}
    raw = shape("mask", rle=rle, attributes={"is_crowd": True})
    records, _ = saved(tmp_path, datumaro(raw, shape()))
    assert [region.crowd for region in records[0].regions] == [True, False]
    assert records[0].regions[0].mask == rle


def test_polygons_of_a_group_are_one_object_and_boxes_are_not(tmp_path: Path) -> None:
    near = [20, 20, 24, 20, 24, 24]
    shapes = [
        shape("polygon", points=FLAT, group=1), shape("polygon", points=near, group=1),
        shape("polygon", points=near, group=1, label_id=1), shape("polygon", points=near),
        shape(group=1), shape(group=2), shape(group=2, bbox=[1, 1, 5, 5]),
    ]  # fmt: skip
    records, findings = saved(tmp_path, datumaro(*shapes))
    assert [len(region.outlines) for region in records[0].regions] == [2, 1, 1, 1, 1, 1]
    assert "of the same group were read as one object: train.json, a.png, annotation 1" in (
        findings.said()
    )
    assert "a box and another shape of the same group were read as two objects" in findings.said()


@pytest.mark.parametrize("kind", ["label", "points", "polyline", "caption", "cuboid_3d"])
def test_what_has_no_area_is_left_out_with_a_warning(tmp_path: Path, kind: str) -> None:
    records, findings = saved(tmp_path, datumaro(shape(kind), shape()))
    assert len(records[0].regions) == 1
    assert findings.said().startswith(f"left out, as its type {kind} has no area")


def test_an_item_without_a_path_is_the_picture_of_its_id(tmp_path: Path) -> None:
    content = datumaro(shape(), path="")
    records, findings = saved(tmp_path, content)
    assert (records[0].name, findings.said()) == ("a", "")


BAD: dict[str, tuple[object, str]] = {
    "not-an-object": ("x", "the annotation is not an object of JSON"),
    "type": (shape("hash_key"), 'the type "hash_key" is not known'),
    "label-beyond": (shape(label_id=2), "its label_id 2 is none of the labels"),
    "label-missing": (shape(label_id=None), "its label_id None is none of the labels"),
    "label-true": (shape(label_id=True), "its label_id True is none of the labels"),
    "group": (shape(group=[]), "its group is not a number"),
    "bbox-short": (shape(bbox=[1, 2, 3]), "its bbox is not x, y, width and height"),
    "bbox-negative": (shape(bbox=[1, 2, -3, 4]), "its bbox is not x, y, width and height"),
    "bbox-text": (shape(bbox=[1, 2, "3", 4]), 'bbox[2] is "3", not a number'),
    "rotation": (shape(attributes={"rotation": "x"}), 'rotation is "x", not a number'),
    "polygon": (shape("polygon", points=[1, 2, 3, 4]), "the polygon has 2 different points"),
    "odd": (shape("polygon", points=[1, 2, 3, 4, 5]), "has 3 x and 2 y coordinates"),
    "ellipse": (shape("ellipse", points=[5, 5, 1, 9]), "not two corners of the box around it"),
    "mask": (shape("mask"), "its mask has no run lengths"),
}


@pytest.mark.parametrize(("bad", "sentence"), BAD.values(), ids=BAD.keys())
def test_a_bad_annotation_is_one_sentence_with_its_place(
    tmp_path: Path, bad: object, sentence: str
) -> None:
    records, findings = saved(tmp_path, datumaro(shape(), bad))
    assert len(records[0].regions) == 1
    (defect,) = findings.defects
    assert (defect.where, defect.hint != "") == ("train.json, a.png, annotation 2", True)
    assert sentence in defect.what


def test_a_group_of_masks_is_one_sentence(tmp_path: Path) -> None:
    mask = shape("mask", rle={"counts": "PPYo1", "size": [HEIGHT, WIDTH]}, group=4)
    _, findings = saved(tmp_path, datumaro(mask, mask))
    assert "its group joins it with annotation 2, and one of these is a mask" in findings.said()


BAD_FILES: dict[str, tuple[object, str]] = {
    "list": ([], 'is JSON but not Datumaro\'s: it has no list "items"'),
    "no-categories": ({"items": []}, 'it has no object "categories"'),
    "no-labels": ({"items": [], "categories": {}}, "has no list categories.label.labels"),
}


@pytest.mark.parametrize(("content", "sentence"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_bad_file_is_one_sentence(tmp_path: Path, content: object, sentence: str) -> None:
    with pytest.raises(Defect) as caught:
        saved(tmp_path, content if content else "[]")
    assert sentence in caught.value.what


BAD_ITEMS: dict[str, tuple[object, str]] = {
    "not-an-object": (5, "has no list of annotations"),
    "no-name": ({"annotations": []}, "names no picture"),
    "size": (
        {"annotations": [], "id": "a", "image": {"path": "a.png", "size": [0, 1]}},
        "its size is not a height and a width",
    ),
}


@pytest.mark.parametrize(("item", "sentence"), BAD_ITEMS.values(), ids=BAD_ITEMS.keys())
def test_a_bad_item_is_one_sentence_and_the_others_are_read(
    tmp_path: Path, item: object, sentence: str
) -> None:
    content = datumaro(shape())
    items = content["items"]
    assert isinstance(items, list)
    items.append(item)
    records, findings = saved(tmp_path, content)
    assert len(records) == 1
    (defect,) = findings.defects
    assert defect.where == "train.json, items[1]"
    assert sentence in defect.what
