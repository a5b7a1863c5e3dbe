"""Annotations of one picture as each labelling tool exports them, for the readers of formats."""

import base64
import json
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from labelled import HEIGHT, WIDTH, Json, noise, save

from mmdet_jetson.stages.annotations.findings import Findings
from mmdet_jetson.stages.annotations.formats import read_annotations
from mmdet_jetson.stages.annotations.records import Labels, Record

LABELS = Labels(("balloon", "kite"), "label", None)
BOX = ((4, 6), (14, 6), (14, 14), (4, 14))
"""Where the box of most of them lies."""


class Noted(Findings):
    """Findings that keep each warning, to be counted."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[tuple[str, str]] = []

    def warn(self, topic: str, where: str) -> None:
        self.noted.append((topic, where))
        super().warn(topic, where)

    def said(self) -> str:
        """Every defect and warning, a line each."""
        defects = [f"{d.where}: {d.what} ({d.hint})" for d in self.defects]
        return "\n".join([*defects, *self.warnings()])


def read(
    form: str, path: Path, source: Path, pictures: str = "images", labels: Labels = LABELS
) -> tuple[list[Record], Noted]:
    """What a format makes of a file or folder in a source."""
    findings = Noted()
    shown = path.relative_to(source).as_posix()
    records = read_annotations(form, path, shown, labels, findings, pictures=source / pictures)
    return records, findings


def pictures(source: Path, names: Iterable[str] = ("a.png",), folder: str = "images") -> None:
    """Pictures of noise in a folder of the source."""
    for seed, name in enumerate(names):
        noise(source / folder / name, seed)


def corners(record: Record, index: int = 0) -> list[tuple[float, float]]:
    """The first outline of a region, in pixels and rounded."""
    region = record.regions[index]
    across, down = (WIDTH, HEIGHT) if region.fractions else (1, 1)
    return [(round(x * across, 4), round(y * down, 4)) for x, y in region.outlines[0]]


# --- Pascal VOC ---


def voc_object(
    name: str = "balloon", box: Iterable[object] = (4, 6, 14, 14), extra: str = ""
) -> str:
    sides = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    inside = "".join(f"<{side}>{value}</{side}>" for side, value in sides)
    return (
        f"<object><name>{name}</name><pose>Unspecified</pose><truncated>0</truncated>"
        f"<difficult>0</difficult>{extra}<bndbox>{inside}</bndbox></object>"
    )


def voc(*objects: str, name: str = "a.png", database: str = "Unknown") -> str:
    return (
        f"<annotation>\n\t<folder>images</folder>\n\t<filename>{name}</filename>\n"
        f"\t<path>C:\\Users\\me\\images\\{name}</path>\n"
        f"\t<source><database>{database}</database></source>\n"
        f"\t<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>\n"
        f"\t<segmented>0</segmented>\n{''.join(objects)}</annotation>\n"
    )


# --- labelme ---


def shape(
    kind: str | None = "rectangle", points: object = ((4, 6), (14, 14)), **more: object
) -> Json:
    return {
        "label": "balloon", "points": points, "group_id": None, "description": "",
        "shape_type": kind, "flags": {}, "mask": None, **more,
    }  # fmt: skip


def png(pixels: np.ndarray) -> str:
    ok, data = cv2.imencode(".png", pixels)
    assert ok
    return base64.b64encode(data.tobytes()).decode()


def labelme(*shapes: Json, **more: object) -> Json:
    return {
        "version": "5.4.1", "flags": {}, "shapes": list(shapes), "imagePath": "..\\images\\a.png",
        "imageData": None, "imageHeight": HEIGHT, "imageWidth": WIDTH, **more,
    }  # fmt: skip


# --- Label Studio ---


def result(kind: str = "rectanglelabels", name: str = "balloon", /, **value: object) -> Json:
    """A result; the value is the usual box's where none is given."""
    box = {"x": 10, "y": 20, "width": 25, "height": 80 / 3, "rotation": 0}
    return {
        "original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0,
        "value": {**(value or box), kind: [name]}, "id": "Dx_aB1ISEA", "from_name": "label",
        "to_name": "image", "type": kind, "origin": "manual",
    }  # fmt: skip


def task(*results: object, image: str = "/data/upload/1/1b2c3d4e-a.png", **more: object) -> Json:
    annotation = {
        "id": 12, "completed_by": 1, "result": list(results), "was_cancelled": False,
        "ground_truth": False, "lead_time": 9.2, "result_count": len(results),
    }  # fmt: skip
    return {
        "id": 5, "annotations": [annotation], "file_upload": "1b2c3d4e-a.png", "drafts": [],
        "predictions": [], "data": {"image": image}, "meta": {}, "project": 1, **more,
    }  # fmt: skip


def small_task(*regions: Json, image: str = "/data/upload/1/1b2c3d4e-a.png") -> Json:
    """A task in JSON-MIN."""
    return {
        "image": image, "id": 5, "label": list(regions), "annotator": 1, "annotation_id": 12,
        "created_at": "2023-01-01T00:00:00Z", "updated_at": "2023-01-01T00:00:00Z",
        "lead_time": 9.2,
    }  # fmt: skip


# --- CVAT ---

CVAT_BOX = (
    '<box label="balloon" source="manual" occluded="0" xtl="4.00" ytl="6.00" xbr="14.00" '
    'ybr="14.00" z_order="0"></box>'
)


def cvat(*shapes: str, name: str = "a.png") -> str:
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n'
        "<meta><task><name>t</name><size>1</size></task></meta>\n"
        f'<image id="0" name="{name}" width="{WIDTH}" height="{HEIGHT}">\n{"".join(shapes)}</image>\n'
        "</annotations>\n"
    )


def cvat_video(*tracks: str, step: int = 1) -> str:
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version><meta><task>'
        f"<name>t</name><size>9</size><mode>interpolation</mode>"
        f"<frame_filter>{f'step={step}' if step > 1 else ''}</frame_filter>"
        f"<original_size><width>{WIDTH}</width><height>{HEIGHT}</height></original_size>"
        f"<source>walk.mp4</source></task></meta>{''.join(tracks)}</annotations>"
    )


def tracked(*frames: tuple[int, int], label: str = "balloon") -> str:
    """A track of boxes, each its frame and whether it is outside."""
    boxes = "".join(
        f'<box frame="{frame}" keyframe="1" outside="{outside}" occluded="0" xtl="{4 + frame}" '
        f'ytl="6" xbr="{14 + frame}" ybr="14" z_order="0"></box>'
        for frame, outside in frames
    )
    return f'<track id="0" label="{label}" source="manual">{boxes}</track>'


# --- Datumaro ---


def datumaro_shape(kind: str = "bbox", **more: object) -> Json:
    given = {"bbox": [4, 6, 10, 8]} if kind == "bbox" else {}
    return {
        "id": 0, "type": kind, "attributes": {"occluded": False}, "group": 0, "label_id": 0,
        "z_order": 0, **given, **more,
    }  # fmt: skip


def datumaro(*shapes: object, path: str = "a.png") -> Json:
    labels: list[Json] = [
        {"name": name, "parent": "", "attributes": []} for name in ("balloon", "kite")
    ]
    return {
        "info": {}, "categories": {"label": {"labels": labels, "attributes": []}},
        "items": [
            {
                "id": "a", "annotations": list(shapes), "attr": {"frame": 0},
                "image": {"path": path, "size": [HEIGHT, WIDTH]},
            }
        ],
    }  # fmt: skip


# --- one small source of each format ---


def example(form: str, source: Path) -> Path:
    """A source with picture images/a.png and its annotations; gives what `annotations` names."""
    pictures(source)
    if form == "yolo":
        (source / "labels").mkdir()
        save(source / "data.yaml", "train: ../images\nnc: 2\nnames: ['balloon', 'kite']\n")
        save(source / "labels/a.txt", "0 0.225 0.33333333 0.25 0.26666667\n")
        return source / "data.yaml"
    if form in ("voc", "labelme"):
        folder = source / form
        folder.mkdir()
        save(folder / ("a.xml" if form == "voc" else "a.json"), _WHOLE[form])
        return folder
    path = source / ("annotations.xml" if form == "cvat" else "annotations.json")
    save(path, _WHOLE[form])
    return path


_WHOLE: dict[str, object] = {
    "voc": voc(voc_object()),
    "labelme": json.dumps(labelme(shape())),
    "label_studio": [task(result())],
    "cvat": cvat(CVAT_BOX),
    "datumaro": datumaro(datumaro_shape()),
}
