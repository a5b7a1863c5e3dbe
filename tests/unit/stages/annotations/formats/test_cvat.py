from pathlib import Path

import numpy as np
import pytest
from exports import BOX, CVAT_BOX, Noted, corners, cvat, cvat_video, pictures, read, tracked
from labelled import HEIGHT, WIDTH
from pycocotools import mask as coco_mask

from mmdet_jetson.stages.annotations.findings import Defect
from mmdet_jetson.stages.annotations.records import Record

TURNED = CVAT_BOX.replace("z_order", 'rotation="90.00" z_order')
POLYGON = '<polygon label="kite" points="4.00,6.00;14.00,6.00;14.00,14.00;4.00,14.00"/>'
ELLIPSE = '<ellipse label="kite" cx="20.00" cy="15.00" rx="5.00" ry="2.00" rotation="90.00"/>'
MASK = '<mask label="kite" rle="1, 3, 2, 2" left="5" top="7" width="4" height="2"/>'


def saved(
    tmp_path: Path, text: str, names: tuple[str, ...] = ("a.png",)
) -> tuple[list[Record], Noted]:
    pictures(tmp_path, names)
    (tmp_path / "annotations.xml").write_text(text)
    return read("cvat", tmp_path / "annotations.xml", tmp_path)


@pytest.mark.parametrize("shape", [CVAT_BOX, POLYGON])
def test_corners_are_as_they_stand(tmp_path: Path, shape: str) -> None:
    records, findings = saved(tmp_path, cvat(shape))
    assert corners(records[0]) == list(BOX)
    assert (records[0].name, records[0].size) == ("a.png", (WIDTH, HEIGHT))
    assert findings.said() == ""


def test_a_box_turns_around_its_centre_with_a_warning(tmp_path: Path) -> None:
    records, findings = saved(tmp_path, cvat(TURNED))
    assert corners(records[0]) == [(13, 5), (13, 15), (5, 15), (5, 5)]
    assert "a rotated box was read as its four corners: annotations.xml, a.png, box 1" in (
        findings.said()
    )


def test_an_ellipse_turns_around_its_centre(tmp_path: Path) -> None:
    records, _ = saved(tmp_path, cvat(ELLIPSE))
    xs, ys = zip(*corners(records[0]), strict=True)
    assert (min(xs), max(xs), min(ys), max(ys)) == (18, 22, 10, 20)


def test_the_runs_of_a_mask_go_along_its_rows(tmp_path: Path) -> None:
    records, _ = saved(tmp_path, cvat(MASK))
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[7:9, 5:9] = [[0, 1, 1, 1], [0, 0, 1, 1]]
    mask = records[0].regions[0].mask
    assert mask is not None
    assert (coco_mask.decode(dict(mask)) == expected).all()


@pytest.mark.parametrize("kind", ["points", "polyline", "cuboid", "skeleton", "tag"])
def test_shapes_without_area_are_left_out_with_a_warning(tmp_path: Path, kind: str) -> None:
    records, findings = saved(tmp_path, cvat(f'<{kind} label="kite"/>', CVAT_BOX))
    assert len(records[0].regions) == 1
    assert findings.said().startswith(f"left out, as its type {kind} has no area")


def test_attributes_and_groups_leave_a_shape_as_it_is(tmp_path: Path) -> None:
    box = CVAT_BOX.replace("></box>", ' group_id="3"><attribute name="age">1</attribute></box>')
    records, findings = saved(tmp_path, cvat(box, box.replace("4.00", "5.00")))
    assert len(records[0].regions) == 2
    assert "shapes of a group were read as objects of their own" in findings.said()


def test_frames_of_a_video_have_the_boxes_of_their_tracks(tmp_path: Path) -> None:
    tracks = tracked((0, 0), (1, 0), (2, 1)), tracked((1, 0), (2, 0), (3, 1), label="kite")
    names = tuple(f"frame_{number:06d}.PNG" for number in range(4))
    records, findings = saved(tmp_path, cvat_video(*tracks), names)
    assert [f"{record.name}.PNG" for record in records] == list(names)
    assert [[region.label for region in record.regions] for record in records] == [
        ["balloon"], ["balloon", "kite"], ["kite"], [],
    ]  # fmt: skip
    assert corners(records[1]) == [(5, 6), (15, 6), (15, 14), (5, 14)]
    assert {record.keys["video_id"] for record in records} == {"walk.mp4"}
    assert {record.size for record in records} == {(WIDTH, HEIGHT)}
    assert len(findings.noted) == 2
    assert "left out, as it is outside of its frame" in findings.said()


def test_a_track_that_jumps_frames_is_warned_of(tmp_path: Path) -> None:
    names = "frame_000000.jpg", "frame_000005.jpg", "frame_000010.jpg"
    track = tracked((0, 0), (5, 0), (10, 1))
    _, findings = saved(tmp_path / "1", cvat_video(track), names)
    assert len([topic for topic, _ in findings.noted if "a track goes on" in topic]) == 2
    _, findings = saved(tmp_path / "5", cvat_video(track, step=5), names)
    assert not [topic for topic, _ in findings.noted if "a track goes on" in topic]


BAD = {
    "class": (CVAT_BOX.replace("balloon", "ballon"), 'unknown class "ballon"'),
    "no-label": (CVAT_BOX.replace('label="balloon" ', ""), "the shape has no label"),
    "kind": ('<star label="kite"/>', "<star> is none of CVAT's shapes"),
    "corner-missing": (CVAT_BOX.replace("xbr", "x"), "xbr is missing, not a number"),
    "corner-is-text": (CVAT_BOX.replace("14.00", "wide", 1), 'xbr is "wide", not a number'),
    "swapped": (CVAT_BOX.replace("14.00", "1", 1), "its box goes from 4, 6 to 1, 14"),
    "rotation": (TURNED.replace("90.00", "x"), 'rotation is "x", not a number'),
    "points": (POLYGON.replace("4.00,6.00;", "4.00;", 1), "does not have two coordinates"),
    "no-points": ('<polygon label="kite"/>', "does not have two coordinates"),
    "two-points": ('<polygon label="kite" points="1,2;3,4"/>', "has 2 different points"),
    "radius": (ELLIPSE.replace('rx="5.00"', 'rx="-1"'), "its radii are"),
    "runs-short": (MASK.replace("2, 2", "2, 1"), "do not make 4 × 2 pixels"),
    "runs-negative": (MASK.replace("2, 2", "5, -1"), "do not make 4 × 2 pixels"),
    "runs-text": (MASK.replace("2, 2", "x"), 'a run length is "x", not a number'),
    "runs-half": (MASK.replace("2, 2", "2.5, 1.5"), "a run length is 2.5, not a whole number"),
    "mask-outside": (MASK.replace('left="5"', 'left="38"'), "reaches past the picture"),
    "mask-huge": (MASK.replace('width="4"', 'width="400000000"'), "belongs to a picture of"),
}


@pytest.mark.parametrize(("bad", "sentence"), BAD.values(), ids=BAD.keys())
def test_a_bad_shape_is_one_sentence_with_its_place(
    tmp_path: Path, bad: str, sentence: str
) -> None:
    records, findings = saved(tmp_path, cvat(CVAT_BOX, bad))
    assert len(records[0].regions) == 1
    (defect,) = findings.defects
    assert defect.where.startswith("annotations.xml, a.png, ")
    assert defect.where.endswith(" 2")
    assert defect.hint
    assert sentence in defect.what


def test_a_bad_frame_is_one_sentence(tmp_path: Path) -> None:
    track = tracked((0, 0), (1, 0)).replace('frame="1"', 'frame="one"')
    _, findings = saved(tmp_path, cvat_video(track), ("frame_000000.png",))
    (defect,) = findings.defects
    assert (defect.where, defect.what) == (
        "annotations.xml, track 0, box 2", 'its frame is "one", not a number',
    )  # fmt: skip


BAD_FILES = {
    "another": ("<html/>", "is XML but not CVAT's: it begins with <html>"),
    "voc": ("<annotation/>", "is a Pascal VOC file, not a CVAT file"),
    "empty": ("<annotations/>", "it has neither images nor tracks"),
    "bomb": ("<!DOCTYPE a><annotations/>", "has a document type"),
}


@pytest.mark.parametrize(("text", "sentence"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_bad_file_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(Defect) as caught:
        saved(tmp_path, text)
    assert sentence in caught.value.what


@pytest.mark.parametrize(
    ("change", "sentence"),
    [((' name="a.png"', ""), "has no name"), (('width="40"', 'width="x"'), 'width is "x"')],
)
def test_a_bad_picture_is_one_sentence_and_the_others_are_read(
    tmp_path: Path, change: tuple[str, str], sentence: str
) -> None:
    good = cvat(CVAT_BOX)
    image = good[good.index("<image") : good.index("</annotations>")]
    text = good.replace("</annotations>", image.replace(*change) + "</annotations>")
    records, findings = saved(tmp_path, text)
    assert len(records) == 1
    (defect,) = findings.defects
    assert defect.where == "annotations.xml, image 2"
    assert sentence in defect.what
