import re
from dataclasses import replace
from pathlib import Path
from random import Random

import cv2
import numpy as np
import pytest

from mmdet_jetson.contract.records import read_record, write_record
from mmdet_jetson.stages.annotations.glance import Looked, glance_at
from mmdet_jetson.stages.annotations.glance_file import FILE, Glance
from mmdet_jetson.stages.annotations.near_duplicates import Pair
from mmdet_jetson.stages.annotations.records import Annotation, Example, Extent
from mmdet_jetson.stages.annotations.samples import MOST_SAMPLES
from mmdet_jetson.stages.annotations.splitting import PlacedGroup, SplitRecord
from mmdet_jetson.stages.annotations.summary import DatasetSummary, SplitSummary
from mmdet_jetson.stages.reporting import dataset_page
from mmdet_jetson.stages.reporting.dataset_charts import glance_charts
from mmdet_jetson.stages.reporting.dataset_glance import glance_section

CLASSES = ("car", "bus <b>")
INPUT = (64, 64)


def item(label: str, *box: float) -> Annotation:
    left, top, width, height = box
    return Annotation(label, Extent.of([], (left, top, width, height), width * height), crowd=False)


def picture(folder: Path, name: str, size: tuple[int, int], *items: Annotation) -> Example:
    path = folder / name
    pixels = np.random.default_rng(len(name)).integers(0, 256, (size[1], size[0], 3), np.uint8)
    assert cv2.imwrite(str(path), pixels)
    return Example(name, path, *size, name, False, items)


@pytest.fixture
def looked(tmp_path: Path) -> Looked:
    examples = [
        picture(tmp_path, "a.png", (64, 64), item("car", 0, 0, 16, 16), item("car", 40, 40, 8, 8)),
        picture(tmp_path, "bb.png", (128, 64), item("bus <b>", 90, 28, 32, 32)),
        picture(tmp_path, "ccc.png", (64, 64)),
        picture(tmp_path, "dddd.png", (32, 64), item("car", 8, 30, 4, 4)),
    ]
    return Looked(examples, ["train", "train", "train", "val"], [Pair(0, 3, 5), Pair(0, 1, 7)])


def test_training_comes_first_whatever_the_first_picture_is_in(looked: Looked) -> None:
    mixed = replace(looked, splits=["val", "train", "val", "train"])
    assert list(glance_at(mixed, CLASSES, INPUT).pictures) == ["train", "val"]


def test_figures_of_a_dataset(looked: Looked) -> None:
    glance = glance_at(looked, CLASSES, INPUT)
    assert glance.pictures == {"train": 3, "val": 1}
    assert glance.objects == {"train": {"car": 2, "bus <b>": 1}, "val": {"car": 1, "bus <b>": 0}}
    # Sides of 16, 8 and 16 (the wide picture is halved) in training, of 4 in validation.
    limits = glance.sides.limits
    train = dict(zip(limits, glance.sides.counts["train"], strict=False))
    assert {limit: count for limit, count in train.items() if count} == {8: 1, 16: 2}
    assert glance.sides.counts["val"][limits.index(4)] == 1
    assert sum(glance.aspects.counts["train"]) == 3
    assert glance.padding == 0.25
    assert glance.centres[2][2] == 1
    assert glance.centres[11][13] == 1
    assert sum(map(sum, glance.centres)) == 4
    assert (glance.duplicates.across, glance.duplicates.within) == (1, 1)
    # Each picture once; those in both splits first.
    (shown,) = glance.duplicates.shown
    assert (shown.first.name, shown.second.name) == ("a.png", "dddd.png")


def test_samples_say_why_they_are_shown_and_hold_their_boxes(looked: Looked) -> None:
    samples = {each.name: each for each in glance_at(looked, CLASSES, INPUT).samples}
    assert set(samples) == {"a.png", "bb.png", "ccc.png", "dddd.png"}
    assert samples["a.png"].why == "car; most objects; most boxes at the edge"
    assert samples["bb.png"].why == "bus <b>; largest object; widest picture"
    assert samples["ccc.png"].why == "no objects"
    assert samples["dddd.png"].why == "car; smallest object; narrowest picture"
    assert [each.box for each in samples["a.png"].boxes] == [(0, 0, 16, 16), (40, 40, 8, 8)]
    assert samples["bb.png"].boxes[0].label == 1


def test_a_large_picture_is_shown_small_with_its_boxes_scaled(tmp_path: Path) -> None:
    large = picture(tmp_path, "l.png", (1440, 720), item("car", 400, 200, 100, 60))
    (sample,) = glance_at(Looked([large], ["train"], []), CLASSES, INPUT).samples
    assert sample.size == (360, 180)
    assert sample.boxes[0].box == (100, 50, 25, 15)


def test_record_travels_and_section_is_complete(looked: Looked, tmp_path: Path) -> None:
    glance = glance_at(looked, CLASSES, INPUT)
    write_record(tmp_path / FILE, glance)
    assert read_record(tmp_path / FILE, Glance) == glance
    section = glance_section(tmp_path)
    assert section
    assert section == glance_section(tmp_path)
    assert section.count("<image ") == 4
    assert "<b>" in section
    assert "bus &lt;b&gt;" in section
    assert "bus <b>" not in section
    assert "a.png (training) and dddd.png (validation)" in section
    for title in (
        "Objects by class",
        "Sizes of objects",
        "Places of objects",
        "Shapes of pictures",
    ):
        assert f"<b>{title}</b>" in section
    for axis in ("objects", "share of objects (%)", "down (% of the height)", "width divided by"):
        assert axis in section
    assert not re.search(r"(src|href)=\"(?!data:|#)", section)
    assert not re.search("#0[0-9a-f]0[0-9a-f]0[0-9a-f]", section), "a colour that is no variable"


def test_dataset_without_a_glance_has_no_section(tmp_path: Path) -> None:
    assert glance_section(tmp_path) is None


def test_a_glance_of_another_version_is_said(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"pictures": 3}')
    section = glance_section(tmp_path)
    assert section
    assert "another version made it" in section


def test_without_matplotlib_the_section_has_no_charts(
    looked: Looked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_record(tmp_path / FILE, glance_at(looked, CLASSES, INPUT))
    name = "mmdet_jetson.stages.reporting.dataset_charts.charts_there"
    monkeypatch.setattr(name, lambda: False)
    section = glance_section(tmp_path)
    assert section
    assert "Sizes of objects" not in section
    assert section.count("<image ") == 4


def page_of(looked: Looked, classes: tuple[str, ...] = CLASSES) -> str:
    glance = glance_at(looked, classes, INPUT)
    splits = {
        name: SplitSummary(
            glance.pictures[name], sum(glance.objects[name].values()), glance.objects[name]
        )
        for name in glance.pictures
    }
    record = SplitRecord(3, "names", 0.2, 0.25, {"a": PlacedGroup("val", "alone", ("a.png",))})
    summary = DatasetSummary(classes, splits, ("a warning of <x>",))
    return dataset_page.render(summary, glance, record)


def test_page_needs_nothing_beside_itself(looked: Looked) -> None:
    page = page_of(looked)
    assert "a warning of &lt;x&gt;" in page
    assert "Split by groups with seed 3: 25.0 % of the pictures validate" in page
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert page == page_of(looked)


def test_page_is_under_two_megabytes_whatever_is_in_it(tmp_path: Path) -> None:
    """Noise, which no JPEG makes small, three hundred boxes each, and a thousand classes."""
    random = Random(0)
    classes = tuple(f"class-{number}-of-a-long-name" for number in range(1000))
    examples = []
    for number in range(30):
        boxes = [(random.uniform(0, 400), random.uniform(0, 300)) for _ in range(400)]
        items = [item(random.choice(classes), x, y, 90, 60) for x, y in boxes]
        made = picture(tmp_path, f"{'n' * (number % 5 + 1)}.png", (480, 400), *items)
        examples.append(replace(made, name=f"{number}.png"))
    pairs = [Pair(at, at + 1, 3) for at in range(0, 28)]
    looked = Looked(examples, ["train", "val"] * 15, pairs)
    page = page_of(looked, classes)
    assert len(page) < 2_000_000
    glance = glance_at(looked, classes, INPUT)
    assert len(glance.samples) <= MOST_SAMPLES
    write_record(tmp_path / FILE, glance)
    assert (tmp_path / FILE).stat().st_size < 2_000_000


def colours_of(svg: str) -> set[str]:
    return set(re.findall(r"var\(--series-(\d)\)", svg))


def test_a_split_has_its_colour_whichever_comes_first(looked: Looked) -> None:
    """Two pages side by side are read alike; pages of validation alone have its colour, too."""
    pytest.importorskip("matplotlib")
    glance = glance_at(looked, CLASSES, INPUT)
    turned = replace(
        glance,
        objects=dict(reversed(list(glance.objects.items()))),
        sides=replace(glance.sides, counts=dict(reversed(list(glance.sides.counts.items())))),
        aspects=replace(glance.aspects, counts=dict(reversed(list(glance.aspects.counts.items())))),
    )
    assert list(turned.objects) == ["val", "train"]
    assert glance_charts(turned) == glance_charts(glance)
    alone = replace(glance, objects={"val": glance.objects["val"]})
    assert colours_of(glance_charts(alone)[0][2]) == {"2"}
