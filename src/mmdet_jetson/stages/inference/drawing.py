"""Draw detections and ground truth on a picture."""

import colorsys
from pathlib import Path
from typing import Iterator, List, Optional, Sequence, Tuple

import cv2
import numpy as np

from mmdet_jetson.stages.inference.boxes import Detection

Colour = Tuple[int, int, int]
Point = Tuple[int, int]
Rectangle = Tuple[int, int, int, int]
"""Left, top, right, bottom."""

FONT = cv2.FONT_HERSHEY_SIMPLEX
BLACK: Colour = (0, 0, 0)
WHITE: Colour = (255, 255, 255)
# Neighbours on the colour circle a golden angle apart stay distinct however many there are.
GOLDEN_RATIO = 0.618033988749895
# A picture with this longer side, in pixels, reads well at font scale 1 when shown at page width.
SIDE_AT_SCALE_1 = 1200


def draw(
    picture: np.ndarray,
    detections: Sequence[Detection],
    classes: Sequence[str],
    truth: Sequence[Detection] = (),
) -> np.ndarray:
    """Return a copy of ``picture`` with boxes drawn and a legend below.

    Detections are solid, with class and score; ``truth`` is dashed. Every class has its colour.

    Args:
        picture: BGR, uint8, [height, width, 3]; not changed.
        detections: what to draw; the caller has chosen the score from which on.
        classes: names by label.
        truth: ground truth; scores are ignored.

    Returns:
        BGR, uint8, [height + legend, width, 3].
    """
    canvas = draw_boxes(picture, detections, classes, truth)
    legend = f"solid: {len(detections)} detected   dashed: {len(truth)} ground truth"
    return np.vstack([canvas, Pen(canvas).legend(legend)])


def draw_boxes(
    picture: np.ndarray,
    detections: Sequence[Detection],
    classes: Sequence[str],
    truth: Sequence[Detection] = (),
) -> np.ndarray:
    """Do the same without a legend: the copy is as large as the picture."""
    canvas: np.ndarray = np.ascontiguousarray(picture).copy()
    pen = Pen(canvas)
    for real in truth:
        pen.dashed_box(real.box, colour_of(real.label))
    by_score = sorted(detections, key=lambda detection: detection.score)
    for found in by_score:
        pen.solid_box(found.box, colour_of(found.label))
    # Labels come last: a box drawn over a label would make it illegible.
    for found in by_score:
        text = f"{classes[found.label]} {found.score:.2f}"
        pen.label(text, found.box, colour_of(found.label))
    return canvas


def write_jpeg(path: Path, picture: np.ndarray, quality: int = 90) -> None:
    """Write a BGR uint8 [height, width, 3] picture as a JPEG file: a new one, in place of another.

    Raises:
        OSError: the disk is full or cannot be written, or a folder is there.
    """
    # cv2.imwrite says "no" instead of raising when a disk is full.
    _, content = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    path.unlink(missing_ok=True)
    with path.open("xb") as stream:  # "x": what is written goes through no link, nor into a pipe
        stream.write(content.tobytes())


def colour_of(label: int) -> Colour:
    """Give the BGR colour of a class: far from its neighbours', bright enough for black text."""
    hue = (0.33 + label * GOLDEN_RATIO) % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.75, 1.0)
    return round(255 * blue), round(255 * green), round(255 * red)


class Pen:
    """Draws on one picture, in place, with line widths and text sizes in proportion to it."""

    def __init__(self, canvas: np.ndarray) -> None:
        self.canvas = canvas
        self.height, self.width = canvas.shape[:2]
        self.scale = max(0.4, max(self.height, self.width) / SIDE_AT_SCALE_1)
        self.thickness = max(1, round(2 * self.scale))

    def solid_box(self, box: Sequence[float], colour: Colour) -> None:
        """Draw a box in one line."""
        start, end = self._corners(box)
        cv2.rectangle(self.canvas, start, end, colour, self.thickness)

    def dashed_box(self, box: Sequence[float], colour: Colour) -> None:
        """Draw dashes with a dark rim, so that they show on a background of their own colour."""
        (left, top), (right, bottom) = self._corners(box)
        corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
        for start, end in zip(corners, corners[1:]):
            for first, last in _dashes(start, end, length=8 * self.thickness):
                cv2.line(self.canvas, first, last, BLACK, self.thickness + 2)
                cv2.line(self.canvas, first, last, colour, self.thickness)

    def label(
        self,
        text: str,
        box: Sequence[float],
        colour: Colour,
        taken: Optional[List[Rectangle]] = None,
    ) -> None:
        """Write above the box where there is room, else just inside its top edge.

        With ``taken``, where other labels are, it keeps clear of them where it can, and joins them.
        """
        text = _printable(text)
        (width, height), drop = cv2.getTextSize(text, FONT, self.scale, self.thickness)
        (left, top), (_, low) = self._corners(box)
        left, high = max(0, min(left, self.width - width)), height + drop
        bottom = top if top >= high else min(top + high, self.height - 1)
        if taken is not None:
            bottoms = [bottom, low + high, top + high, low, *range(bottom, self.height, high)]
            spots = [(left, each - high, left + width, each) for each in bottoms]
            free = (each for each in spots if self._is_free(each, taken))
            bottom = next(free, spots[0])[3]
            taken.append((left, bottom - high, left + width, bottom))
        cv2.rectangle(self.canvas, (left, bottom - high), (left + width, bottom), colour, -1)
        self._write(text, (left, bottom - drop // 2), BLACK)

    def _is_free(self, spot: Rectangle, taken: Sequence[Rectangle]) -> bool:
        left, top, right, bottom = spot
        return (
            top >= 0
            and bottom < self.height
            and not any(
                left < each[2] and each[0] < right and top < each[3] and each[1] < bottom
                for each in taken
            )
        )

    def legend(self, text: str) -> np.ndarray:
        """Return a strip as wide as the picture, with the text as large as fits into it."""
        (width, height), drop = cv2.getTextSize(text, FONT, self.scale, self.thickness)
        strip = np.zeros((height + 2 * drop, self.width, 3), np.uint8)
        scale = self.scale * min(1.0, self.width / (width + 2 * drop))
        thickness = max(1, round(2 * scale))
        cv2.putText(strip, text, (drop, height + drop), FONT, scale, WHITE, thickness, cv2.LINE_AA)
        return strip

    def _write(self, text: str, origin: Point, colour: Colour) -> None:
        thickness = max(1, self.thickness // 2)
        cv2.putText(self.canvas, text, origin, FONT, self.scale, colour, thickness, cv2.LINE_AA)

    def _corners(self, box: Sequence[float]) -> Tuple[Point, Point]:
        left, top, right, bottom = box
        return (
            (_within(left, self.width), _within(top, self.height)),
            (_within(right, self.width), _within(bottom, self.height)),
        )


def _dashes(start: Point, end: Point, length: int) -> Iterator[Tuple[Point, Point]]:
    """Split an axis-parallel line into dashes with gaps as long as they are."""
    along = max(abs(end[0] - start[0]), abs(end[1] - start[1]))
    step = np.sign(np.subtract(end, start))
    for offset in range(0, along + 1, 2 * length):
        first = start + step * offset
        last = start + step * min(offset + length, along)
        yield (int(first[0]), int(first[1])), (int(last[0]), int(last[1]))


def _within(value: float, limit: int) -> int:
    return int(min(max(round(value), 0), limit - 1))


def _printable(text: str) -> str:
    """OpenCV's built-in font knows ASCII only and would draw several marks for one letter."""
    return text.encode("ascii", "replace").decode()
