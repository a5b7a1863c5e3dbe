from pathlib import Path

import numpy as np
import pytest
from exports import BOX, Noted, corners, pictures, read, result, small_task, task
from labelled import HEIGHT, WIDTH, Json, save
from pycocotools import mask as coco_mask

from mmdet_jetson.stages.annotations.findings import Defect
from mmdet_jetson.stages.annotations.records import Record

POLYGON = {"points": [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in BOX], "closed": True}
ELLIPSE = {"x": 50, "y": 50, "radiusX": 12.5, "radiusY": 2 / 0.3, "rotation": 90}


def saved(
    tmp_path: Path, *tasks: object, names: tuple[str, ...] = ("a.png",)
) -> tuple[list[Record], Noted]:
    pictures(tmp_path, names)
    save(tmp_path / "project.json", list(tasks))
    return read("label_studio", tmp_path / "project.json", tmp_path)


def brush(mask: np.ndarray) -> list[int]:
    """Label Studio's bytes of a mask, every pixel a run of its own kind: written from the format's
    description, by a bit string.
    """
    values = np.repeat((mask.astype(np.uint8) * 255).reshape(-1), 4)
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{width:04b}" for width in (2, 3, 4, 11))
    at = 0
    while at < len(values):
        end = at
        while end < len(values) and values[end] == values[at] and end - at < 4096:
            end += 1
        if at % 3:  # some as single values
            end = min(end, at + 8)
            bits += "0" + "00" + f"{end - at - 1:03b}" + f"{values[at]:08b}" * (end - at)
        else:
            bits += "1" + "11" + f"{end - at - 1:012b}" + f"{values[at]:08b}"
        at = end
    bits += "0" * (-len(bits) % 8)
    return [int(bits[index : index + 8], 2) for index in range(0, len(bits), 8)]


SIZE: Json = {"original_width": WIDTH, "original_height": HEIGHT}
SMALL: Json = {"x": 10, "y": 20, "width": 25, "height": 80 / 3, "rotation": 0, **SIZE}


@pytest.mark.parametrize(
    "made",
    [
        task(result()),
        task(result("polygonlabels", **POLYGON)),
        small_task({**SMALL, "rectanglelabels": ["balloon"]}),
    ],
)
def test_percents_are_of_the_picture(tmp_path: Path, made: Json) -> None:
    records, findings = saved(tmp_path, made)
    assert corners(records[0]) == list(BOX)
    assert (records[0].size, records[0].upright) == ((WIDTH, HEIGHT), True)
    assert findings.said() == ""


def test_a_box_turns_around_its_corner_with_a_warning(tmp_path: Path) -> None:
    value = {"x": 50, "y": 50, "width": 10, "height": 20, "rotation": 90}
    records, findings = saved(tmp_path, task(result(**value)))
    assert corners(records[0]) == [(20, 15), (20, 19), (14, 19), (14, 15)]
    assert "a rotated box was read as its four corners" in findings.said()
    assert records[0].regions[0].turned


def test_an_ellipse_turns_around_its_centre(tmp_path: Path) -> None:
    records, _ = saved(tmp_path, task(result("ellipselabels", **ELLIPSE)))
    xs, ys = zip(*corners(records[0]), strict=True)
    assert (min(xs), max(xs), min(ys), max(ys)) == (18, 22, 10, 20)


def test_a_brush_is_decoded(tmp_path: Path) -> None:
    expected = np.random.default_rng(3).integers(0, 2, (HEIGHT, WIDTH)).astype(np.uint8)
    expected[10:20] = 1
    records, findings = saved(
        tmp_path, task(result("brushlabels", format="rle", rle=brush(expected)))
    )
    mask = records[0].regions[0].mask
    assert mask is not None
    assert (coco_mask.decode(dict(mask)) == expected).all()
    assert findings.said() == ""


def test_pictures_are_named_as_label_studio_names_them(tmp_path: Path) -> None:
    """`PictureFolder` finds them."""
    image = "/data/local-files/?d=set/a%20b.png"
    records, _ = saved(tmp_path, task(result(), image=image))
    assert records[0].name == image


def test_the_picture_is_the_only_one_of_the_data(tmp_path: Path) -> None:
    made = task(result(), data={"photo": "a.png", "video": "walk", "n": 3, "list": []})
    record = saved(tmp_path, made)[0][0]
    assert (record.name, record.keys) == ("a.png", {"video": "walk", "n": "3"})
    small = {**small_task(), "video": "walk"}
    assert saved(tmp_path, small)[0][0].keys == {"video": "walk"}


def test_labels_and_attributes_beside_a_region_belong_to_it(tmp_path: Path) -> None:
    box = {"x": 10, "y": 20, "width": 25, "height": 80 / 3, "rotation": 0}
    alone = {**result(), "type": "rectangle", "value": box}
    labelled = {**result("labels", **box), "type": "labels"}
    choice = {**result(), "type": "choices", "value": {**box, "choices": ["blurred"]}}
    records, findings = saved(tmp_path, task(alone, labelled, choice))
    assert [region.label for region in records[0].regions] == ["balloon"]
    assert findings.said() == ""


def test_results_without_area_are_left_out_with_a_warning(tmp_path: Path) -> None:
    point = {**result("keypointlabels", x=1, y=2, width=0.5), "id": "k"}
    choice = {"type": "choices", "value": {"choices": ["day"]}, "id": "c", "from_name": "c"}
    relation = {"type": "relation", "from_id": "k", "to_id": "c"}
    records, findings = saved(tmp_path, task(point, result(), choice, relation))
    assert len(records[0].regions) == 1
    assert findings.warnings() == [
        f"left out, as its type {kind} has no area: project.json, {records[0].name}, result {index}"
        for kind, index in (("keypointlabels", 1), ("choices", 3), ("relation", 4))
    ]


def with_annotations(*annotations: Json, **more: object) -> Json:
    return {**task(), "annotations": list(annotations), **more}


def annotation(*results: object, **more: object) -> Json:
    return {"id": 1, "result": list(results), "was_cancelled": False, **more}


def test_cancelled_annotations_do_not_count(tmp_path: Path) -> None:
    cancelled = annotation(result("rectanglelabels", "kite"), was_cancelled=True)
    records, _ = saved(tmp_path, with_annotations(cancelled, annotation(result())))
    assert [region.label for region in records[0].regions] == ["balloon"]


def test_the_ground_truth_counts_where_several_annotated(tmp_path: Path) -> None:
    true = annotation(result(), ground_truth=True)
    records, _ = saved(
        tmp_path, with_annotations(annotation(result("rectanglelabels", "kite")), true)
    )
    assert [region.label for region in records[0].regions] == ["balloon"]


def test_tasks_that_nobody_annotated_are_left_out_with_a_warning(tmp_path: Path) -> None:
    predicted = with_annotations(predictions=[annotation(result())], id=6, data={"image": "b.png"})
    cancelled = with_annotations(
        annotation(result(), was_cancelled=True), id=7, data={"image": "c.png"}
    )
    records, findings = saved(tmp_path, task(result()), predicted, cancelled)
    assert len(records) == 1
    assert findings.warnings() == [
        "left out, as the task has only predictions: project.json, task 6, b.png",
        "left out, as the task has no annotation: project.json, task 7, c.png",
    ]


def test_an_annotation_of_nothing_is_a_picture_without_objects(tmp_path: Path) -> None:
    records, findings = saved(tmp_path, task(), {**small_task(image="b.png"), "id": 6})
    assert [len(record.regions) for record in records] == [0, 0]
    assert findings.said() == ""


def test_results_without_a_size_are_read_where_none_is_needed(tmp_path: Path) -> None:
    bare = {"type": "rectanglelabels", "value": result()["value"]}
    records, findings = saved(tmp_path, task(bare))
    assert (corners(records[0]), records[0].size) == (list(BOX), None)
    assert findings.said() == ""


BAD: dict[str, tuple[object, str]] = {
    "not-an-object": (5, "the result is not an object of JSON"),
    "no-value": ({"type": "rectanglelabels"}, "the result has no value"),
    "class": (result("rectanglelabels", "ballon"), 'unknown class "ballon"'),
    "no-label": ({**result(), "value": {**ELLIPSE}}, "the region has 0 labels, not one"),
    "two-labels": (
        {**result(), "value": {**ELLIPSE, "ellipselabels": ["kite", "balloon"]}},
        "the region has 2 labels, not one",
    ),
    "unknown-type": (
        {**result(), "type": "bitmask", "value": {"imageDataURL": "", "labels": ["kite"]}},
        'the result type "bitmask" is not known',
    ),
    "x-missing": (result(x=None, y=1, width=1, height=1), "x is missing, not a number"),
    "x-text": (result(x="1", y=1, width=1, height=1), 'x is "1", not a number'),
    "negative": (result(x=1, y=1, width=-5, height=3), "its box is -2 × 0.9 pixels"),
    "points": (result("polygonlabels", points=[[1, 2], [3, 4]]), "has 2 different points"),
    "points-text": (result("polygonlabels", points="x"), "its points are not a list"),
    "point-short": (result("polygonlabels", points=[[1]]), "does not have two coordinates"),
    "radius": (result("ellipselabels", **{**ELLIPSE, "radiusX": -1}), "its radii are -0.4"),
    "width-0": ({**result(), "original_width": 0}, "original_width is 0, it must be above 0"),
    "half-a-pixel": ({**result(), "original_width": 0.5}, "its picture has 0.5 × 30 pixels"),
    "width-only": ({**result(), "original_height": None}, "original_height is missing"),
    "turned": ({**result(), "image_rotation": 90}, "a picture that was turned in Label Studio"),
    "turned-sizeless": (
        {"type": "r", "value": {**ELLIPSE, "ellipselabels": ["kite"]}},
        "has no original_width and original_height",
    ),
    "brush-bytes": (result("brushlabels", rle="AAAA"), "its brush has no list of bytes"),
    "brush-short": (result("brushlabels", rle=[0, 0, 18, 192]), "its brush stop early"),
    "brush-size": (result("brushlabels", rle=[0, 0, 0, 4, 0]), "its brush has 4 values"),
}


@pytest.mark.parametrize(("bad", "sentence"), BAD.values(), ids=BAD.keys())
def test_a_bad_result_is_one_sentence_with_its_place(
    tmp_path: Path, bad: object, sentence: str
) -> None:
    bad = {**bad, "id": "other"} if isinstance(bad, dict) else bad
    records, findings = saved(tmp_path, task(result(), bad))
    assert len(records[0].regions) == 1
    (defect,) = findings.defects
    assert defect.where == f"project.json, {records[0].name}, result 2"
    assert defect.hint
    assert sentence in defect.what


BAD_TASKS: dict[str, tuple[object, str]] = {
    "not-an-object": (5, "names no one picture"),
    "no-picture": (task(result(), data={"text": "hello"}), "names no one picture"),
    "two-pictures": (task(data={"left": "a.png", "right": "b.png"}), "names no one picture"),
    "several": (
        with_annotations(annotation(), annotation(), data={"image": "b.png"}),
        "has 2 annotations, which may disagree",
    ),
    "again": (task(result()), "annotates the picture of task 5 again"),
    "no-list": (with_annotations(data={"image": "b.png"}, annotations=5), "no list of annotations"),
    "no-result": (
        with_annotations(annotation(result=5), data={"image": "b.png"}),
        "has an annotation without a list of results",
    ),
    "sizes": (
        task(result(), {**result(), "id": "x", "original_width": 99}, image="b.png"),
        "b.png has results for pictures of several sizes",
    ),
}


@pytest.mark.parametrize(("bad", "sentence"), BAD_TASKS.values(), ids=BAD_TASKS.keys())
def test_a_bad_task_is_one_sentence_and_the_others_are_read(
    tmp_path: Path, bad: object, sentence: str
) -> None:
    bad = {**bad, "id": 9} if isinstance(bad, dict) else bad
    records, findings = saved(tmp_path, task(result()), bad)
    assert len(records) == 1
    (defect,) = findings.defects
    assert defect.where == f"project.json, task {9 if isinstance(bad, dict) else 2}"
    assert sentence in defect.what


@pytest.mark.parametrize("content", [[], {}, [{"a": 1}], [5], {"image": "a.png"}])
def test_another_file_is_one_sentence(tmp_path: Path, content: object) -> None:
    pictures(tmp_path)
    save(tmp_path / "project.json", content)
    with pytest.raises(Defect, match="is no list of tasks"):
        read("label_studio", tmp_path / "project.json", tmp_path)


def test_a_folder_of_a_file_for_each_task_is_read(tmp_path: Path) -> None:
    pictures(tmp_path, ("a.png", "b.png"))
    made = task(result())
    listed = made.pop("annotations")
    assert isinstance(listed, list)
    (tmp_path / "tasks").mkdir()
    for number, name in enumerate(("a.png", "b.png")):
        of = {**made, "id": number, "data": {"image": name}}
        save(tmp_path / f"tasks/{number}.json", {**listed[0], "task": of})
    save(tmp_path / "tasks/3.json", {"not": "a task"})
    records, findings = read("label_studio", tmp_path / "tasks", tmp_path)
    assert [record.name for record in records] == ["a.png", "b.png"]
    assert [corners(record) for record in records] == [list(BOX)] * 2
    (defect,) = findings.defects
    assert defect.where == "tasks, 3.json"
    with pytest.raises(Defect, match="is a Label Studio folder, not a COCO file"):
        read("coco", tmp_path / "tasks", tmp_path)
