"""Draw a small detection dataset: bright ellipses and rectangles on dull, textured backgrounds.

It is written the way VIA writes a labelled folder, so it takes the same path as a user's pictures.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import cv2
import numpy as np

CLASSES = ("ellipse", "rectangle")
# OpenCV's hues, 0 to 180: warm ellipses, cold rectangles. By their shapes alone the classes are not
# told apart within a training of a minute or two from random numbers: AP50 0.54 instead of 0.98.
HUES = {"ellipse": (-25, 25), "rectangle": (70, 130)}
FORMAT = "via"
"""The annotation format that it is written in."""
LABEL_ATTRIBUTE = "label"
ANNOTATIONS = "via_region_data.json"

_ATTEMPTS = 40
_SUBPIXEL_BITS = 4
_FINER = 4


@dataclass(frozen=True)
class Shape:
    """One object: centre, half axes and rotation in radians, clockwise on the screen."""

    name: str
    center: Tuple[float, float]
    half: Tuple[float, float]
    theta: float

    @property
    def label(self) -> str:
        """The class of the object."""
        return "ellipse" if self.name in {"ellipse", "circle"} else "rectangle"

    def corners(self) -> np.ndarray:
        """The corners [4, 2] of the rectangle that the half axes span, in pixels."""
        (rx, ry), cos, sin = self.half, math.cos(self.theta), math.sin(self.theta)
        offsets = np.array([(-rx, -ry), (rx, -ry), (rx, ry), (-rx, ry)])
        corners: np.ndarray = offsets @ np.array([(cos, sin), (-sin, cos)]) + self.center
        return corners

    def extent(self) -> Tuple[float, float, float, float]:
        """Left, top, right, bottom of the rotated rectangle around the shape, in pixels."""
        corners = self.corners()
        left, top = corners.min(axis=0)
        right, bottom = corners.max(axis=0)
        return float(left), float(top), float(right), float(bottom)

    def attributes(self) -> Dict[str, object]:
        """The shape as VIA's ``shape_attributes``."""
        (x, y), (rx, ry) = self.center, self.half
        if self.name == "circle":
            return {"name": "circle", "cx": x, "cy": y, "r": rx}
        if self.name == "ellipse":
            return {"name": "ellipse", "cx": x, "cy": y, "rx": rx, "ry": ry, "theta": self.theta}
        if self.name == "rect":
            return {"name": "rect", "x": x - rx, "y": y - ry, "width": 2 * rx, "height": 2 * ry}
        xs, ys = self.corners().round(2).T.tolist()
        return {"name": "polygon", "all_points_x": xs, "all_points_y": ys}


def draw_dataset(folder: Path, train: int, val: int, size: Tuple[int, int], seed: int) -> None:
    """Write ``train/`` and ``val/`` below ``folder``: JPEG pictures and a VIA file in each.

    ``size`` is (width, height) in pixels. The splits come from different random streams of the
    same ``seed``, so no validation picture is in the training split, and the same arguments give
    the same bytes. Training annotations are in VIA 1.x form, validation annotations in 2.x form.
    """
    for stream, (split, count) in enumerate((("train", train), ("val", val))):
        _draw_split(folder / split, count, size, np.random.default_rng([seed, stream]))


def _draw_split(folder: Path, count: int, size: Tuple[int, int], rng: np.random.Generator) -> None:
    folder.mkdir(parents=True)
    entries = {}
    for number in range(count):
        name = f"{folder.name}_{number:04d}.jpg"
        shapes = _arrange(size, rng)
        data = _encode(_paint(shapes, size, rng))
        (folder / name).write_bytes(data)
        entries[f"{name}{len(data)}"] = _entry(
            name, len(data), shapes, as_list=folder.name == "val"
        )
    (folder / ANNOTATIONS).write_text(json.dumps(entries, indent=1))


def _entry(name: str, size: int, shapes: List[Shape], as_list: bool) -> Dict[str, object]:
    regions = [
        {
            "shape_attributes": shape.attributes(),
            "region_attributes": {LABEL_ATTRIBUTE: shape.label},
        }
        for shape in shapes
    ]
    keyed = {str(index): region for index, region in enumerate(regions)}
    return {
        "filename": name,
        "size": size,
        "regions": regions if as_list else keyed,
        "file_attributes": {},
    }


def _arrange(size: Tuple[int, int], rng: np.random.Generator) -> List[Shape]:
    """One to three shapes inside the picture whose surrounding boxes do not touch."""
    wanted = int(rng.integers(1, 4))
    shapes: List[Shape] = []
    for _ in range(_ATTEMPTS):
        shape = _random_shape(size, rng)
        if _inside(shape, size) and not any(_touch(shape, other) for other in shapes):
            shapes.append(shape)
        if len(shapes) == wanted:
            break
    return shapes


def _random_shape(size: Tuple[int, int], rng: np.random.Generator) -> Shape:
    """A shape whose longer side is 20% to 60% of the picture's shorter side."""
    width, height = size
    name = str(rng.choice(["ellipse", "circle", "rect", "polygon"], p=[0.35, 0.15, 0.25, 0.25]))
    long = rng.uniform(0.2, 0.6) * min(size) / 2
    short = long if name == "circle" else long * rng.uniform(0.5, 0.9)
    upright = rng.random() < 0.5
    half = (short, long) if upright else (long, short)
    theta = rng.uniform(-0.6, 0.6) if name in {"ellipse", "polygon"} else 0.0
    center = (rng.uniform(0, width), rng.uniform(0, height))
    return Shape(name, _rounded(center), _rounded(half), round(theta, 3))


def _rounded(pair: Tuple[float, float]) -> Tuple[float, float]:
    return round(float(pair[0]), 2), round(float(pair[1]), 2)


def _inside(shape: Shape, size: Tuple[int, int]) -> bool:
    left, top, right, bottom = shape.extent()
    return left >= 1 and top >= 1 and right <= size[0] - 1 and bottom <= size[1] - 1


def _touch(one: Shape, other: Shape) -> bool:
    a, b = one.extent(), other.extent()
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _paint(shapes: List[Shape], size: Tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """The picture [height, width, 3], BGR, uint8."""
    canvas = _background(size, rng)
    for shape in shapes:
        mask = _mask(shape, size)[:, :, None]
        canvas = canvas * (1 - mask) + _surface(size, HUES[shape.label], rng) * mask
    sigma = rng.uniform(0.3, 1.0)
    canvas = cv2.GaussianBlur(canvas, (0, 0), sigma)
    canvas += rng.normal(0, rng.uniform(2, 8), canvas.shape)
    picture: np.ndarray = canvas.clip(0, 255).round().astype(np.uint8)
    return picture


def _background(size: Tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Clouds of two scales in a greyish tint, crossed by a few thin lines."""
    width, height = size
    tint = rng.uniform(60, 170) + rng.uniform(-15, 15, 3)
    canvas = np.ones((height, width, 3)) * tint
    for cells, strength in ((4, 30), (24, 15)):
        clouds = rng.normal(0, strength, (cells, cells))
        canvas += cv2.resize(clouds, size, interpolation=cv2.INTER_CUBIC)[:, :, None]
    for _ in range(int(rng.integers(0, 5))):
        start, end = (rng.uniform(0, 1, (2, 2)) * size).astype(int).tolist()
        cv2.line(
            canvas, tuple(start), tuple(end), [float(rng.uniform(30, 220))] * 3, 1, cv2.LINE_AA
        )
    return canvas


def _surface(size: Tuple[int, int], hues: Tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A saturated colour of the given hues with a soft gradient across the picture."""
    width, height = size
    hue, saturation, value = (
        rng.integers(*hues) % 180,
        rng.integers(190, 256),
        rng.integers(180, 256),
    )
    hsv = np.array([[[hue, saturation, value]]], dtype=np.uint8)
    color = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0, 0].astype(float)
    direction = rng.uniform(-0.25, 0.25, 2)
    x, y = np.linspace(-1, 1, width), np.linspace(-1, 1, height)
    shade = 1 + direction[0] * x[None, :] + direction[1] * y[:, None]
    surface: np.ndarray = color * shade[:, :, None]
    return surface


def _mask(shape: Shape, size: Tuple[int, int]) -> np.ndarray:
    """Coverage [height, width] of the shape, 0 to 1, with smooth edges.

    It is drawn on a finer grid, as OpenCV makes filled shapes half a pixel larger all around.
    """
    fine = np.zeros((size[1] * _FINER, size[0] * _FINER), np.uint8)
    if shape.label == "ellipse":
        degrees = math.degrees(shape.theta)
        center, axes = _fine(shape.center, offset=0.5), _fine(shape.half)
        cv2.ellipse(fine, center, axes, degrees, 0, 360, 255, -1, cv2.LINE_8, _SUBPIXEL_BITS)
    else:
        corners = np.array([_fine(corner, offset=0.5) for corner in shape.corners()], np.int32)
        cv2.fillPoly(fine, [corners], 255, cv2.LINE_8, _SUBPIXEL_BITS)
    coverage: np.ndarray = cv2.resize(fine, size, interpolation=cv2.INTER_AREA) / 255.0
    return coverage


def _fine(pair: Sequence[float], offset: float = 0.0) -> Tuple[int, int]:
    """Pixels of the picture as OpenCV's fixed-point coordinates of the finer grid.

    The offset of 0.5 is for points: OpenCV counts from pixel centres, VIA from pixel corners.
    """
    x, y = (round((value * _FINER - offset) * (1 << _SUBPIXEL_BITS)) for value in pair)
    return x, y


def _encode(picture: np.ndarray) -> bytes:
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 92])
    return bytes(data)
