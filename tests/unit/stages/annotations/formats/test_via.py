import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from labelled import Json, entry, polygon, rect, region, save, via

from mmdet_jetson.stages.annotations.findings import Defect, Findings
from mmdet_jetson.stages.annotations.formats.via import read
from mmdet_jetson.stages.annotations.records import Labels, Outline, Record
from mmdet_jetson.stages.errors import StageError

CLASSES = ("balloon", "kite")
SQUARE = [(1, 2), (11, 2), (11, 12), (1, 12)]


def saved(
    tmp_path: Path, content: object, attribute: str = "label", default: str | None = None
) -> tuple[list[Record], Findings]:
    """What a file with that content is read as."""
    save(tmp_path / "via.json", content)
    findings = Findings()
    labels = Labels(CLASSES, attribute, default)
    return read(tmp_path / "via.json", "via.json", labels, findings), findings


def outline_of(tmp_path: Path, shape: Json) -> Outline:
    records, findings = saved(tmp_path, via(entry("a.png", region(shape, label="kite"))))
    findings.raise_defects()
    return records[0].regions[0].outlines[0]


def label_of(
    tmp_path: Path, attributes: object, attribute: str = "label", default: str | None = None
) -> str:
    raw = {"shape_attributes": rect(), "region_attributes": attributes}
    records, findings = saved(tmp_path, via(entry("a.png", raw)), attribute, default)
    findings.raise_defects()
    return records[0].regions[0].label


def as_version_1(content: Json) -> Json:
    """VIA 1.x numbers the regions, where 2.x lists them."""
    entries = json.loads(json.dumps(content))
    for item in entries.values():
        item["regions"] = {str(i): raw for i, raw in enumerate(item["regions"])}
    changed: Json = entries
    return changed


def as_project(content: Json) -> Json:
    return {"_via_settings": {}, "_via_img_metadata": content, "_via_attributes": {}}


@pytest.mark.parametrize(
    "form", [as_version_1, lambda content: content, as_project], ids=["1.x", "2.x", "2.x-project"]
)
def test_every_form_gives_the_same_records(tmp_path: Path, form: Callable[[Json], Json]) -> None:
    content = via(
        entry("a b.png", region(label="kite"), region(polygon(*SQUARE), label="balloon")),
        entry("empty.png"),
    )
    records, findings = saved(tmp_path, form(content))
    findings.raise_defects()
    first, second = records
    assert (first.name, second.name, second.regions) == ("a b.png", "empty.png", ())
    assert [(item.where, item.label) for item in first.regions] == [
        ("region 1", "kite"),
        ("region 2", "balloon"),
    ]
    assert first.regions[1].outlines == (tuple(SQUARE),)


def test_rect_becomes_its_corners(tmp_path: Path) -> None:
    assert outline_of(tmp_path, rect(1, 2, 3, 4)) == ((1, 2), (4, 2), (4, 6), (1, 6))


def test_circle_has_its_radius_everywhere(tmp_path: Path) -> None:
    points = outline_of(tmp_path, {"name": "circle", "cx": 20, "cy": 10, "r": 5})
    assert {round(math.dist(point, (20, 10)), 6) for point in points} == {5}


def test_ellipse_turns_by_theta_in_radians_clockwise_on_the_screen(tmp_path: Path) -> None:
    shape = {"name": "ellipse", "cx": 20, "cy": 10, "rx": 8, "ry": 2, "theta": math.pi / 6}
    points = outline_of(tmp_path, shape)
    assert points[0] == pytest.approx((20 + 8 * math.cos(math.pi / 6), 14))


def test_ellipse_of_version_1_has_no_theta(tmp_path: Path) -> None:
    points = outline_of(tmp_path, {"name": "ellipse", "cx": 20, "cy": 10, "rx": 8, "ry": 2})
    assert points[0] == (28, 10)


def test_polyline_is_closed_with_a_warning(tmp_path: Path) -> None:
    shape = {**polygon(*SQUARE), "name": "polyline"}
    records, findings = saved(tmp_path, via(entry("a.png", region(shape, label="kite"))))
    assert list(records[0].regions[0].outlines) == [tuple(SQUARE)]
    assert findings.warnings() == [
        "an open polyline was closed to a polygon: via.json, a.png, region 1"
    ]


@pytest.mark.parametrize(
    "attributes",
    [
        {"label": "kite"},
        {"label": " kite "},
        {"label": {"kite": True}},
        {"label": {"balloon": False, "kite": True}},
    ],
    ids=["text-dropdown-or-radio", "spaces-around", "checkbox", "unticked-checkbox"],
)
def test_label_comes_from_the_attribute(tmp_path: Path, attributes: Json) -> None:
    assert label_of(tmp_path, attributes, default="balloon") == "kite"


def test_label_attribute_has_any_name(tmp_path: Path) -> None:
    assert label_of(tmp_path, {"what": "kite", "label": "x"}, attribute="what") == "kite"


@pytest.mark.parametrize("attributes", [{}, None, {"label": ""}, {"label": {}}, {"other": "x"}])
def test_unlabelled_region_gets_the_default_class(tmp_path: Path, attributes: object) -> None:
    assert label_of(tmp_path, attributes, default="balloon") == "balloon"


BAD_FILES: dict[str, tuple[object, str]] = {
    "not-json": ("{'a': 1}", "is not JSON (line 1"),
    "cut-off": (json.dumps(via(entry("a.png", region())))[:60], "is not JSON"),
    "empty-file": ("", "is empty"),
    "csv-export": ("filename,file_size,file_attributes\n", "is not JSON"),
    "nested-without-end": ("[" * 200_000, "is nested too deeply"),
    "number-without-end": ('{"a": ' + "1" * 5000 + "}", "is"),
    "a-list": ([1], "is a JSON list, not a VIA export"),
    "null": (None, "is a JSON null, not a VIA export"),
    "other-json": ({"version": 1}, "no entry has a file name"),
    "coco": ({"images": [], "annotations": []}, "no entry has a file name"),
    "via-3": ({"project": {}, "metadata": {}}, "is a VIA 3 project"),
    "key-twice": ('{"a": {"filename": "a"}, "a": {"filename": "a"}}', 'the key "a" twice'),
}


@pytest.mark.parametrize(("content", "sentence"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_unreadable_file_is_one_defect_with_a_hint(
    tmp_path: Path, content: object, sentence: str
) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    with pytest.raises(Defect) as caught:
        saved(tmp_path, text)
    assert sentence in caught.value.what
    assert caught.value.hint


def test_wrong_encoding_is_a_defect(tmp_path: Path) -> None:
    path = tmp_path / "via.json"
    path.write_bytes('{"a": "ä"}'.encode("latin-1"))
    with pytest.raises(Defect, match="is not UTF-8 text"):
        read(path, "via.json", Labels(CLASSES, "label", None), Findings())


def test_byte_order_mark_is_allowed(tmp_path: Path) -> None:
    records, _ = saved(tmp_path, "\ufeff" + json.dumps(via(entry("ä.png"))))
    assert records[0].name == "ä.png"


BAD_ENTRIES = {
    "no-regions-field": ({"filename": "a.png"}, "has no list of regions"),
    "regions-not-a-list": ({"filename": "a.png", "regions": "x"}, "has no list of regions"),
    "file-name-not-text": ({"filename": 1, "regions": []}, "has no file name"),
}


@pytest.mark.parametrize(("bad", "sentence"), BAD_ENTRIES.values(), ids=BAD_ENTRIES.keys())
def test_bad_entry_names_its_key(tmp_path: Path, bad: Json, sentence: str) -> None:
    records, findings = saved(tmp_path, {"k1": bad, "k2": entry("b.png")})
    assert [record.name for record in records] == ["b.png"]
    with pytest.raises(StageError, match='via.json, entry "k1": ' + sentence):
        findings.raise_defects()


def circle(**changes: object) -> Json:
    return {"name": "circle", "cx": 9, "cy": 9, "r": 5, **changes}


BAD_REGIONS: dict[str, tuple[object, str]] = {
    "no-shape": ({"region_attributes": {"label": "kite"}}, "has no shape"),
    "not-an-object": (5, "has no shape"),
    "point": (region({"name": "point", "cx": 1, "cy": 1}), 'the shape "point" has no area'),
    "shape-without-name": (region({"x": 1}), 'the shape "None" has no area'),
    "shape-name-a-list": (region({"name": []}), 'the shape "[]" has no area'),
    "two-points": (region(polygon((1, 1), (5, 5))), "has 2 different points, it needs"),
    "three-times-one-point": (region(polygon(*[(1, 1)] * 3)), "has 1 different point, it"),
    "more-x-than-y": (
        region({"name": "polygon", "all_points_x": [1, 2, 3, 4], "all_points_y": [1, 2, 3]}),
        "has 4 x and 3 y coordinates",
    ),
    "no-points": (region({"name": "polygon"}), "all_points_x is missing, not a list"),
    "nan": (region(circle(cx=math.nan)), "cx is NaN, which cannot be a coordinate"),
    "infinite": (region(rect(x=math.inf)), "x is Infinity, which cannot be a coordinate"),
    "far-too-large": (region(rect(x=10**400)), "which cannot be a coordinate"),
    "text-coordinate": (region(rect(x="4")), 'x is "4", not a number'),
    "true-coordinate": (region(rect(x=True)), "x is true, not a number"),
    "null-coordinate": (region(rect(x=None)), "x is missing, not a number"),
    "bad-polygon-coordinate": (
        region(polygon((1, 1), (5, None), (3, 3))),
        "all_points_y[1] is missing",
    ),
    "unknown-class": (region(label="baloon"), 'unknown class "baloon"'),
    "no-label": (region(), 'the region has no "label" attribute'),
    "two-boxes-ticked": (
        region(label={"kite": True, "balloon": True}),
        "2 classes are ticked: kite, balloon",
    ),
    "label-a-list": (region(label=["kite"]), 'the attribute "label" is not text'),
}


@pytest.mark.parametrize(("bad", "sentence"), BAD_REGIONS.values(), ids=BAD_REGIONS.keys())
def test_bad_region_is_one_sentence_with_its_place_and_a_hint(
    tmp_path: Path, bad: object, sentence: str
) -> None:
    _, findings = saved(tmp_path, via(entry("a.png", region(label="kite"), bad)))
    with pytest.raises(StageError) as caught:
        findings.raise_defects()
    assert caught.value.message.startswith("via.json, a.png, region 2: ")
    assert sentence in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_unknown_class_names_the_nearest(tmp_path: Path) -> None:
    _, findings = saved(tmp_path, via(entry("a.png", region(label="Baloon"))))
    with pytest.raises(StageError) as caught:
        findings.raise_defects()
    assert 'the nearest class is "balloon"' in caught.value.hint


def test_missing_label_names_the_attributes_there_are(tmp_path: Path) -> None:
    _, findings = saved(tmp_path, via(entry("a.png", region(type="kite"))))
    with pytest.raises(StageError) as caught:
        findings.raise_defects()
    assert 'label_attribute may have to be one of "type"' in caught.value.hint


@pytest.mark.parametrize(
    "shape",
    [
        rect(width=-3),
        rect(height=0),
        circle(r=0),
        {"name": "ellipse", "cx": 9, "cy": 9, "rx": -5, "ry": 2},
    ],
    ids=["negative-width", "zero-height", "zero-radius", "negative-half-axis"],
)
def test_shape_without_an_area_is_left_out_with_a_warning(tmp_path: Path, shape: Json) -> None:
    records, findings = project(tmp_path, [region(shape, label="kite"), region(label="kite")])
    findings.raise_defects()
    assert [each.where for each in records[0].regions] == ["region 2"]
    (warning,) = findings.warnings()
    assert warning.startswith("left out, as it has no area")
    assert warning.endswith("via.json, a.png, region 1")


LABELS = Labels(CLASSES, "label", None)


def project(
    tmp_path: Path,
    regions: list[Json],
    options: object = None,
    labels: Labels = LABELS,
    **others: object,
) -> tuple[list[Record], Findings]:
    """What a project file with these regions and options of the class attribute is read as."""
    content = {
        "_via_img_metadata": via(entry("a.png", *regions)),
        "_via_attributes": {"region": {"label": {"type": "radio", "options": options}}},
        **others,
    }
    save(tmp_path / "via.json", content)
    findings = Findings()
    return read(tmp_path / "via.json", "via.json", labels, findings), findings


def read_labels(records: list[Record]) -> list[str]:
    return [each.label for each in records[0].regions]


def test_option_ids_mean_what_the_project_calls_them(tmp_path: Path) -> None:
    options = {"1": "kite ", "2": "balloon", "kite": "A toy in the wind", "unused": None}
    regions = [
        region(label="1"),
        region(label={"2": True, "1": False}),
        region(label=2),
        region(label="kite"),
    ]
    records, findings = project(tmp_path, regions, options)
    findings.raise_defects()
    assert read_labels(records) == ["kite", "balloon", "balloon", "kite"]
    assert findings.warnings() == [
        'the class "kite " was read as "kite": via.json, a.png, region 1'
    ]


def test_option_that_is_two_classes_is_refused(tmp_path: Path) -> None:
    _, findings = project(tmp_path, [region(label="kite")], {"kite": "balloon"})
    with pytest.raises(StageError, match="both are classes"):
        findings.raise_defects()


@pytest.mark.parametrize("options", [None, [], {"1": ["kite"]}, "kite"])
def test_number_that_no_option_explains_says_where_to_look(tmp_path: Path, options: object) -> None:
    _, findings = project(tmp_path, [region(label="1")], options)
    with pytest.raises(StageError, match='unknown class "1"') as caught:
        findings.raise_defects()
    assert "the id of an option of VIA's" in str(caught.value.hint)
    assert 'rename = { "1" = "..." }' in str(caught.value.hint)


def test_other_classes_are_left_out_where_that_is_wished(tmp_path: Path) -> None:
    labels = Labels(CLASSES, "label", None, others="ignore", rename={"Drachen": "kite"})
    point = {"name": "point", "cx": 3, "cy": 4}
    regions = [region(label="Drachen"), region(label="bird"), region(point, label="bird")]
    records, findings = project(tmp_path, regions, labels=labels)
    findings.raise_defects()
    assert read_labels(records) == ["kite"]
    assert findings.warnings() == [
        "left out, as their classes are none of the dataset's: 2 in all (bird 2), such as "
        "via.json, a.png, region 2"
    ]


def test_pictures_that_a_project_lists_without_an_entry_are_named(tmp_path: Path) -> None:
    listed = ["a.png1", "gone.png7", 5]
    _, findings = project(tmp_path, [region(label="kite")], _via_image_id_list=listed)
    assert findings.warnings() == [
        "listed in _via_image_id_list, but has no entry: via.json, gone.png7; via.json, 5"
    ]


def test_what_a_file_says_of_a_picture_may_tell_groups(tmp_path: Path) -> None:
    picture = {**entry("a.png"), "file_attributes": {"video": "v1", "day": 3, "none": None}}
    save(tmp_path / "via.json", via(picture))
    (record,) = read(tmp_path / "via.json", "via.json", Labels(CLASSES, "label", None), Findings())
    assert record.keys == {"video": "v1", "day": "3"}
