"""Which format reads a file, and what is said where it is in another one."""

import inspect
from pathlib import Path

import pytest
from exports import BOX, corners, example
from exports import read as read_export
from labelled import coco, entry, region, save, via

from mmdet_jetson.contract.formats import FORMATS
from mmdet_jetson.stages.annotations import formats
from mmdet_jetson.stages.annotations.findings import Defect, Findings
from mmdet_jetson.stages.annotations.formats import (
    Format,
    PictureFormat,
    RememberingFormat,
    annotation_format,
    read_annotations,
)
from mmdet_jetson.stages.annotations.records import Labels, Record
from mmdet_jetson.stages.errors import StageError

LABELS = Labels(("balloon", "kite"), "label", None)
FILES = {
    "via": via(entry("a.png", region(label="kite"))),
    "via-project": {"_via_img_metadata": {}, "_via_settings": {}},
    "coco": coco(),
}


def read(name: str, path: Path, content: object) -> list[Record]:
    save(path, content)
    findings = Findings()
    records = read_annotations(name, path, path.name, LABELS, findings)
    findings.raise_defects()
    return records


def test_every_module_is_registered_and_every_format_has_one() -> None:
    modules = {path.stem for path in Path(formats.__file__).parent.glob("*.py")}
    assert modules == {"__init__", *FORMATS}


@pytest.mark.parametrize("name", FORMATS)
def test_every_module_has_what_a_format_has(name: str) -> None:
    module = annotation_format(name)
    assert module.SUFFIX.startswith(".")
    kinds = {"PER_PICTURE": PictureFormat, "REMEMBERS": RememberingFormat}
    kind = next((kinds[each] for each in kinds if getattr(module, each, False)), Format)
    for function in ("read", "recognises"):
        _, *expected = inspect.signature(getattr(kind, function)).parameters
        assert list(inspect.signature(getattr(module, function)).parameters) == expected


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "<a/>"])
def test_no_format_recognises_what_is_none(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / "file").write_text(content)
    assert not annotation_format(name).recognises(tmp_path / "file")
    assert not annotation_format(name).recognises(tmp_path / "absent")
    assert not annotation_format(name).recognises(tmp_path)


def test_each_format_reads_its_own(tmp_path: Path) -> None:
    assert read("via", tmp_path / "a.json", FILES["via"])[0].regions[0].label == "kite"
    assert read("coco", tmp_path / "a.json", FILES["coco"])[0].regions[0].label == "balloon"


@pytest.mark.parametrize(
    ("name", "content", "sentence", "hint"),
    [
        ("coco", "via", "is a VIA file, not a COCO file", 'format to "via"'),
        ("coco", "via-project", "is a VIA file, not a COCO file", 'format to "via"'),
        ("via", "coco", "is a COCO file, not a VIA file", 'format to "coco"'),
    ],
)
def test_a_file_of_another_format_names_that_format(
    tmp_path: Path, name: str, content: str, sentence: str, hint: str
) -> None:
    with pytest.raises(Defect) as caught:
        read(name, tmp_path / "a.json", FILES[content])
    assert caught.value.what == sentence
    assert hint in caught.value.hint


FILE_FORMATS = ["via", "coco", "label_studio", "cvat", "datumaro"]


@pytest.mark.parametrize("name", FILE_FORMATS)
def test_a_file_of_no_format_says_what_is_wrong_with_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(Defect, match=r"is not (JSON|XML)"):
        read(name, tmp_path / "a.json", "{")


@pytest.mark.parametrize("name", FILE_FORMATS)
def test_a_folder_is_not_a_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(Defect, match="is a folder"):
        read_annotations(name, tmp_path, "folder", LABELS, Findings())


NEW = ["yolo", "voc", "labelme", "label_studio", "cvat", "datumaro"]


@pytest.mark.parametrize("name", NEW)
def test_each_format_reads_and_recognises_the_export_of_its_tool(tmp_path: Path, name: str) -> None:
    path = example(name, tmp_path)
    records, findings = read_export(name, path, tmp_path)
    assert [region.label for region in records[0].regions] == ["balloon"]
    assert corners(records[0])[0] == pytest.approx(BOX[0], abs=1e-4)
    assert not findings.defects
    assert [other for other in FORMATS if annotation_format(other).recognises(path)] == [name]


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("wrong", FORMATS)
def test_an_export_of_another_tool_is_named_for_what_it_is(
    tmp_path: Path, name: str, wrong: str
) -> None:
    if wrong == name:
        return
    path = example(name, tmp_path)
    with pytest.raises(Defect) as caught:
        read_export(wrong, path, tmp_path)
    kind = "folder" if path.is_dir() else "file"
    wanted = kind if wrong in {"yolo", "voc", "labelme"} else "file"
    assert caught.value.what == f"is a {FORMATS[name]} {kind}, not a {FORMATS[wrong]} {wanted}"
    assert f'format to "{name}"' in caught.value.hint


def test_a_folder_of_yolo_labels_is_named(tmp_path: Path) -> None:
    example("yolo", tmp_path)
    for wrong in ("coco", "voc", "labelme", "cvat"):
        with pytest.raises(Defect, match="is a YOLO folder, not a"):
            read_export(wrong, tmp_path / "labels", tmp_path)


def test_a_file_whose_every_object_is_wrong_may_be_of_another_format(tmp_path: Path) -> None:
    """A COCO file of captions has pictures and annotations, and yet none of its own."""
    annotations = [{"id": 1, "image_id": 1, "caption": "a balloon"}]
    with pytest.raises(Defect) as caught:
        read("coco", tmp_path / "a.json", coco(annotations=annotations))
    assert caught.value.what == "is a COCO captions file, which is not read"


VIA_TABLE = (
    "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,"
    "region_attributes\n"
)
FOREIGN: dict[str, tuple[str, object, str, str]] = {
    "via": ("via", VIA_TABLE, "is a VIA export as CSV, which is not read", "(as json)"),
    "coco": (
        "coco", [{"image_id": 1, "score": 0.5}],
        "is a COCO results file (detections, no annotations), which is not read", "export",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "sentence", "hint"), FOREIGN.values(), ids=FOREIGN.keys()
)
def test_what_a_tool_writes_beside_its_annotations_is_named(
    tmp_path: Path, name: str, content: object, sentence: str, hint: str
) -> None:
    with pytest.raises(Defect) as caught:
        read(name, tmp_path / "file", content)
    assert caught.value.what == sentence
    assert hint in caught.value.hint


def test_a_format_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StageError) as caught:
        read("kitti", tmp_path / "a.json", "{}")
    assert "via, coco" in caught.value.hint
