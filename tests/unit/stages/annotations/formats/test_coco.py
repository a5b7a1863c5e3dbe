import json
from pathlib import Path

import pytest
from labelled import Json, coco, save

from mmdet_jetson.stages.annotations.findings import Defect, Findings
from mmdet_jetson.stages.annotations.formats.coco import read
from mmdet_jetson.stages.annotations.records import Labels, Record, Region
from mmdet_jetson.stages.errors import StageError

LABELS = Labels(("balloon", "kite"), "label", None)


def saved(tmp_path: Path, content: object) -> tuple[list[Record], Findings]:
    """What a file with that content is read as."""
    save(tmp_path / "coco.json", content)
    findings = Findings()
    return read(tmp_path / "coco.json", "coco.json", LABELS, findings), findings


def with_annotation(**changes: object) -> Json:
    annotation = {"id": 1, "image_id": 1, "category_id": 7, "bbox": [4, 6, 10, 8], **changes}
    return coco(annotations=[annotation])


def only_region(tmp_path: Path, content: Json) -> Region:
    records, findings = saved(tmp_path, content)
    findings.raise_defects()
    return records[0].regions[0]


def test_box_alone_becomes_a_rectangle(tmp_path: Path) -> None:
    region = only_region(tmp_path, coco())
    assert list(region.outlines) == [((4, 6), (14, 6), (14, 14), (4, 14))]
    assert (region.where, region.label, region.crowd) == ("annotation 1", "balloon", False)


def test_polygons_come_before_the_box(tmp_path: Path) -> None:
    segmentation = [[1, 1, 5, 1, 5, 5], [7, 7, 9, 7, 9, 9]]
    region = only_region(tmp_path, with_annotation(segmentation=segmentation))
    assert region.outlines == (((1, 1), (5, 1), (5, 5)), ((7, 7), (9, 7), (9, 9)))


def test_picture_keeps_its_stated_size_and_may_have_none(tmp_path: Path) -> None:
    images = [
        {"id": 1, "file_name": "a.png", "width": 40, "height": 30},
        {"id": "two", "file_name": "sub/b.png"},
    ]
    records, _ = saved(tmp_path, coco(images=images))
    assert [(item.name, item.size) for item in records] == [
        ("a.png", (40, 30)),
        ("sub/b.png", None),
    ]


def test_crowd_is_kept(tmp_path: Path) -> None:
    assert only_region(tmp_path, with_annotation(iscrowd=1)).crowd


def test_unused_category_needs_no_class(tmp_path: Path) -> None:
    content = coco(categories=[{"id": 7, "name": "balloon"}, {"id": 8, "name": "zeppelin"}])
    assert only_region(tmp_path, content).label == "balloon"


BAD_FILES: dict[str, tuple[object, str]] = {
    "a-list": ([], "is JSON but not a COCO file"),
    "no-categories": ({"images": [], "annotations": []}, 'it has no list "categories"'),
    "images-not-a-list": (coco(images={}), 'it has no list "images"'),
}


@pytest.mark.parametrize(("content", "sentence"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_unreadable_file_is_one_defect_with_a_hint(
    tmp_path: Path, content: object, sentence: str
) -> None:
    with pytest.raises(Defect) as caught:
        saved(tmp_path, json.dumps(content))
    assert sentence in caught.value.what
    assert caught.value.hint


IMAGE = {"id": 1, "file_name": "a.png"}
ANNOTATION = {"id": 1, "image_id": 1, "category_id": 7, "bbox": [4, 6, 10, 8]}

BAD_RECORDS = {
    "picture-id-twice": (
        coco(images=[IMAGE, {**IMAGE, "file_name": "b.png"}]),
        "coco.json, images[1]: has the id 1 again",
    ),
    "picture-without-id": (coco(images=[IMAGE, {}]), "coco.json, images[1]: has no id"),
    "picture-id-a-list": (coco(images=[IMAGE, {"id": []}]), "coco.json, images[1]: has no id"),
    "picture-without-name": (
        coco(images=[IMAGE, {"id": 2}]),
        "coco.json, image 2: has no file_name",
    ),
    "width-is-a-list": (
        coco(images=[{"id": 1, "file_name": "a.png", "width": [], "height": 3}]),
        "coco.json, image 1: width is []",
    ),
    "dangling-picture": (with_annotation(image_id=9), "annotation 1: its image_id 9 does not"),
    "dangling-category": (
        with_annotation(category_id=9),
        "coco.json, a.png, annotation 1: its category_id 9 does not exist",
    ),
    "category-id-a-list": (with_annotation(category_id=[7]), "its category_id [7] does not"),
    "category-not-a-class": (
        coco(categories=[{"id": 7, "name": "Kites"}]),
        'coco.json, a.png, annotation 1: unknown class "Kites"',
    ),
    "no-shape": (with_annotation(bbox=None), "bbox is missing"),
    "three-numbers": (with_annotation(bbox=[1, 2, 3]), "its bbox has 3 numbers, not 4"),
    "nan": (with_annotation(bbox=[float("nan"), 2, 3, 4]), "bbox[0] is NaN"),
    "odd-polygon": (with_annotation(segmentation=[[1, 2, 3, 4, 5]]), "has 3 x and 2 y"),
    "two-points-and-no-box": (
        with_annotation(segmentation=[[1, 2, 3, 4]], bbox=None),
        "has 2 different points",
    ),
    "segmentation-is-text": (with_annotation(segmentation="x"), "neither polygons nor a mask"),
}


@pytest.mark.parametrize(("content", "sentence"), BAD_RECORDS.values(), ids=BAD_RECORDS.keys())
def test_bad_record_is_one_sentence_with_its_place_and_a_hint(
    tmp_path: Path, content: Json, sentence: str
) -> None:
    _, findings = saved(tmp_path, content)
    with pytest.raises(StageError) as caught:
        findings.raise_defects()
    assert sentence in caught.value.message
    assert caught.value.message.startswith("coco.json, ")
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_run_length_mask_is_kept_as_it_is(tmp_path: Path) -> None:
    mask = {"size": [30, 40], "counts": [1200]}
    region = only_region(tmp_path, with_annotation(segmentation=mask, iscrowd=1))
    assert (region.mask, region.outlines, region.crowd) == (mask, (), True)
