"""No exception and no silent loss, whatever is wrong in an annotation file."""

import json
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from random import Random
from typing import Any

import pytest
from labelled import Json, entry, noise, polygon, rect, region, via
from mutations import COUNT, mutated

from mmdet_jetson.stages.annotations.examples import Split, examine
from mmdet_jetson.stages.annotations.findings import Findings
from mmdet_jetson.stages.annotations.formats import read_annotations
from mmdet_jetson.stages.annotations.records import Example, Labels
from mmdet_jetson.stages.annotations.strict_json import load
from mmdet_jetson.stages.errors import StageError

NAMES = ("a.png", "sub/b.png", "c.png")
RING = [4, 3, 24, 3, 24, 18, 4, 18]
LABELS = (
    Labels(("balloon", "kite"), "label", None),
    Labels(("balloon", "kite"), "label", "kite"),
    Labels(("kite",), "label", None, others="ignore", rename={"Drachen": "kite"}),
)

_PLAIN_COCO: Json = {
    "info": {"contributor": "a tool"},
    "licenses": [],
    "images": [
        {"id": n, "file_name": name, "width": 40, "height": 30, "video_id": 1}
        for n, name in enumerate(NAMES, 1)
    ],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 7, "bbox": [4, 3, 20, 15], "area": 300,
         "segmentation": [RING], "iscrowd": 0},
        {"id": 2, "image_id": 1, "category_id": 8, "bbox": [5, 6, 10, 8], "area": 80,
         "segmentation": [], "iscrowd": 0, "ignore": 0,
         "attributes": {"occluded": False, "rotation": 12.5}},
        {"id": 3, "image_id": 2, "category_id": 7, "bbox": [0, 0, 40, 30], "area": 1200,
         "segmentation": {"size": [30, 40], "counts": [0, 1200]}, "iscrowd": 1},
        {"id": 4, "image_id": 2, "category_id": 8, "bbox": [1, 2, 9, 7], "iscrowd": "0"},
        {"id": 5, "image_id": 3, "category_id": 9, "bbox": [1, 2, 9, 7], "area": 63},
    ],
    "categories": [
        {"id": 7, "name": "balloon"}, {"id": 8, "name": "kite"}, {"id": 9, "name": "kite "},
    ],
}  # fmt: skip

_SILENT_COCO: Json = {
    **_PLAIN_COCO,
    "annotations": [
        {"id": n, "image_id": n % 3 + 1, "category_id": 7 + n % 2, "bbox": [4 + n, 3, 20, 15],
         "area": 300, "iscrowd": 0, "ignore": 0, "attributes": {"rotation": 0},
         "segmentation": [[4 + n, 3, 24 + n, 3, 24 + n, 18, 4 + n, 18]][n % 2 :]}
        for n in range(5)
    ],
}  # fmt: skip

_VIA_COCO: Json = {
    "info": {"contributor": "Label Studio"},
    "images": [
        {"id": n, "file_name": f"images\\{name}", "width": -1, "height": -1}
        for n, name in enumerate(NAMES)
    ],
    "annotations": [
        {"id": n, "image_id": str(n % 3), "category_id": 1, "bbox": [4 + n, 3, 20, 15],
         "area": 300, "segmentation": [4 + n, 3, 24 + n, 3, 24 + n, 18, 4 + n, 18], "iscrowd": 0}
        for n in range(6)
    ],
    "categories": [{"id": 1, "name": "kite"}] * 3,
}  # fmt: skip

_REGIONS = [
    region(rect(), label="kite"),
    region(polygon((1, 1), (20, 2), (12, 25)), label="balloon"),
    region({"name": "ellipse", "cx": 20, "cy": 15, "rx": 9, "ry": 5, "theta": 0.3}, label="kite"),
    region({"name": "circle", "cx": 9, "cy": 9, "r": 4}, label={"kite": True}),
]

_VIA_1: Json = {
    f"{name}1": {**entry(name), "regions": {str(n): each for n, each in enumerate(_REGIONS)}}
    for name in NAMES
}
_PROJECT: Json = {
    "_via_settings": {"project": {"name": "x"}},
    "_via_img_metadata": via(
        *(entry(name, *_REGIONS, region(rect(9, 9), label="1")) for name in NAMES)
    ),
    "_via_attributes": {"region": {"label": {"type": "radio", "options": {"1": "kite"}}}},
    "_via_image_id_list": [f"{name}1" for name in NAMES],
}


def coco_objects(content: object) -> int:
    """How many annotations a COCO file has."""
    listed = content.get("annotations") if isinstance(content, dict) else None
    return len(listed) if isinstance(listed, list) else 0


def via_objects(content: object) -> int:
    """How many regions a VIA file has."""
    if isinstance(content, dict) and "_via_img_metadata" in content:
        content = content["_via_img_metadata"]
    entries = list(content.values()) if isinstance(content, dict) else []
    regions = [each.get("regions") for each in entries if isinstance(each, dict)]
    return sum(len(each) for each in regions if isinstance(each, (list, dict)))


Read = list[tuple[str, str, bool, list[float]]]


def trained_on(content: Any) -> Read | None:
    """What MMDetection's `CocoDataset` makes of a file, None where it fails.

    Its rules, on their own: see its parse_data_info.
    """
    read: Read = []
    try:
        images = {image["id"]: image for image in content["images"]}
        names = {each["id"]: each["name"] for each in content["categories"]}
        for each in content["annotations"]:
            image = images[each["image_id"]]
            if min(image["width"], image["height"]) <= 0:
                return None  # It would learn nothing of the picture; here, the size is unknown.
            x, y, width, height = each["bbox"]
            across = max(0, min(x + width, image["width"]) - max(x, 0))
            down = max(0, min(y + height, image["height"]) - max(y, 0))
            if each.get("ignore") or across * down == 0 or each["area"] <= 0:
                continue
            if width < 1 or height < 1 or each["category_id"] not in names:
                continue
            box = [max(x, 0), max(y, 0), across, down]
            name = names[each["category_id"]]
            read.append((image["file_name"], name, bool(each.get("iscrowd")), box))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return read


def is_same(examples: list[Example], read: Read) -> bool:
    """Whether what is kept is what MMDetection would train on, boxes to two pixels."""
    ours = [
        (example.name, each.label, each.crowd, list(each.extent.box))
        for example in examples
        for each in example.annotations
    ]
    key = itemgetter(0, 1, 2)
    return len(ours) == len(read) and all(
        any(
            key(one) == key(other)
            and all(abs(a - b) <= 2 * 2 for a, b in zip(one[3], other[3], strict=True))
            for other in read
        )
        for one in ours
    )


KINDS: dict[str, tuple[str, Json, Callable[[object], int]]] = {
    "coco": ("coco", _PLAIN_COCO, coco_objects),
    "coco-without-warnings": ("coco", _SILENT_COCO, coco_objects),
    "coco-of-via": ("coco", _VIA_COCO, coco_objects),
    "via-1": ("via", _VIA_1, via_objects),
    "via-project": ("via", _PROJECT, via_objects),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("mutated")
    for seed, name in enumerate(NAMES):
        noise(made / name, seed)
    return made


def examined(folder: Path, form: str, labels: Labels) -> tuple[list[Example], Findings]:
    split = Split("train", folder, folder / "file.json", "file.json")
    findings = Findings()
    examples: list[Example] = []
    with findings.at(split.shown):
        records = read_annotations(form, split.annotations, split.shown, labels, findings)
        examples += examine(split, records, findings, lambda: None)
    return examples, findings


def left_out(findings: Findings) -> int:
    """How many objects the warnings say are left out."""
    topics = findings._warnings.items()
    return sum(len(where) for topic, where in topics if topic.startswith("left out, as"))


@pytest.mark.parametrize("kind", KINDS)
def test_every_object_is_kept_or_told_of(folder: Path, kind: str) -> None:
    form, content, objects_of = KINDS[kind]
    told = {"read": 0, "refused": 0, "silent": 0}
    for seed in range(COUNT):
        random = Random(f"{kind} {seed}")
        data = mutated(content, random)
        (folder / "file.json").write_bytes(data)
        labels = random.choice(LABELS)
        examples, findings = examined(folder, form, labels)
        if findings.defects:
            told["refused"] += 1
            with pytest.raises(StageError) as caught:
                findings.raise_defects()
            assert all(caught.value.hint for _ in "x"), (seed, data)
            assert all(len(line) < 4000 for line in caught.value.message.split("\n")), (seed, data)
            continue
        told["read"] += 1
        expected = trained_on(load(folder / "file.json")) if form == "coco" else None
        if expected is not None and not findings.warnings():
            told["silent"] += 1
            assert is_same(examples, expected), (seed, data)
        boxes = [each for example in examples for each in example.annotations]
        objects = objects_of(load(folder / "file.json"))
        assert len(boxes) + left_out(findings) == objects, (seed, data, findings.warnings())
        for example in examples:
            for each in example.annotations:
                x, y, width, height = each.extent.box
                assert 0 <= x <= x + width <= example.width + 0.001, (seed, data)
                assert 0 <= y <= y + height <= example.height + 0.001, (seed, data)
                assert min(width, height) >= 1, (seed, data)
                assert each.label in labels.classes
    print(kind, told)
    assert told["refused"] > COUNT / 5
    assert told["read"] > COUNT / 5


def test_files_themselves_are_read(folder: Path) -> None:
    for form, content, objects_of in KINDS.values():
        (folder / "file.json").write_text(json.dumps(content))
        examples, findings = examined(folder, form, LABELS[0])
        findings.raise_defects()
        assert sum(len(example.annotations) for example in examples) == objects_of(content)
