from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from mmdet_jetson.stages.annotations.findings import Findings
from mmdet_jetson.stages.annotations.near_duplicates import Pair
from mmdet_jetson.stages.annotations.records import Annotation, Example, Extent
from mmdet_jetson.stages.annotations.remarks import remark, remark_duplicates

CLASSES = ("car", "bus")
BOX = (10.0, 10.0, 40.0, 40.0)


def item(label: str = "car", box: tuple[float, float, float, float] = BOX) -> Annotation:
    return Annotation(label, Extent.of([], box, box[2] * box[3]), crowd=False)


def example(*items: Annotation, name: str = "a.jpg", size: tuple[int, int] = (640, 640)) -> Example:
    return Example(name, Path(name), *size, name, False, items)


def remarks(
    train: Sequence[Example], val: Sequence[Example], size: tuple[int, int] = (640, 640)
) -> list[str]:
    findings = Findings()
    remark({"train": train, "val": val}, CLASSES, size, findings)
    return findings.warnings()


BOTH = [example(item(), item("bus"))]


def test_a_usual_dataset_has_no_remarks() -> None:
    assert remarks(BOTH, BOTH) == []
    assert remarks([example(item(), item("bus"), size=(640, 480))], BOTH) == []


def test_a_class_in_no_split_and_one_in_one_split_only() -> None:
    assert remarks([example(item())], [example(item())]) == ["a class has no annotations: bus"]
    assert remarks([example(item())], [example(item(), item("bus"), item("bus"))]) == [
        "a class has annotations in one split only: bus (2 in val)"
    ]


def test_shares_of_a_class_that_differ_strongly() -> None:
    train = [example(*[item()] * 90, *[item("bus")] * 10)]
    (warning,) = remarks(train, [example(*[item()] * 5, *[item("bus")] * 25)])
    assert warning.startswith("a class has very different shares of the objects of the splits: car")
    assert warning.endswith("; bus (10 of 100 in train, 25 of 30 in val)")
    assert remarks(train, [example(*[item()] * 27, *[item("bus")] * 3)]) == []
    assert remarks(train, [example(item(), item("bus"))]) == []


def test_small_boxes_are_said_in_pixels_of_the_input() -> None:
    small = example(item(), item("bus"), item(box=(0, 0, 10, 12)), size=(1280, 1280), name="s.jpg")
    (warning,) = remarks([small], BOTH)
    assert "less than 8 × 8 pixels at the network's input of 640 × 640" in warning
    assert "hardly learned (20.0% of 5): " in warning
    assert warning.endswith("train, s.jpg, car of 5.0 × 6.0")
    assert remarks([replace(small, width=640, height=640)], BOTH) == []


def test_padding_that_another_input_size_would_save() -> None:
    wide = [example(item(), item("bus"), size=(1920, 1080))]
    (warning,) = remarks(wide, wide)
    assert warning.startswith("44% of the network's input of 640 × 640 is padding, on average; ")
    assert "input_size = [864, 480] would have 1% for the same work" in warning
    assert remarks(wide, wide, (864, 480)) == []


def test_pictures_of_another_shape_than_the_rest() -> None:
    tall = example(name="tall.jpg", size=(300, 1200))
    (warning,) = remarks([*BOTH * 20, tall], BOTH)
    assert warning.startswith("pictures fill less than half of the network's input of 640 × 640")
    assert warning.endswith("train, tall.jpg (300 × 1200)")


def test_where_no_size_suits_all_none_is_proposed() -> None:
    mixed = [
        example(
            item(),
            item("bus"),
            name=f"{number}.jpg",
            size=(1080, 1920) if number % 2 else (1920, 1080),
        )
        for number in range(10)
    ]
    assert not [each for each in remarks(mixed, mixed) if "input_size" in each]


def test_very_large_pictures() -> None:
    (warning,) = remarks(
        [example(item(box=(0, 0, 900, 900)), item("bus", (0, 0, 900, 900)), size=(5000, 5000))],
        BOTH,
    )
    assert warning.startswith("pictures of more than 16 megapixels take longer to read")
    assert warning.endswith("train, a.jpg (5000 × 5000)")


@pytest.mark.parametrize(
    ("splits", "warning"),
    [
        (
            ("train", "val"),
            "near-duplicates in both splits make the figures of the evaluation too good: "
            "train, a.jpg and val, b.jpg",
        ),
        (("val", "val"), "look nearly the same: val, a.jpg and b.jpg"),
    ],
)
def test_near_duplicates(splits: tuple[str, str], warning: str) -> None:
    findings = Findings()
    remark_duplicates([example(), example(name="b.jpg")], splits, [Pair(0, 1, 3)], findings)
    assert findings.warnings() == [warning]


def test_same_pixels_are_not_told_of_twice() -> None:
    findings = Findings()
    remark_duplicates([example(), example()], ("train", "val"), [Pair(0, 1, 0)], findings)
    assert findings.warnings() == []
