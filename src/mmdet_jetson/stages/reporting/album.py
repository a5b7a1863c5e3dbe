"""Pictures as a part of the page itself, small, and no more of them than the page has room for."""

import base64
from pathlib import Path
from typing import Dict, Optional

import cv2
import numpy as np

PICTURE_WIDTH = 480
JPEG_QUALITY = 82
ROOM = 6_500_000
"""Bytes of the page that its pictures may take; with everything else it stays under 10 MB."""


class Album:
    """Turns picture files into data URIs until the room is taken."""

    def __init__(self, room: int = ROOM) -> None:
        self.room = room
        self.left_out = 0
        self._known: Dict[Path, Optional[str]] = {}

    def uri(self, path: Optional[Path], width: int = PICTURE_WIDTH) -> Optional[str]:
        """The picture in a file, at most so many pixels wide; None: no picture, or no room."""
        if path is None or not path.is_file():
            return None
        if path not in self._known:
            self._known[path] = self._placed(_data_uri(path, width))
        return self._known[path]

    def _placed(self, uri: Optional[str]) -> Optional[str]:
        if uri is None:
            return None
        if len(uri) > self.room:
            self.left_out += 1
            return None
        self.room -= len(uri)
        return uri


def _data_uri(path: Path, width: int) -> Optional[str]:
    picture = cv2.imread(str(path))
    if picture is None:
        return None
    if picture.shape[1] <= width and path.suffix == ".jpg":
        content = path.read_bytes()  # as good as it was drawn
    else:
        content = _smaller(picture, width)
    return "data:image/jpeg;base64," + base64.b64encode(content).decode("ascii")


def _smaller(picture: np.ndarray, most: int) -> bytes:
    height, width = picture.shape[:2]
    if width > most:
        size = (most, max(1, round(height * most / width)))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return bytes(encoded)
