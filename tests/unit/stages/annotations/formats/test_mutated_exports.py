"""Exports in which something is wrong, at random: a sentence or a region for each object in them.

``MMDET_JETSON_TEST_MUTATIONS`` says how many of each format; the seeds are their numbers.
"""

import copy
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from exports import (
    BOX,
    CVAT_BOX,
    Noted,
    cvat,
    datumaro,
    datumaro_shape,
    example,
    labelme,
    pictures,
    png,
    read,
    result,
    shape,
    small_task,
    task,
    tracked,
    voc,
    voc_object,
)
from labelled import HEIGHT, WIDTH, Json
from mutations import COUNT, changed

from mmdet_jetson.stages.annotations.examples import Split, examine
from mmdet_jetson.stages.annotations.findings import Defect
from mmdet_jetson.stages.annotations.records import Record

FLAT = [value for point in BOX for value in point]
OBJECT = re.compile(
    r"(?:object|line|shape|result|annotation|box|polygon|ellipse|mask|points) \d+(?=$|, |:)"
)
WORDS = ["", "x", "0", "-1", "1e9", "nan", "inf", "1e999", "0.5", "9" * 400, "kite", "1,2;3,4", "ä"]


# --- whole exports, of two pictures ---


def json_exports() -> dict[str, object]:
    mask = shape("mask", [[5, 7], [7, 9]], mask=png(np.ones((3, 3), np.uint8)))
    triangle = [[20, 20], [24, 20], [24, 26]]
    flat = [20, 20, 24, 20, 24, 26]
    rle = {"counts": [100, 50, WIDTH * HEIGHT - 150], "size": [HEIGHT, WIDTH]}
    points = {"points": [[50, 50], [60, 50], [60, 70]]}
    polygon = {**result("polygonlabels", **points), "id": "p"}
    ellipse = {
        **result("ellipselabels", x=50, y=50, radiusX=10, radiusY=10, rotation=30), "id": "e",
    }  # fmt: skip
    items = datumaro(
        datumaro_shape(), datumaro_shape("polygon", points=flat, group=1),
        datumaro_shape("polygon", points=FLAT, group=1), datumaro_shape("mask", rle=rle),
        datumaro_shape("points", points=[1, 2]),
        datumaro_shape(bbox=[20, 5, 9, 9], attributes={"rotation": 20.0}),
    )["items"]  # fmt: skip
    other = datumaro(datumaro_shape(), path="b.png")["items"]
    assert isinstance(items, list)
    assert isinstance(other, list)
    small: Json = {**result()["value"], "original_width": WIDTH, "original_height": HEIGHT}  # type: ignore[dict-item]
    return {
        "labelme": labelme(
            shape(), shape("polygon", triangle, group_id=1), shape("polygon", BOX, group_id=1),
            mask, shape("circle", [[20, 15], [24, 15]]), shape("point", [[1, 1]]),
        ),
        "label_studio": [
            task(result(), polygon, ellipse, {**result("keypointlabels", x=1, y=2), "id": "k"}),
            {**task(result(), image="b.png"), "id": 6},
        ],
        "label_studio-min": [
            small_task(small, {**small, "x": 40}), {**small_task(small, image="b.png"), "id": 6},
        ],
        "datumaro": {**datumaro(), "items": [*items, *other]},
    }  # fmt: skip


def xml_exports() -> dict[str, str]:
    image = (
        CVAT_BOX + CVAT_BOX.replace("4.00", "3.50", 1).replace("z_order", 'rotation="9" z_order')
        + '<polygon label="kite" points="20,20;24,20;24,26"/>'
        + '<ellipse label="kite" cx="20" cy="15" rx="5" ry="2"/><points label="kite" points="1,1"/>'
        + '<mask label="kite" rle="1, 3, 2, 2" left="5" top="7" width="4" height="2"/>'
    )  # fmt: skip
    both = cvat(image).replace("</annotations>", "")
    second = cvat(CVAT_BOX, name="b.png")
    return {
        "voc": voc(voc_object(), voc_object("kite", (1, 1, 9, 9)), voc_object(box=(5, 5, 30, 20))),
        "cvat": both + second[second.index("<image") :],
        "cvat-video": (
            "<annotations><meta><task><original_size><width>40</width><height>30</height>"
            f"</original_size></task></meta>{tracked((0, 0), (1, 0), (2, 1))}"
            f"{tracked((1, 0), (2, 0), label='kite')}</annotations>"
        ),
    }


# --- mutations ---


def mutated_xml(text: str, chance: random.Random) -> str:
    root = ElementTree.fromstring(text)
    for _ in range(chance.choice([1, 1, 1, 2, 4])):
        parents = [element for element in root.iter() if len(element)]
        parent = chance.choice(parents or [root])
        element = chance.choice(list(parent) or [root])
        kind = chance.randrange(6)
        if kind == 0 and element is not root:
            parent.remove(element)
        elif kind == 1 and element is not root:
            parent.append(copy.deepcopy(element))
        elif kind == 2 and element is not root:
            element.tag = chance.choice(["box", "object", "name", "track", "image", "mask", "x"])
        elif kind == 3 or not element.attrib:
            element.text = chance.choice(WORDS)
        else:
            name = chance.choice(sorted(element.attrib))
            if kind == 4:
                del element.attrib[name]
            else:
                element.set(name, chance.choice(WORDS))
    return ElementTree.tostring(root, encoding="unicode")


def mutated_rows(text: str, chance: random.Random) -> str:
    rows = [line.split() for line in text.splitlines()]
    for _ in range(chance.choice([1, 1, 2])):
        row = chance.choice(rows)
        at = chance.randrange(len(row) + 1)
        kind = chance.randrange(4)
        if kind == 0:
            row.insert(at, chance.choice(WORDS) or "7")
        elif kind == 1:
            rows.insert(chance.randrange(len(rows)), list(row))
        elif row:
            row[min(at, len(row) - 1)] = chance.choice([*WORDS, "1.5", "3", "-0.1"])
    return "\n".join(" ".join(row) for row in rows)


def mutated_bytes(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(changed) + 1)
        kind = chance.randrange(4)
        if kind == 0:
            del changed[at:]
        elif kind == 1:
            del changed[at : at + chance.randint(1, 20)]
        elif kind == 2:
            changed[at:at] = changed[chance.randrange(len(changed) + 1) :][: chance.randint(1, 20)]
        else:
            changed[at : at + 1] = bytes([chance.randrange(256)])
    return bytes(changed)


# --- what is in an export, told without the readers ---


def listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def numbered(kind: str, values: object) -> Iterator[str]:
    return (f"{kind} {index + 1}" for index, _ in enumerate(listed(values)))


def in_json(form: str, content: object) -> Counter[str]:
    """How messages call the objects of an export, each as often as it is there."""
    if form == "labelme":
        return (
            Counter(numbered("shape", content["shapes"]))
            if isinstance(content, dict)
            else Counter()
        )
    found = Counter[str]()
    if form == "datumaro":
        for item in listed(content.get("items")) if isinstance(content, dict) else []:
            found.update(
                numbered("annotation", item.get("annotations") if isinstance(item, dict) else 0)
            )
        return found
    for item in listed(content):
        inside = item if isinstance(item, dict) else {}
        for made in listed(inside.get("annotations")):
            if isinstance(made, dict) and not made.get("was_cancelled"):
                found.update(numbered("result", made.get("result")))
        if "annotations" not in inside:
            found.update(numbered("result", inside.get("label")))
    return found


def in_xml(form: str, text: str) -> Counter[str]:
    root = ElementTree.fromstring(text)
    if form == "voc":
        return Counter(f"object {index + 1}" for index, _ in enumerate(root.findall("object")))
    found = Counter[str]()
    for image in root.findall("image"):
        found.update(f"{item.tag} {index + 1}" for index, item in enumerate(image))
    return found


def unaccounted(there: Counter[str], records: list[Record], findings: Noted) -> Counter[str]:
    """Objects that are no region and in no sentence, unless one is about their whole picture."""
    told = [OBJECT.findall(where) for where in sentences(findings)]
    have = Counter(region.where for record in records for region in record.regions)
    for names in told:
        have.update(set(names))
    return Counter() if [] in told else there - have


def sentences(findings: Noted) -> list[str]:
    """The places of what leaves something out: defects, and warnings of objects or tasks."""
    about = ("left out", "listed twice")
    noted = [w for topic, w in findings.noted if OBJECT.search(w) or topic.startswith(about)]
    return [f"{defect.where}: {defect.what}" for defect in findings.defects] + noted


def assert_told(defect: Defect) -> None:
    assert defect.what
    assert defect.hint
    assert "\n" not in defect.what


def tried(form: str, path: Path, source: Path) -> tuple[list[Record], Noted] | None:
    """What is read, where the pictures account for each region; None where nothing is."""
    try:
        records, findings = read(form, path, source)
    except Defect as defect:
        assert_told(defect)
        return None
    noted = Noted()
    split = Split("train", source / "images", path, path.name)
    made = examine(split, records, noted, lambda: None)
    regions = sum(len(record.regions) for record in records)
    kept = sum(len(each.annotations) for each in made)
    said = sentences(noted)
    of_objects = sum(1 for where in said if OBJECT.search(where))
    assert kept + of_objects >= regions or of_objects < len(said), noted.said()
    return records, findings


@pytest.mark.parametrize("name", json_exports())
def test_every_object_of_a_mutated_json_is_read_or_named(tmp_path: Path, name: str) -> None:
    form = name.split("-", maxsplit=1)[0]
    content = json_exports()[name]
    path = example(form, tmp_path)
    pictures(tmp_path, ["a.png", "b.png"])
    file = path / "a.json" if path.is_dir() else path
    whole = tried(form, write(file, content), tmp_path)
    assert whole is not None
    assert not whole[1].defects
    for seed in range(COUNT):
        wrong = changed(content, random.Random(seed))
        outcome = tried(form, write(file, wrong), tmp_path)
        if outcome is not None:
            assert not unaccounted(in_json(form, wrong), *outcome), (seed, wrong)


def write(file: Path, content: object) -> Path:
    file.write_text(json.dumps(content))
    return file


@pytest.mark.parametrize("name", xml_exports())
def test_every_object_of_a_mutated_xml_is_read_or_named(tmp_path: Path, name: str) -> None:
    form = name.split("-", maxsplit=1)[0]
    text = xml_exports()[name]
    path = example(form, tmp_path)
    pictures(tmp_path, ["a.png", "b.png", *(f"frame_{index:06d}.png" for index in range(3))])
    file = path / "a.xml" if path.is_dir() else path
    file.write_text(text)
    whole = tried(form, file, tmp_path)
    assert whole is not None
    assert not whole[1].defects
    for seed in range(COUNT):
        wrong = mutated_xml(text, random.Random(seed))
        file.write_text(wrong)
        outcome = tried(form, file, tmp_path)
        if outcome is not None:
            assert not unaccounted(in_xml(form, wrong), *outcome), (seed, wrong)


def test_every_row_of_mutated_labels_is_read_or_named(tmp_path: Path) -> None:
    path = example("yolo", tmp_path)
    text = "0 0.225 0.33 0.25 0.26\n1 0.5 0.5 0.2 0.2\n1 0.1 0.1 0.4 0.1 0.4 0.5\n0 0.7 0.6 0.1 0.3"
    for seed in range(COUNT):
        wrong = mutated_rows(text, random.Random(seed))
        (tmp_path / "labels/a.txt").write_text(wrong)
        outcome = tried("yolo", path, tmp_path)
        assert outcome is not None
        records, findings = outcome
        rows = wrong.splitlines()
        there = Counter(f"line {index + 1}" for index, row in enumerate(rows) if row.strip())
        assert not unaccounted(there, records, findings), (seed, wrong)


FILES: dict[str, Callable[[], bytes]] = {
    **{
        name: lambda name=name: json.dumps(json_exports()[name]).encode()  # type: ignore[misc]
        for name in json_exports()
    },
    **{name: lambda name=name: xml_exports()[name].encode() for name in xml_exports()},  # type: ignore[misc]
    "yolo": lambda: b"train: images\nnc: 2\nnames: ['balloon', 'kite']\nkpt_shape: [2, 3]\n",
}


@pytest.mark.parametrize("name", FILES)
def test_damaged_bytes_are_a_sentence(tmp_path: Path, name: str) -> None:
    form = name.split("-", maxsplit=1)[0]
    data = FILES[name]()
    path = example(form, tmp_path)
    pictures(tmp_path, ["a.png", "b.png"])
    file = next(path.iterdir()) if path.is_dir() else path
    for seed in range(COUNT // 2):
        file.write_bytes(mutated_bytes(data, random.Random(seed)))
        tried(form, path, tmp_path)
