from pathlib import Path

import pytest
from exports import BOX, corners, pictures, read, voc, voc_object

from mmdet_jetson.stages.annotations.findings import Defect
from mmdet_jetson.stages.annotations.records import Labels

ROBOFLOW, ORIGINAL = "roboflow.com", "The VOC2007 Database"


def folder(source: Path, **files: str) -> Path:
    """A folder of XML files with a picture for each."""
    pictures(source, [f"{stem}.png" for stem in files])
    (source / "labels").mkdir(parents=True)
    for stem, text in files.items():
        (source / "labels" / f"{stem}.xml").write_text(text)
    return source / "labels"


@pytest.mark.parametrize(
    ("database", "box", "warned"),
    [
        ("Unknown", (4, 6, 14, 14), True),  # labelImg, CVAT
        ("Unknown", ("4.0", "6.00", "14.0", "14.00"), True),
        (ROBOFLOW, (5, 7, 15, 15), False),
        ("my own", (5, 7, 15, 15), False),
        ("", (5, 7, 15, 15), False),
        ("", ("4.0", "6.0", "14.0", "14.0"), True),  # labelme2voc
        (ORIGINAL, (5, 7, 14, 14), False),
    ],
)
def test_corners_are_what_the_writer_meant(
    tmp_path: Path, database: str, box: tuple[object, ...], warned: bool
) -> None:
    path = folder(tmp_path, a=voc(voc_object(box=box), database=database))
    records, findings = read("voc", path, tmp_path)
    assert corners(records[0]) == list(BOX)
    assert (records[0].name, records[0].size) == ("a.png", (40, 30))
    assert ("edges counted from 0" in findings.said()) == warned
    assert not findings.defects


def test_the_whole_picture_is_the_whole_picture_of_every_writer(tmp_path: Path) -> None:
    boxes = {"Unknown": (0, 0, 40, 30), ROBOFLOW: (1, 1, 41, 31), ORIGINAL: (1, 1, 40, 30)}
    for index, (database, box) in enumerate(boxes.items()):
        source = tmp_path / str(index)
        path = folder(source, a=voc(voc_object(box=box), database=database))
        records, _ = read("voc", path, source)
        assert corners(records[0]) == [(0, 0), (40, 0), (40, 30), (0, 30)]


@pytest.mark.parametrize("edge", ["0", "3.5"])
def test_one_coordinate_tells_of_all_files_that_name_no_writer(tmp_path: Path, edge: str) -> None:
    files = {
        "a": voc(voc_object(), database=""),
        "b": voc(voc_object(box=(edge, 3, 8, 9)), database=""),
        "c": voc(voc_object(box=(5, 7, 15, 15)), database=ROBOFLOW),
    }
    records, findings = read("voc", folder(tmp_path, **files), tmp_path)
    assert corners(records[0]) == corners(records[2]) == list(BOX)
    assert [where for topic, where in findings.noted if "counted from 0" in topic] == [
        "labels/a.xml", "labels/b.xml",
    ]  # fmt: skip


def test_the_folder_of_voc_tells_where_no_database_does(tmp_path: Path) -> None:
    text = voc(voc_object(box=(5, 7, 14, 14)), database="").replace("images</f", "VOC2012</f")
    records, _ = read("voc", folder(tmp_path, a=text), tmp_path)
    assert corners(records[0]) == list(BOX)


def test_difficult_objects_are_ignored_as_crowds_with_a_count(tmp_path: Path) -> None:
    difficult = voc_object().replace("<difficult>0", "<difficult>1")
    path = folder(tmp_path, a=voc(difficult, voc_object(box=(1, 1, 9, 9)), difficult))
    records, findings = read("voc", path, tmp_path)
    assert [region.crowd for region in records[0].regions] == [True, False, True]
    topics = [topic for topic, _ in findings.noted if topic.startswith("marked difficult")]
    assert len(topics) == 2


def test_a_rotated_box_is_its_four_corners_with_a_warning(tmp_path: Path) -> None:
    turned = (
        "<object><type>robndbox</type><name>balloon</name><robndbox><cx>10</cx><cy>10</cy>"
        "<w>8</w><h>4</h><angle>1.5707963267948966</angle></robndbox></object>"
    )
    records, findings = read("voc", folder(tmp_path, a=voc(turned)), tmp_path)
    assert corners(records[0]) == [(12, 6), (12, 14), (8, 14), (8, 6)]
    assert "a rotated box was read as its four corners" in findings.said()


def test_a_polygon_and_parts_beside_the_box_are_left_out_with_a_warning(tmp_path: Path) -> None:
    extra = "<polygon><x1>1</x1></polygon><part><name>head</name></part>"
    records, findings = read("voc", folder(tmp_path, a=voc(voc_object(extra=extra))), tmp_path)
    assert corners(records[0]) == list(BOX)
    assert "the object's polygon was left out" in findings.said()
    assert "the object's part was left out" in findings.said()


def test_the_picture_of_the_files_own_name_is_taken(tmp_path: Path) -> None:
    path = folder(
        tmp_path, a=voc(voc_object()), b=voc(voc_object(), name="a.png"), c=voc(name="absent")
    )
    records, findings = read("voc", path, tmp_path)
    assert [record.name for record in records] == ["a.png", "b.png", "c.png"]
    assert "the picture of the annotation file's own name was taken" in findings.said()
    assert 'labels/b.xml, b.png, not "a.png"' in findings.said()


def test_a_file_without_a_picture_of_its_name_has_the_one_it_states(tmp_path: Path) -> None:
    path = folder(tmp_path, a=voc(voc_object()), b=voc(name="b.png"))
    (path / "a.xml").rename(path / "other.xml")
    records, findings = read("voc", path, tmp_path)
    assert [record.name for record in records] == ["b.png", "a.png"]
    assert not [topic for topic, _ in findings.noted if "own name" in topic]


def test_one_file_is_read_alone_and_other_encodings_are(tmp_path: Path) -> None:
    path = folder(tmp_path, a="")
    text = voc(voc_object(name="气球"))
    (path / "a.xml").write_bytes(f'<?xml version="1.0" encoding="GBK"?>{text}'.encode("gbk"))
    records, findings = read("voc", path / "a.xml", tmp_path, labels=Labels(("气球",), "", None))
    assert records[0].regions[0].label == "气球"
    assert not findings.defects


def test_a_list_of_image_sets_names_the_files(tmp_path: Path) -> None:
    files = {stem: voc(voc_object(), name=f"{stem}.png") for stem in "abc"}
    folder(tmp_path, **files).rename(tmp_path / "Annotations")
    (tmp_path / "ImageSets/Main").mkdir(parents=True)
    path = tmp_path / "ImageSets/Main/train.txt"
    path.write_text("a\nc  1\n\nabsent\n")
    records, findings = read("voc", path, tmp_path)
    assert [record.name for record in records] == ["a.png", "c.png"]
    (defect,) = findings.defects
    assert (defect.where, defect.what) == (
        "ImageSets/Main/train.txt/absent.xml", "cannot be read (No such file or directory)",
    )  # fmt: skip
    path.write_text("../../../../etc/passwd\n")
    with pytest.raises(Defect, match="points out of the dataset"):
        read("voc", path, tmp_path)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe"])
def test_a_list_of_nothing_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "train.txt").write_bytes(content)
    (tmp_path / "images").mkdir()
    with pytest.raises(Defect, match="list"):
        read("voc", tmp_path / "train.txt", tmp_path)


BAD = {
    "unknown-class": (voc_object(name="ballon"), 'unknown class "ballon"'),
    "no-name": (voc_object(name=""), "the object has no name"),
    "no-box": ("<object><name>kite</name></object>", "the object has 0 boxes (bndbox), not one"),
    "corner-missing": (voc_object().replace("ymax", "yend"), "ymax is missing, not a number"),
    "corner-is-text": (voc_object(box=(1, 2, "x", 4)), 'xmax is "x", not a number'),
    "corner-is-nan": (voc_object(box=(1, 2, "nan", 4)), "xmax is NaN, which cannot be"),
    "swapped": (voc_object(box=(9, 9, 3, 3)), "its box goes from 9, 9 to 3, 3"),
    "difficult": (voc_object().replace("<difficult>0", "<difficult>2"), 'difficult is "2"'),
}


@pytest.mark.parametrize(("bad", "sentence"), BAD.values(), ids=BAD.keys())
def test_a_bad_object_is_one_sentence_with_its_place(
    tmp_path: Path, bad: str, sentence: str
) -> None:
    path = folder(tmp_path, a=voc(voc_object(), bad), b=voc(voc_object()))
    records, findings = read("voc", path, tmp_path)
    assert [len(record.regions) for record in records] == [1, 1]
    (defect,) = findings.defects
    assert (defect.where, defect.hint != "") == ("labels/a.xml, object 2", True)
    assert sentence in defect.what


BAD_FILES = {
    "empty": ("", "is not XML (line 1: no element found)"),
    "cut-off": ("<annotation><object>", "is not XML (line 1: no element found)"),
    "another": ("<html/>", "is XML but not Pascal VOC's: it begins with <html>"),
    "bomb": (
        '<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><annotation>&c;</annotation>',
        "has a document type",
    ),
    "entity": (
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><annotation>&b;</annotation>',
        "has a document type",
    ),
    "deep": ("<a>" * 101 + "</a>" * 101, "is nested too deeply"),
    "encoding": ('<?xml version="1.0" encoding="x-none"?><annotation/>', "is not usable XML"),
    "size": (voc().replace("<width>40", "<width>x"), 'width is "x", not a number'),
}


@pytest.mark.parametrize(("text", "sentence"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_bad_file_is_one_sentence_and_the_others_are_read(
    tmp_path: Path, text: str, sentence: str
) -> None:
    path = folder(tmp_path, a=text, b=voc(voc_object()))
    records, findings = read("voc", path, tmp_path)
    (defect,) = findings.defects
    assert sentence in defect.what
    assert [record.name for record in records] == ["b.png"]


def test_a_folder_without_xml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(Defect, match=r"is a folder without \.xml files"):
        read("voc", tmp_path / "images", tmp_path)
