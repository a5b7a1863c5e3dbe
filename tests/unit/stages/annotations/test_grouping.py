from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from mmdet_jetson.stages.annotations.findings import Findings
from mmdet_jetson.stages.annotations.fingerprints import BLANK, Fingerprint
from mmdet_jetson.stages.annotations.grouping import Group, groups_of
from mmdet_jetson.stages.annotations.near_duplicates import Pair
from mmdet_jetson.stages.annotations.records import Example
from mmdet_jetson.stages.errors import StageError


def example(name: str, looks: int | None = None, keys: Mapping[str, str] | None = None) -> Example:
    """A picture; ``looks`` are the bits of its hash, by default unlike any other's."""
    bits = Random(name).getrandbits(64) if looks is None else looks
    seen = Fingerprint(bits, BLANK.cells)
    return Example(name, Path(name), 40, 30, name, False, (), seen, keys or {})


def grouped(
    examples: Sequence[Example], group: str = "names", pairs: Sequence[Pair] = ()
) -> tuple[list[list[str]], list[str], list[Group]]:
    findings = Findings()
    made = groups_of(examples, group, pairs, findings)
    names = [[examples[member].name for member in each.members] for each in made]
    return [each for each in names if len(each) > 1], findings.warnings(), made


def named(*names: str) -> list[Example]:
    return [example(name) for name in names]


@pytest.mark.parametrize(
    "names",
    [
        ("cam1_frame_000001.jpg", "cam1_frame_000250.jpg"),
        ("video-03/000017.png", "video-03/000018.png"),
        ("clip7/IMG_0001.jpg", "clip7/IMG_0002.jpg"),
        ("walk_mp4-0012_jpg.rf.0a1B2c.jpg", "walk_mp4-0013_jpg.rf.9f8e7d.jpg"),
        ("Seq 12/a/001.jpg", "Seq 12/a/002.jpg"),
    ],
)
def test_frames_of_one_video_are_one_group_whatever_they_show(names: tuple[str, ...]) -> None:
    groups, warnings, _ = grouped(named(*names, "other.jpg"))
    assert groups == [list(names)]
    (warning,) = warnings
    assert warning.startswith("kept together in one split: ")
    assert "(2 pictures, " in warning


@pytest.mark.parametrize(
    "names",
    [
        ("IMG_0001.jpg", "IMG_0002.jpg", "IMG_0003.jpg"),
        ("001.jpg", "002.jpg"),
        ("000000000139.jpg", "000000000285.jpg"),
        ("cats/001.jpg", "cats/002.jpg"),
        ("screenshot_1.png", "screenshot_2.png"),
        ("cam1_frame_1.jpg", "cam2_frame_1.jpg"),
        ("video-03/000017.png", "video-04/000017.png"),
        ("came_1.jpg", "came_2.jpg"),
    ],
)
def test_numbered_photos_that_differ_are_no_group(names: tuple[str, ...]) -> None:
    groups, warnings, made = grouped(named(*names))
    assert (groups, warnings) == ([], [])
    assert {each.why for each in made} == {"alone"}


def test_neighbours_of_a_series_that_look_alike_are_one_scene() -> None:
    scene = [example(f"DSC_{number:04d}.jpg", looks=number) for number in (2, 4, 8)]
    others = [example("DSC_0001.jpg"), example("DSC_0020.jpg")]
    groups, _, made = grouped([*others, *scene])
    assert groups == [["DSC_0002.jpg", "DSC_0004.jpg", "DSC_0008.jpg"]]
    assert "a scene of numbered pictures" in {each.why for each in made}


def test_alike_pictures_that_are_no_neighbours_stay_alone() -> None:
    alike = [example("DSC_0001.jpg", looks=1), example("DSC_0009.jpg", looks=3)]
    assert grouped([alike[0], example("DSC_0005.jpg"), alike[1]])[0] == []


def test_augmented_copies_of_roboflow_are_one_group() -> None:
    copies = ["beach_jpg.rf.0a1b2c3d.jpg", "beach_jpg.rf.ffee0011.jpg", "beach_png.rf.1.jpg"]
    groups, _, (group, _) = grouped(named(*copies, "dune_jpg.rf.0a1b2c3d.jpg"))
    assert groups == [copies]
    assert (group.key, group.why) == ("beach", "copies of beach")


def test_none_leaves_names_out_and_keeps_duplicates_together() -> None:
    frames = named("frame_1.jpg", "frame_2.jpg", "frame_3.jpg")
    assert grouped(frames, "none")[0] == []
    assert grouped(frames, "none", [Pair(0, 2, 4)])[0] == [["frame_1.jpg", "frame_3.jpg"]]


def test_same_pixels_are_one_group_in_any_case() -> None:
    one, other = named("a.jpg", "b.jpg")
    assert grouped([one, replace(other, digest=one.digest)], "none")[0] == [["a.jpg", "b.jpg"]]


def test_a_regular_expression_says_what_belongs_together() -> None:
    names = named("site-A_x.jpg", "site-A_y.jpg", "site-B_z.jpg", "lone.jpg")
    groups, warnings, _ = grouped(names, "^(site-.)_")
    assert groups == [["site-A_x.jpg", "site-A_y.jpg"]]
    assert "in no group, as it does not match dataset.group: lone.jpg" in warnings


def test_a_key_of_the_file_says_what_belongs_together() -> None:
    frames = [example(f"{name}.jpg", keys={"video_id": name[0]}) for name in ("7a", "7b", "9")]
    groups, warnings, _ = grouped([*frames, example("lone.jpg")], "video_id")
    assert groups == [["7a.jpg", "7b.jpg"]]
    assert "in no group, as it has no video_id: lone.jpg" in warnings


def test_a_chain_of_duplicates_through_most_pictures_is_not_joined_but_said() -> None:
    names = named(*(f"p{number}-x.jpg" for number in range(30)))
    chain = [Pair(at, at + 1, 6) for at in range(19)]
    groups, warnings, _ = grouped(names, "names", chain)
    assert groups == []
    assert warnings[0].endswith("20 of 30 pictures")
    assert "near-duplicates were not kept together" in warnings[0]
    assert len(grouped(names, "names", chain[:9])[0][0]) == 10


def test_order_of_the_pictures_does_not_matter() -> None:
    names = named(
        "frame_1.jpg", "frame_2.jpg", "a.jpg", "b.jpg", "c_jpg.rf.1.jpg", "c_jpg.rf.2.jpg"
    )
    forwards, _, made = grouped(names, pairs=[Pair(2, 3, 1)])
    backwards, _, again = grouped(names[::-1], pairs=[Pair(2, 3, 1)])
    assert sorted(map(sorted, forwards)) == sorted(map(sorted, backwards))
    assert sorted((each.key, each.why) for each in made) == sorted(
        (each.key, each.why) for each in again
    )


@pytest.mark.parametrize(
    ("group", "what", "hint"),
    [
        ("siet", 'is "siet", a key that no picture', 'did you mean "site"?'),
        ("recording_id", "a key that no picture's entry has", "they have: site"),
        ("^(z+)_", "matches the name of no picture, such as a.jpg", "regular expression"),
    ],
)
def test_a_group_that_no_picture_is_in_is_refused(group: str, what: str, hint: str) -> None:
    with pytest.raises(StageError) as caught:
        grouped([example(f"{name}.jpg", keys={"site": name}) for name in "ab"], group)
    assert what in caught.value.message
    assert hint in str(caught.value.hint)
