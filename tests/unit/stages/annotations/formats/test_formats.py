"""Which format reads a file, and what is said where it is in another one."""

import inspect
from pathlib import Path

import pytest
from labelled import coco, entry, region, save, via

from mmdet_jetson.contract.formats import FORMATS
from mmdet_jetson.stages.annotations import formats
from mmdet_jetson.stages.annotations.findings import Defect, Findings
from mmdet_jetson.stages.annotations.formats import Format, annotation_format, read_annotations
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
    for function in ("read", "recognises"):
        _, *expected = inspect.signature(getattr(Format, function)).parameters
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


@pytest.mark.parametrize("name", ["via", "coco"])
def test_a_file_of_no_format_says_what_is_wrong_with_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(Defect, match="is not JSON"):
        read(name, tmp_path / "a.json", "{")


@pytest.mark.parametrize("name", ["via", "coco"])
def test_a_folder_is_not_a_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(Defect, match="is a folder"):
        read_annotations(name, tmp_path, "folder", LABELS, Findings())


def test_a_format_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StageError) as caught:
        read("yolo", tmp_path / "a.json", "{}")
    assert "via, coco" in caught.value.hint
