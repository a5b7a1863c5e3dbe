import json

import numpy as np
import pytest
from labelled import HEIGHT, WIDTH, coco, save
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from mmdet_jetson.stages.annotations.findings import Defect, Findings
from mmdet_jetson.stages.annotations.formats.coco import mask_extent, read_coco, to_coco
from mmdet_jetson.stages.annotations.geometry import place
from mmdet_jetson.stages.annotations.records import Annotation, Example
from mmdet_jetson.stages.errors import StageError

CLASSES = ("balloon", "kite")


def read(tmp_path, content):
    save(tmp_path / "coco.json", content)
    findings = Findings()
    return read_coco(tmp_path / "coco.json", "coco.json", CLASSES, findings), findings


def with_annotation(**changes):
    annotation = {"id": 1, "image_id": 1, "category_id": 7, "bbox": [4, 6, 10, 8], **changes}
    return coco(annotations=[annotation])


def only_region(tmp_path, content):
    records, findings = read(tmp_path, content)
    findings.raise_defects()
    return records[0].regions[0]


def test_box_alone_becomes_a_rectangle(tmp_path):
    region = only_region(tmp_path, coco())
    assert region.outlines == (((4, 6), (14, 6), (14, 14), (4, 14)),)
    assert (region.where, region.label, region.crowd) == ("annotation 1", "balloon", False)


def test_polygons_come_before_the_box(tmp_path):
    segmentation = [[1, 1, 5, 1, 5, 5], [7, 7, 9, 7, 9, 9]]
    region = only_region(tmp_path, with_annotation(segmentation=segmentation))
    assert region.outlines == (((1, 1), (5, 1), (5, 5)), ((7, 7), (9, 7), (9, 9)))


def test_picture_keeps_its_stated_size_and_may_have_none(tmp_path):
    images = [{"id": 1, "file_name": "a.png", "width": 40, "height": 30}]
    images += [{"id": "two", "file_name": "sub/b.png"}]
    records, _ = read(tmp_path, coco(images=images))
    assert [(item.name, item.size) for item in records] == [
        ("a.png", (40, 30)),
        ("sub/b.png", None),
    ]


def test_crowd_is_kept(tmp_path):
    assert only_region(tmp_path, with_annotation(iscrowd=1)).crowd


def test_unused_category_needs_no_class(tmp_path):
    content = coco(categories=[{"id": 7, "name": "balloon"}, {"id": 8, "name": "zeppelin"}])
    assert only_region(tmp_path, content).label == "balloon"


def square_mask():
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
    mask[6:14, 4:14] = 1
    return mask


def compressed():
    encoded = coco_mask.encode(square_mask())
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def plain():
    flat = square_mask().flatten(order="F")
    ends = [*np.flatnonzero(np.diff(flat)) + 1, flat.size]
    return {"size": [HEIGHT, WIDTH], "counts": np.diff([0, *ends]).tolist()}


@pytest.mark.parametrize("mask", [compressed(), plain()], ids=["compressed", "plain"])
def test_mask_gives_box_and_area(tmp_path, mask):
    region = only_region(tmp_path, with_annotation(segmentation=mask, iscrowd=1))
    extent = mask_extent(region.mask, WIDTH, HEIGHT)
    assert (extent.box, extent.area, extent.segmentation) == ((4, 6, 10, 8), 80, mask)


def larger_mask():
    return coco_mask.encode(np.ones((99, 99), np.uint8, order="F"))["counts"].decode()


BAD_MASKS = {
    "other-size": ({**plain(), "size": [5, 5]}, "has the size"),
    "no-size": ({"counts": [1200]}, "has the size None"),
    "runs-too-short": ({**plain(), "counts": [10, 10]}, "run lengths of its mask"),
    "negative-run": ({**plain(), "counts": [-1, 1201]}, "run lengths of its mask"),
    "text-goes-on-past-its-end": ({**plain(), "counts": "0o"}, "run lengths of its mask"),
    "text-not-a-mask": ({**plain(), "counts": "~~ä"}, "run lengths of its mask"),
    "no-runs": ({"size": [HEIGHT, WIDTH]}, "run lengths of its mask"),
    "empty": ({**plain(), "counts": [HEIGHT * WIDTH]}, "empty or broken"),
    "text-of-a-larger-mask": ({**plain(), "counts": larger_mask()}, "empty or broken"),
}


@pytest.mark.parametrize(("mask", "sentence"), BAD_MASKS.values(), ids=BAD_MASKS.keys())
def test_bad_mask_is_a_defect(mask, sentence):
    with pytest.raises(Defect, match=sentence):
        mask_extent(mask, WIDTH, HEIGHT)


BAD_FILES = {
    "a-list": ([], "is JSON but not a COCO file"),
    "via": ({"a.png1": {"filename": "a.png", "regions": {}}}, "is a VIA file"),
    "via-project": ({"_via_img_metadata": {}}, "is a VIA file"),
    "no-categories": ({"images": [], "annotations": []}, 'it has no list "categories"'),
    "images-not-a-list": (coco(images={}), 'it has no list "images"'),
}


@pytest.mark.parametrize(("content", "sentence"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_unreadable_file_is_one_defect_with_a_hint(tmp_path, content, sentence):
    with pytest.raises(Defect) as caught:
        read(tmp_path, json.dumps(content))
    assert sentence in caught.value.what
    assert caught.value.hint


IMAGE = coco()["images"][0]
ANNOTATION = coco()["annotations"][0]

BAD_RECORDS = {
    "picture-id-twice": (coco(images=[IMAGE, IMAGE]), "coco.json, images[1]: has the id 1 again"),
    "annotation-id-twice": (
        coco(annotations=[ANNOTATION, ANNOTATION]),
        "coco.json, annotations[1]: has the id 1 again",
    ),
    "picture-without-id": (coco(images=[IMAGE, {}]), "coco.json, images[1]: has no id"),
    "picture-id-a-list": (coco(images=[IMAGE, {"id": []}]), "coco.json, images[1]: has no id"),
    "picture-without-name": (
        coco(images=[IMAGE, {"id": 2}]),
        "coco.json, image 2: has no file_name",
    ),
    "width-missing": (
        coco(images=[{"id": 1, "file_name": "a.png", "height": 3}]),
        "coco.json, image 1: width is missing",
    ),
    "dangling-picture": (with_annotation(image_id=9), "annotation 1: its image_id 9 does not"),
    "dangling-category": (
        with_annotation(category_id=9),
        "coco.json, a.png, annotation 1: its category_id 9 does not exist",
    ),
    "category-id-a-list": (with_annotation(category_id=[7]), "its category_id [7] does not"),
    "category-not-a-class": (
        coco(categories=[{"id": 7, "name": "Kites"}]),
        'coco.json, category 7: unknown class "Kites"',
    ),
    "category-name-twice": (
        coco(
            categories=[{"id": 7, "name": "kite"}, {"id": 8, "name": "kite"}],
            annotations=[ANNOTATION, {**ANNOTATION, "id": 2, "category_id": 8}],
        ),
        'coco.json, category 8: has the name "kite", as another has',
    ),
    "no-shape": (with_annotation(bbox=None), "bbox is missing"),
    "three-numbers": (with_annotation(bbox=[1, 2, 3]), "its bbox has 3 numbers, not 4"),
    "negative-width": (with_annotation(bbox=[9, 9, -3, 3]), "the bbox's width is -3"),
    "nan": (with_annotation(bbox=[float("nan"), 2, 3, 4]), "bbox[0] is NaN"),
    "odd-polygon": (with_annotation(segmentation=[[1, 2, 3, 4, 5]]), "has 3 x and 2 y"),
    "two-points": (with_annotation(segmentation=[[1, 2, 3, 4]]), "has 2 different points"),
    "segmentation-is-text": (with_annotation(segmentation="x"), "neither polygons nor a mask"),
    "flat-polygon": (with_annotation(segmentation=[1, 2, 3, 4, 5, 6]), "segmentation[0] is 1"),
}


@pytest.mark.parametrize(("content", "sentence"), BAD_RECORDS.values(), ids=BAD_RECORDS.keys())
def test_bad_record_is_one_sentence_with_its_place_and_a_hint(tmp_path, content, sentence):
    _, findings = read(tmp_path, content)
    with pytest.raises(StageError) as caught:
        findings.raise_defects()
    assert sentence in caught.value.message
    assert caught.value.message.startswith("coco.json, ")
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_written_file_is_read_by_pycocotools_and_by_ourselves(tmp_path):
    extent = place([((4, 6), (14, 6), (14, 14))], WIDTH, HEIGHT).extent
    example = Example(
        "sub/a.png", tmp_path, WIDTH, HEIGHT, "", False, (Annotation("kite", extent, True),)
    )
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(to_coco([example], CLASSES)))
    official = COCO(path)
    official.info()
    assert official.loadCats(official.getCatIds()) == [
        {"id": 1, "name": "balloon"},
        {"id": 2, "name": "kite"},
    ]
    (annotation,) = official.loadAnns(official.getAnnIds())
    assert (annotation["bbox"], annotation["area"]) == ([4, 6, 10, 8], 40)
    records = read_coco(path, "coco.json", CLASSES, Findings())
    (region,) = records[0].regions
    assert (records[0].name, records[0].size) == ("sub/a.png", (WIDTH, HEIGHT))
    assert (region.label, region.crowd) == ("kite", True)
    assert region.outlines == (((4, 6), (14, 6), (14, 14)),)
