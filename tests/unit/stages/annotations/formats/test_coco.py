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
    "negative-width-of-a-picture": (
        coco(images=[{"id": 1, "file_name": "a.png", "width": -40, "height": 3}]),
        "coco.json, image 1: its width is -40",
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


def box(*values: float) -> tuple[tuple[float, float], ...]:
    x, y, width, height = values
    return ((x, y), (x + width, y), (x + width, y + height), (x, y + height))


def annotations(*changes: Json) -> Json:
    """A file with an annotation for each of these changes; its boxes are side by side."""
    return coco(
        annotations=[
            {**ANNOTATION, "id": number, "bbox": [number, 6, 10, 8], **change}
            for number, change in enumerate(changes, 1)
        ]
    )


def kept(tmp_path: Path, content: object, labels: Labels = LABELS) -> tuple[list[str], list[str]]:
    """The regions that are read, by their names in the file, and the warnings."""
    save(tmp_path / "coco.json", content)
    findings = Findings()
    records = read(tmp_path / "coco.json", "coco.json", labels, findings)
    findings.raise_defects()
    return [region.where for record in records for region in record.regions], findings.warnings()


FLAGS: list[tuple[object, bool, bool]] = [
    (None, False, False), (0, False, False), (0.0, False, False), (False, False, False),
    ("0", False, True), ("0.0", False, True), ("false", False, True), ("", False, True),
    (1, True, False), (1.0, True, False), (True, True, False),
    ("1", True, True), (" True ", True, True), ("1.0", True, True),
]  # fmt: skip


@pytest.mark.parametrize(("value", "crowd", "warned"), FLAGS)
def test_crowd_is_read_however_it_is_written(
    tmp_path: Path, value: object, crowd: bool, warned: bool
) -> None:
    records, findings = saved(tmp_path, with_annotation(iscrowd=value))
    findings.raise_defects()
    assert records[0].regions[0].crowd is crowd
    expected = f'iscrowd is the text "{value}" and was read as {int(crowd)}: coco.json, a.png, '
    assert [warning.startswith(expected) for warning in findings.warnings()] == [True] * warned


@pytest.mark.parametrize("key", ["iscrowd", "ignore"])
@pytest.mark.parametrize("value", [2, -1, 0.5, "maybe", [], {}, float("nan")])
def test_flag_that_is_nonsense_is_refused(tmp_path: Path, key: str, value: object) -> None:
    _, findings = saved(tmp_path, with_annotation(**{key: value}))
    with pytest.raises(StageError, match=f"annotation 1: its {key} is .*, neither 0 nor 1"):
        findings.raise_defects()


def test_ignored_annotations_are_left_out_whatever_their_class(tmp_path: Path) -> None:
    content = annotations({"ignore": 1}, {}, {"ignore": "1", "category_id": 99}, {"ignore": "0"})
    where, warnings = kept(tmp_path, content)
    assert where == ["annotation 2", "annotation 4"]
    assert warnings == [
        'left out, as it is marked "ignore", and MMDetection leaves such out: '
        "coco.json, a.png, annotation 1; coco.json, a.png, annotation 3",
        'ignore is the text "1" and was read as 1: coco.json, a.png, annotation 3',
        'ignore is the text "0" and was read as 0: coco.json, a.png, annotation 4',
    ]


IDS: list[tuple[object, object, bool]] = [
    (1, 1, False), (1, 1.0, False), (1.0, 1, False), ("1", "1", False), ("a/b", "a/b", False),
    (1, "1", True), ("1", 1, True), ("1", 1.0, True), (1, " 1 ", True), (1, "1.0", True),
    ("007", 7, True), (-1, "-1", True), (0, "0", True),
]  # fmt: skip


@pytest.mark.parametrize(("defined", "named", "warned"), IDS)
@pytest.mark.parametrize("key", ["image_id", "category_id"])
def test_ids_are_matched_by_their_value(
    tmp_path: Path, key: str, defined: object, named: object, warned: bool
) -> None:
    content = with_annotation(**{key: named})
    if key == "image_id":
        content["images"] = [{"id": defined, "file_name": "a.png"}]
    else:
        content["categories"] = [{"id": defined, "name": "kite"}]
    where, warnings = kept(tmp_path, content)
    assert where == ["annotation 1"]
    assert [warning.startswith(f"its {key} is text in one place") for warning in warnings] == (
        [True] * warned
    )


def test_ids_that_are_both_text_and_number_are_refused(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "a.png"}, {"id": "1", "file_name": "b.png"}]
    _, findings = saved(tmp_path, coco(images=images))
    with pytest.raises(StageError, match=r'images\[1\]: has the id the text "1", and another'):
        findings.raise_defects()


def test_number_that_may_be_two_texts_is_refused(tmp_path: Path) -> None:
    images = [{"id": "01", "file_name": "a.png"}, {"id": "1", "file_name": "b.png"}]
    _, findings = saved(tmp_path, coco(images=images))
    with pytest.raises(StageError, match='its image_id 1 may be the text "01" or the text "1"'):
        findings.raise_defects()


@pytest.mark.parametrize("identifier", [True, None, "", [], {}])
def test_what_cannot_be_an_id_is_none(tmp_path: Path, identifier: object) -> None:
    _, findings = saved(tmp_path, with_annotation(image_id=identifier))
    with pytest.raises(StageError, match=r"its image_id .* does not exist"):
        findings.raise_defects()


def test_ids_of_annotations_need_not_differ_or_be_there(tmp_path: Path) -> None:
    where, warnings = kept(tmp_path, annotations({"id": 5}, {"id": 5}, {"id": None}))
    assert where == ["annotation 5", "annotation 5", "annotations[2]"]
    assert [warning.partition(" (")[0] for warning in warnings] == [
        "several annotations share an id",
        "an annotation has no id of its own",
    ]


def test_what_is_listed_again_word_for_word_counts_once(tmp_path: Path) -> None:
    """VIA writes the categories again with every picture."""
    categories = [{"id": 7, "name": "balloon"}, {"id": 8, "name": "kite"}] * 2
    where, warnings = kept(tmp_path, coco(categories=categories, images=[IMAGE, IMAGE]))
    assert where == ["annotation 1"]
    assert warnings == [
        "is listed again word for word, and counted once: coco.json, images[1]; "
        "coco.json, categories[2]; coco.json, categories[3]"
    ]


def test_category_with_an_id_of_another_is_refused(tmp_path: Path) -> None:
    categories = [{"id": 7, "name": "balloon"}, {"id": 7, "name": "kite"}]
    _, findings = saved(tmp_path, coco(categories=categories))
    with pytest.raises(StageError, match=r"categories\[1\]: has the id 7 again"):
        findings.raise_defects()


def test_two_categories_of_one_name_are_one_class(tmp_path: Path) -> None:
    content = annotations({}, {"category_id": 8}, {"category_id": 9})
    content["categories"] = [
        {"id": 7, "name": "kite"}, {"id": 8, "name": "kite"}, {"id": 9, "name": "Drachen "},
    ]  # fmt: skip
    labels = Labels(("kite",), "label", None, rename={"Drachen": "kite"})
    where, warnings = kept(tmp_path, content, labels)
    assert len(where) == 3
    assert warnings == [
        "the category has the name of another one, and both are read as one class: "
        "coco.json, category 8, kite"
    ]


@pytest.mark.parametrize("name", [None, "", "  ", [], {}, True])
def test_category_without_a_name_is_refused(tmp_path: Path, name: object) -> None:
    _, findings = saved(tmp_path, coco(categories=[{"id": 7, "name": name}]))
    with pytest.raises(StageError, match="its category 7 has no name"):
        findings.raise_defects()


def test_spaces_around_a_name_are_taken_away_with_a_warning(tmp_path: Path) -> None:
    where, warnings = kept(tmp_path, coco(categories=[{"id": 7, "name": " kite "}]))
    assert where == ["annotation 1"]
    assert warnings == ['the class " kite " was read as "kite": coco.json, a.png, annotation 1']


def test_other_classes_are_refused_or_counted(tmp_path: Path) -> None:
    content = annotations({}, {"category_id": 8}, {"category_id": 9}, {"category_id": 9})
    content["categories"] = [
        {"id": 7, "name": "kite"}, {"id": 8, "name": "cup"}, {"id": 9, "name": "glass"},
    ]  # fmt: skip
    _, findings = saved(tmp_path, content)
    with pytest.raises(StageError, match='unknown class "cup"') as caught:
        findings.raise_defects()
    assert 'others = "ignore" in [dataset]' in str(caught.value.hint)
    assert 'annotation 3: unknown class "glass" (2 times)' in caught.value.message
    where, warnings = kept(tmp_path, content, Labels(("kite",), "label", None, others="ignore"))
    assert where == ["annotation 1"]
    assert warnings == [
        "left out, as their classes are none of the dataset's: 3 in all (glass 2, cup 1), such as "
        "coco.json, a.png, annotation 2"
    ]


def test_no_category_is_the_default_class_or_refused(tmp_path: Path) -> None:
    """VIA's own export has none where the ids of its options are no numbers."""
    content = with_annotation(category_id=None)
    _, findings = saved(tmp_path, content)
    with pytest.raises(StageError, match="it has no category_id") as caught:
        findings.raise_defects()
    assert "default_class" in str(caught.value.hint)
    where, warnings = kept(tmp_path, content, Labels(("kite",), "label", "kite"))
    assert where == ["annotation 1"]
    assert "and got the default class: coco.json, a.png, annotation 1" in warnings[0]


SIZES: list[tuple[Json, tuple[int, int] | None]] = [
    ({}, None), ({"width": -1, "height": -1}, None), ({"width": 0, "height": 0}, None),
    ({"width": None, "height": None}, None), ({"width": 40}, None), ({"width": "", "height": 3}, None),
    ({"width": 40.0, "height": 30}, (40, 30)), ({"width": "40", "height": "30"}, (40, 30)),
]  # fmt: skip


@pytest.mark.parametrize(("stated", "size"), SIZES)
def test_size_that_the_tool_did_not_know_is_none(
    tmp_path: Path, stated: Json, size: tuple[int, int] | None
) -> None:
    records, findings = saved(tmp_path, coco(images=[{"id": 1, "file_name": "a.png", **stated}]))
    findings.raise_defects()
    assert records[0].size == size


def test_picture_without_a_file_name_may_have_an_address(tmp_path: Path) -> None:
    image = {"id": 1, "coco_url": "http://images.cocodataset.org/val2017/000000397133.jpg"}
    records, _ = saved(tmp_path, coco(images=[image]))
    assert records[0].name == image["coco_url"]


def test_what_a_file_says_of_a_picture_may_tell_its_group(tmp_path: Path) -> None:
    image = {**IMAGE, "video_id": 4, "site": "roof", "tags": ["x"], "license": None}
    records, _ = saved(tmp_path, coco(images=[image]))
    assert records[0].keys == {"video_id": "4", "site": "roof"}


OTHER_FILES: dict[str, tuple[object, str]] = {
    "panoptic": (coco(annotations=[{"segments_info": []}]), "file of panoptic segmentation"),
    "captions": (coco(annotations=[{"caption": "a kite"}]), "file of captions"),
    "corners": (
        annotations(*[{"bbox": [5, 6, 15, 14], "area": 80}] * 2),
        "between two corners, throughout",
    ),
    "fractions": (with_annotation(bbox=[0.1, 0.2, 0.5, 1]), "shares of the pictures' sizes"),
}


@pytest.mark.parametrize(("content", "sentence"), OTHER_FILES.values(), ids=OTHER_FILES.keys())
def test_file_of_another_kind_is_named_for_what_it_is(
    tmp_path: Path, content: object, sentence: str
) -> None:
    with pytest.raises(Defect, match=sentence):
        saved(tmp_path, content)


def test_label_studio_draws_on_upright_pictures(tmp_path: Path) -> None:
    """Its polygons are shares of the upright picture times the stored size, its boxes are not."""
    content = annotations({}, {"bbox": [4, 3, 20, 15], "segmentation": [[4, 3, 24, 3, 24, 18]]})
    content["info"] = {"contributor": "Label Studio"}
    records, findings = saved(tmp_path, content)
    findings.raise_defects()
    (record,) = records
    assert record.upright
    boxed, polygon = record.regions
    assert (boxed.outlines, boxed.fractions) == ((box(1, 6, 10, 8),), False)
    assert polygon.fractions
    (outline,) = polygon.outlines
    corners = [value for point in outline for value in point]
    assert corners == pytest.approx([0.1, 0.1, 0.6, 0.1, 0.6, 0.6])
