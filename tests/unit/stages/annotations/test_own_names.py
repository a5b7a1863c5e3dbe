from pathlib import Path

import pytest
from exports import Noted, pictures
from labelled import save

from mmdet_jetson.stages.annotations.findings import Defect
from mmdet_jetson.stages.annotations.own_names import OwnNames, files_below
from mmdet_jetson.stages.annotations.place import Place
from mmdet_jetson.stages.annotations.records import Labels


def place() -> tuple[Place, Noted]:
    findings = Noted()
    return Place("labels/a.xml", Labels(("kite",), "", None), findings), findings


def test_files_are_listed_below_a_folder_without_those_of_macos(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("b.xml", "sub/a.XML", "._b.xml", "c.txt"):
        save(tmp_path / name, "")
    assert [name for _, name in files_below(tmp_path, ".xml")] == ["b.xml", "sub/a.XML"]
    assert files_below(tmp_path / "c.txt", ".xml") == [(tmp_path / "c.txt", "c.txt")]
    with pytest.raises(Defect, match=r"is a folder without \.json files"):
        files_below(tmp_path, ".json")


def test_a_stem_in_several_folders_is_the_one_of_the_same_folder(tmp_path: Path) -> None:
    pictures(tmp_path, ["x/a.png", "y/a.png", "b.png", "._b.png"])
    names = OwnNames(tmp_path / "images")
    assert names.names == ["b.png", "x/a.png", "y/a.png"]
    assert names.of("y/a") == "y/a.png"
    assert names.of("a") is None
    assert names.of("z/b") == "b.png"


def test_without_a_picture_of_its_name_the_stated_one_counts(tmp_path: Path) -> None:
    at, findings = place()
    assert OwnNames(None).beside("b.png", "a.xml", at) == "b.png"
    with pytest.raises(Defect, match="names no picture, and none has its name"):
        OwnNames(None).beside(None, "a.xml", at)
    assert findings.said() == ""


def test_a_stated_name_without_suffix_is_the_own_one(tmp_path: Path) -> None:
    pictures(tmp_path, ["a.png"])
    at, findings = place()
    assert OwnNames(tmp_path / "images").beside("a", "a.xml", at) == "a.png"
    assert findings.said() == ""
