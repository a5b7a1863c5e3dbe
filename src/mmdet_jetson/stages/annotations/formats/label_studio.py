"""Read Label Studio's own JSON and JSON-MIN: a file, or a folder of a file for each task.

Coordinates are percents of the upright picture's width and height, from the outer edge of its
first pixel. A box is turned by ``rotation`` degrees, clockwise, around its top left corner, an
ellipse around its centre; a brush is decoded to its pixels.
"""

import re
from contextlib import nullcontext
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from mmdet_jetson.stages.annotations import geometry, label_studio_brush, strict_json
from mmdet_jetson.stages.annotations.findings import Defect, Findings
from mmdet_jetson.stages.annotations.label_studio_shapes import OUTLINES
from mmdet_jetson.stages.annotations.own_names import files_below
from mmdet_jetson.stages.annotations.place import Place
from mmdet_jetson.stages.annotations.placed_masks import whole_mask
from mmdet_jetson.stages.annotations.records import Labels, Record, Region
from mmdet_jetson.stages.annotations.strict_json import number, positive, texts

SUFFIX = ".json"

_HINT = "export the project as JSON"
_SHAPES = ("rectangle", "polygon", "ellipse", "brush")
_NO_AREA = (
    "keypoint", "choices", "textarea", "number", "rating", "taxonomy", "relation", "vector",
    "datetime", "pairwise",
)  # fmt: skip
_PICTURE = re.compile(r"\.(jpe?g|png|bmp|tiff?|webp|gif)(\?.*)?$", re.IGNORECASE)

# Columns of JSON-MIN that are Label Studio's own.
_OF_TASK = {"id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time"}
_PERCENTS = (100, 100)

_Json = Mapping[str, object]


def read(path: Path, shown: str, labels: Labels, findings: Findings) -> List[Record]:
    """The pictures of the tasks in their order; ``shown`` is the file's name in messages.

    Predictions are no annotations, and a task that nobody annotated is left out with a warning.

    Raises:
        Defect: the file as a whole cannot be read as Label Studio's.
    """
    place = Place(shown, labels, findings)
    numbered: List[Tuple[str, _Json]] = []
    for file, name in files_below(path, SUFFIX):
        with place.inside(name).checked() if path.is_dir() else nullcontext():
            before = f"{name}, " if path.is_dir() else ""
            told = enumerate(_content(file))
            numbered += [(f"{before}task {_told(raw, i)}", raw) for i, raw in told]
    seen: Dict[str, str] = {}
    return place.each(numbered, lambda raw, inside: _record(raw, seen, place, inside))


def recognises(path: Path) -> bool:
    """Whether a file, or the first of a folder's, is one of Label Studio's."""
    try:
        return bool(_content(files_below(path, SUFFIX)[0][0]))
    except Defect:
        return False


def _content(path: Path) -> List[_Json]:
    content = strict_json.load(path)
    listed = content if isinstance(content, list) else [content]
    tasks = [_task_of(item) if isinstance(item, dict) else {} for item in listed]
    if not any(map(_is_task, tasks)):
        raise Defect("is JSON but not Label Studio's: it is no list of tasks", _HINT)
    return tasks


def _task_of(item: _Json) -> _Json:
    """The task, from an annotation that holds it, as Label Studio writes to cloud storages."""
    task = item.get("task")
    if isinstance(task, dict) and isinstance(item.get("result"), list):
        return {**task, "annotations": [item]}
    return item


def _is_task(item: _Json) -> bool:
    full = isinstance(item.get("data"), dict) and any(
        isinstance(item.get(key), list) for key in ("annotations", "completions")
    )
    small = "annotator" in item or "annotation_id" in item or "lead_time" in item
    return full or (small and _picture_of(item) is not None)


def _told(raw: _Json, index: int) -> object:
    identifier = raw.get("id")
    return identifier if isinstance(identifier, (int, str)) else index + 1


def _record(raw: _Json, seen: Dict[str, str], file: Place, place: Place) -> Optional[Record]:
    """The task's picture with its one annotation, None where nobody annotated it."""
    small = "annotations" not in raw and "completions" not in raw
    data = raw if small else raw.get("data")
    picture = _picture_of(data) if isinstance(data, dict) else None
    if not isinstance(data, dict) or picture is None:
        raise Defect("names no one picture", 'label pictures, with one key such as "image"')
    first = seen.setdefault(picture, place.where)
    if first != place.where:
        raise Defect(
            f"annotates the picture of {first} again",
            "keep one annotation of each picture, and export again",
        )
    results = list(_small(raw)) if small else _results(raw, picture, place)
    if results is None:
        return None
    return _annotated(picture, results, _keys(data, picture), file)


def _results(raw: _Json, picture: str, place: Place) -> Optional[List[object]]:
    made = raw.get("annotations", raw.get("completions"))
    if not isinstance(made, list) or not all(isinstance(item, dict) for item in made):
        raise Defect("has no list of annotations", _HINT)
    valid = [item for item in made if not item.get("was_cancelled")]
    if not valid:
        only = "only predictions" if raw.get("predictions") else "no annotation"
        place.inside(picture).warn(f"left out, as the task has {only}")
        return None
    results = _chosen(valid).get("result")
    if not isinstance(results, list):
        raise Defect("has an annotation without a list of results", _HINT)
    return results


def _chosen(annotations: Sequence[_Json]) -> _Json:
    if len(annotations) == 1:
        return annotations[0]
    true = [item for item in annotations if item.get("ground_truth") is True]
    if len(true) == 1:
        return true[0]
    raise Defect(
        f"has {len(annotations)} annotations, which may disagree",
        "mark one of them as ground truth, or delete the others, and export again",
    )


def _picture_of(data: _Json) -> Optional[str]:
    image = data.get("image")
    if isinstance(image, str) and image:
        return image
    found = [v for v in data.values() if isinstance(v, str) and _PICTURE.search(v)]
    return found[0] if len(found) == 1 else None


def _small(raw: _Json) -> Iterator[_Json]:
    """The regions of a task in JSON-MIN, in the form that they have in JSON."""
    for key, value in raw.items():
        for item in value if isinstance(value, list) else []:
            if isinstance(item, dict):
                kind = next((name for name in item if name.endswith("labels")), key)
                yield {"value": item, **item, "type": kind, "id": None}
            else:
                yield {"type": "choices"}


def _keys(data: _Json, picture: str) -> Dict[str, str]:
    """What else a task says of its picture, in the columns that it was imported with."""
    told = texts(data).items()
    return {key: text for key, text in told if text != picture and key not in _OF_TASK}


def _annotated(
    picture: str, results: Sequence[object], keys: Mapping[str, str], file: Place
) -> Record:
    sizes: Set[Tuple[int, int]] = set()
    numbered = [(f"result {i + 1}", raw) for i, raw in enumerate(_joined(results))]
    regions = file.inside(picture).each(numbered, lambda raw, place: _region(raw, sizes, place))
    if len(sizes) > 1:
        raise Defect(f"{picture} has results for pictures of several sizes", "label it again")
    return Record(picture, tuple(regions), next(iter(sizes), None), keys=keys, upright=True)


def _joined(results: Sequence[object]) -> List[object]:
    """The results, without those that repeat a labelled region to say something else of it."""
    labelled = {_id(raw) for raw in results if isinstance(raw, dict) and _label_lists(raw)}
    return [
        raw
        for raw in results
        if not isinstance(raw, dict)
        or _label_lists(raw)
        or _id(raw) is None
        or _id(raw) not in labelled
    ]


def _id(raw: _Json) -> Optional[str]:
    identifier = raw.get("id")
    return identifier if isinstance(identifier, str) else None


def _label_lists(raw: _Json) -> List[List[object]]:
    value = raw.get("value")
    content = value if isinstance(value, dict) else {}
    return [v for k, v in content.items() if isinstance(v, list) and k.endswith("labels")]


def _kind(raw: _Json, place: Place) -> Optional[str]:
    """Which shape a result is, None where it is left out as it has no area."""
    named = raw.get("type")
    shown = named if isinstance(named, str) and named else "result without a type"
    if shown.startswith(_NO_AREA):
        place.warn(f"left out, as its type {shown} has no area")
        return None
    value = raw.get("value")
    if not isinstance(value, dict):
        raise Defect("the result has no value", _HINT)
    for key, kind in (("rle", "brush"), ("points", "polygon"), ("radiusX", "ellipse")):
        if key in value:
            return kind
    if not {"x", "y", "width", "height"} <= set(value):
        raise Defect(f'the result type "{shown[:40]}" is not known', f"use {', '.join(_SHAPES)}")
    return "rectangle"


def _size(raw: _Json) -> Optional[Tuple[int, int]]:
    """The picture's size as Label Studio saw it, None in what programs wrote without it."""
    if raw.get("image_rotation", 0) not in (0, None):
        raise Defect("was drawn on a picture that was turned in Label Studio", "turn it back")
    keys = ("original_width", "original_height")
    if all(raw.get(key) is None for key in keys):
        return None
    width, height = (positive(raw.get(key), key) for key in keys)
    if not (width.is_integer() and height.is_integer()):
        raise Defect(f"its picture has {width:g} × {height:g} pixels", _HINT)
    return int(width), int(height)


def _region(raw: object, sizes: Set[Tuple[int, int]], place: Place) -> Optional[Region]:
    if not isinstance(raw, dict):
        raise Defect("the result is not an object of JSON", _HINT)
    kind = _kind(raw, place)
    if kind is None:
        return None
    stated, value = _size(raw), raw["value"]
    assert isinstance(value, dict)
    sizes |= set() if stated is None else {stated}
    label = place.class_of(_label(raw))
    turned = number(value.get("rotation") or 0, "rotation") % 360
    if stated is None and (turned or kind == "brush"):
        raise Defect("has no original_width and original_height, which it needs", _HINT)
    size = stated or _PERCENTS
    if kind == "brush":
        mask = whole_mask(label_studio_brush.pixels(value.get("rle"), size), (0, 0), size)
        return None if label is None else Region(place.where, label, mask=mask)
    if kind == "rectangle" and turned:
        place.warn("a rotated box was read as its four corners")
    outline = geometry.scaled([OUTLINES[kind](value, size)], 1 / size[0], 1 / size[1])
    if label is None:
        return None
    return Region(
        place.where, label, geometry.snapped(outline), fractions=True, turned=bool(turned)
    )


def _label(raw: _Json) -> str:
    names = [name for listed in _label_lists(raw) for name in listed]
    if len(names) != 1 or not isinstance(names[0], str):
        raise Defect(f"the region has {len(names)} labels, not one", "give each region one label")
    return names[0]
