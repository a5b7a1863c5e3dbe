from pathlib import Path

import pytest
from exports import BOX, corners, pictures, read
from labelled import HEIGHT, WIDTH

from mmdet_jetson.stages.annotations.findings import Defect
from mmdet_jetson.stages.annotations.records import Labels

ROW = f"0 {9 / WIDTH} {10 / HEIGHT} {10 / WIDTH} {8 / HEIGHT}"
"""The box from 4, 6 to 14, 14."""
YAML = "names: [balloon, kite]\n"


def source(folder: Path, layout: str = "images", yaml: str = YAML, **labels: str) -> Path:
    """Pictures in a folder, and label files where Ultralytics looks for them."""
    pictures(folder, [f"{stem}.png" for stem in labels], layout)
    beside = folder / layout.replace("images", "labels")
    beside.mkdir(parents=True, exist_ok=True)
    for stem, text in labels.items():
        (beside / f"{stem}.txt").write_text(text)
    if yaml:
        (folder / "data.yaml").write_text(yaml)
    return folder / "data.yaml"


@pytest.mark.parametrize(
    "layout", ["images", "images/train", "train/images", "train", "images/images"]
)
def test_labels_are_found_where_ultralytics_looks_for_them(tmp_path: Path, layout: str) -> None:
    path = source(tmp_path, layout, a=ROW)
    if layout == "images/images":
        (tmp_path / "images").rename(tmp_path / "images-")
        pictures(tmp_path, ["a.png"], layout)
        (tmp_path / "images/labels").mkdir()
        (tmp_path / "labels/labels/a.txt").rename(tmp_path / "images/labels/a.txt")
    records, findings = read("yolo", path, tmp_path, layout)
    assert corners(records[0]) == list(BOX)
    assert (records[0].name, records[0].size) == ("a.png", None)
    assert findings.said() == ""


@pytest.mark.parametrize("names", ["classes.txt", "obj.names", "_darknet.labels"])
def test_darknet_lists_of_names_beside_the_labels_or_above_count(
    tmp_path: Path, names: str
) -> None:
    source(tmp_path, yaml="", a=f"1 {ROW[2:]}")
    for folder in (tmp_path / "labels", tmp_path):
        (folder / names).write_text("balloon\nkite\n")
        records, findings = read("yolo", tmp_path / "labels", tmp_path)
        assert [region.label for region in records[0].regions] == ["kite"]
        assert findings.said() == ""
        (folder / names).unlink()
    records, findings = read("yolo", tmp_path / "labels", tmp_path)
    assert records[0].regions[0].label == "kite"
    assert "taken to count the classes of the configuration" in findings.said()


def test_nothing_above_the_source_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("names: [wrong]\n")
    source(tmp_path / "source", yaml="", a=ROW)
    records, _ = read("yolo", tmp_path / "source/labels", tmp_path / "source")
    assert records[0].regions[0].label == "balloon"


@pytest.mark.parametrize(
    "yaml",
    [
        "names: {0: balloon, 1: kite}\n",
        "names:\n  1: kite\n  0: balloon\n",
        "path: ../elsewhere\ntrain: ../train/images\nnc: 2\nnames: ['balloon', 'kite']\n",
        "\ufeffnames: &n [balloon, kite]\nagain: *n\n",
    ],
)
def test_names_are_a_list_or_numbered(tmp_path: Path, yaml: str) -> None:
    records, _ = read("yolo", source(tmp_path, yaml=yaml, a=f"{ROW}\n1.0 {ROW[2:]}"), tmp_path)
    assert [region.label for region in records[0].regions] == ["balloon", "kite"]


def test_a_name_that_yaml_takes_for_a_value_keeps_its_text(tmp_path: Path) -> None:
    path = source(tmp_path, yaml="names: [no, 0x1]\n", a=f"{ROW}\n1 {ROW[2:]}")
    records, _ = read("yolo", path, tmp_path, labels=Labels(("no", "0x1"), "", None))
    assert [region.label for region in records[0].regions] == ["no", "0x1"]


def test_polygons_are_read_and_mixing_them_with_boxes_is_warned_of(tmp_path: Path) -> None:
    polygon = f"1 0 0 {10 / WIDTH} 0 {10 / WIDTH} {15 / HEIGHT}"
    records, findings = read("yolo", source(tmp_path, a=f"{ROW}\n\n{polygon}\n"), tmp_path)
    assert corners(records[0]) == list(BOX)
    assert corners(records[0], 1) == [(0, 0), (10, 0), (10, 15)]
    assert records[0].regions[1].where == "line 3"
    assert "boxes and polygons in one label file" in findings.said()


def test_what_rounding_put_past_the_edge_is_at_the_edge(tmp_path: Path) -> None:
    rows = "0 0.1666665 0.5 0.3333335 1.000001\n0 0.5 0.5 1.1 1"
    records, _ = read("yolo", source(tmp_path, a=rows), tmp_path)
    (left, top), _, (_, bottom), _ = records[0].regions[0].outlines[0]
    assert (left, top, bottom) == (0, 0, 1)
    assert records[0].regions[1].outlines[0][0][0] < 0


def test_pictures_without_a_label_file_and_empty_files_have_no_objects(tmp_path: Path) -> None:
    path = source(tmp_path, a=ROW, b="")
    pictures(tmp_path, ["c.png"])
    records, findings = read("yolo", path, tmp_path)
    assert [(record.name, len(record.regions)) for record in records] == [
        ("a.png", 1), ("b.png", 0), ("c.png", 0),
    ]  # fmt: skip
    assert findings.warnings() == [
        "has no label file, so it is taken to show no object: data.yaml, c.png"
    ]


def test_label_files_without_a_picture_are_warned_of_and_lists_are_not(tmp_path: Path) -> None:
    path = source(tmp_path, a=ROW)
    for name, text in (("old", ROW), ("classes", "balloon"), ("readme", "hello"), ("train", "a")):
        (tmp_path / f"labels/{name}.txt").write_text(text)
    _, findings = read("yolo", path, tmp_path)
    assert findings.warnings() == [
        "left out, as no picture has the name of this label file: data.yaml, old.txt"
    ]


def test_keypoints_are_left_out_where_data_yaml_says_how_many(tmp_path: Path) -> None:
    yaml = YAML + "kpt_shape: [2, 3]\n"
    records, findings = read(
        "yolo", source(tmp_path, yaml=yaml, a=ROW + " 0.1 0.2 2" * 2), tmp_path
    )
    assert corners(records[0]) == list(BOX)
    assert "its keypoints were left out" in findings.said()


BAD = {
    "class-is-text": ("balloon 0.5 0.5 0.1 0.1", 'begins with "balloon", not with the number'),
    "class-nan": ("nan 0.5 0.5 0.1 0.1", "the class number nan is none of the 2 of data.yaml"),
    "class-beyond": ("2 0.5 0.5 0.1 0.1", "the class number 2 is none of the 2 of data.yaml"),
    "class-half": ("0.5 0.5 0.5 0.1 0.1", "the class number 0.5 is none"),
    "too-few": ("0 0.5 0.5 0.1", "the row has 4 numbers, neither a box's 5"),
    "score": ("0 0.5 0.5 0.1 0.1 0.9", "as a prediction with its score has"),
    "odd-polygon": ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "the row has 8 numbers, neither"),
    "pixels": ("0 20 15 10 8", "the row has 20, which is no fraction of the picture"),
    "not-a-number": ("0 0.5 x 0.1 0.1", 'number 2 is "x", not a number'),
    "infinite": ("0 0.5 inf 0.1 0.1", "number 2 is Infinity"),
    "negative": ("0 0.5 0.5 -0.1 0.1", "its box is -0.1 wide and 0.1 high"),
    "two-points": ("0 0.1 0.1 0.2 0.2 0.1 0.1", "the polygon has 2 different points"),
}


@pytest.mark.parametrize(("row", "sentence"), BAD.values(), ids=BAD.keys())
def test_a_bad_row_is_one_sentence_with_its_place(tmp_path: Path, row: str, sentence: str) -> None:
    records, findings = read("yolo", source(tmp_path, a=f"{ROW}\n{row}\n"), tmp_path)
    assert len(records[0].regions) == 1
    (defect,) = findings.defects
    assert (defect.where, defect.hint != "") == ("data.yaml, a.png, line 2", True)
    assert sentence in defect.what


BAD_YAML = {
    "empty": ("", "is not a data.yaml"),
    "no-yaml": ("names: [a", "is not YAML"),
    "no-names": ("nc: 2", "is YAML but not a data.yaml: it has no names"),
    "names-are-text": ("names: balloon", "has names that are neither a list nor numbers"),
    "no-name": ("names: []", "has no names of classes"),
    "name-twice": ("names: [kite, kite]", "gives two class numbers the same name"),
    "number-twice": ("names: {0: balloon, 00: kite}", 'has the class number "00"'),
    "key-twice": ("names: [a]\nnames: [b]", 'has the key "names" twice'),
    "count": ("nc: 3\nnames: [balloon, kite]", "says nc: 3 but has 2 names"),
    "nested-names": ("names: [[a], b]", "has a name that is not text"),
    "tag": ("names: !!python/object/apply:os.system [ls]\nnc: 9", "says nc: 9 but has 1 names"),
    "deep": ("[" * 5000, "is nested too deeply"),
    "kpt": ("names: [a]\nkpt_shape: 3", "has a kpt_shape that is not two numbers"),
}


@pytest.mark.parametrize(("yaml", "sentence"), BAD_YAML.values(), ids=BAD_YAML.keys())
def test_a_bad_data_yaml_is_one_sentence(tmp_path: Path, yaml: str, sentence: str) -> None:
    path = source(tmp_path, a=ROW)
    path.write_text(yaml)
    with pytest.raises(Defect) as caught:
        read("yolo", path, tmp_path)
    assert sentence in caught.value.what
    assert caught.value.hint


def test_labels_in_another_place_are_missed_with_a_sentence(tmp_path: Path) -> None:
    path = source(tmp_path, "train/images", a=ROW)
    (tmp_path / "train/labels").rename(tmp_path / "train/annotations")
    with pytest.raises(Defect) as caught:
        read("yolo", path, tmp_path, "train/images")
    assert "none of the 1 pictures has a label file; a.png would have labels/a.txt" in str(
        caught.value
    )
    records, _ = read("yolo", tmp_path / "train/annotations", tmp_path, "train/images")
    assert corners(records[0]) == list(BOX)


def test_a_label_file_that_is_not_text_is_one_defect(tmp_path: Path) -> None:
    path = source(tmp_path, a=ROW, b="")
    (tmp_path / "labels/b.txt").write_bytes(b"\xff\xfe0 1")
    _, findings = read("yolo", path, tmp_path)
    assert [defect.what for defect in findings.defects] == ["b.txt is not text (byte 0)"]


LISTS = {
    "ultralytics": "./images/a.png\n./images/c.png\n\n",
    "elsewhere": "/home/me/set/images/a.png\nC:\\set\\images\\c.png\n./images/a.png\n",
    "bare": "a.png\nc.png",
}


@pytest.mark.parametrize("lines", LISTS.values(), ids=LISTS)
def test_a_list_of_pictures_is_a_split(tmp_path: Path, lines: str) -> None:
    source(tmp_path, a=ROW, b=ROW, c=f"1 {ROW[2:]}")
    (tmp_path / "train.txt").write_text(lines)
    records, findings = read("yolo", tmp_path / "train.txt", tmp_path)
    assert [record.name for record in records] == ["a.png", "c.png"]
    assert corners(records[0]) == list(BOX)
    assert records[1].regions[0].label == "kite"
    assert findings.said() == ""


def test_a_line_without_a_picture_is_told(tmp_path: Path) -> None:
    source(tmp_path, a=ROW)
    (tmp_path / "train.txt").write_text("images/a.png\nimages/z.png\n")
    _, findings = read("yolo", tmp_path / "train.txt", tmp_path)
    assert "train.txt, line 2: the picture is missing" in findings.said()


def test_a_list_of_other_pictures_is_refused(tmp_path: Path) -> None:
    source(tmp_path, a=ROW)
    (tmp_path / "train.txt").write_text("images/z.png\n")
    with pytest.raises(Defect, match="lists no picture that is in the pictures folder"):
        read("yolo", tmp_path / "train.txt", tmp_path)


def test_labels_of_one_picture_are_no_list(tmp_path: Path) -> None:
    source(tmp_path, a=ROW)
    with pytest.raises(Defect, match="is the label file of one picture"):
        read("yolo", tmp_path / "labels/a.txt", tmp_path)


@pytest.mark.parametrize("said", ["train: train.txt\n", "train: images\nval: [a.txt, b.txt]\n"])
def test_a_data_yaml_that_leads_to_lists_is_refused(tmp_path: Path, said: str) -> None:
    path = source(tmp_path, yaml=YAML + said, a=ROW)
    with pytest.raises(Defect, match=r"are those listed in (train|a)\.txt"):
        read("yolo", path, tmp_path)


def test_two_pictures_with_one_label_file_are_refused(tmp_path: Path) -> None:
    path = source(tmp_path, a=ROW, b=ROW)
    pictures(tmp_path, ["a.PNG"])
    _, findings = read("yolo", path, tmp_path)
    (defect,) = findings.defects
    assert defect.where == "data.yaml, a.png"
    assert 'shares the label file a.txt with "a.PNG"' in defect.what
