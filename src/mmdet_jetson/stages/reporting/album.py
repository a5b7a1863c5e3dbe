"""Pictures as a part of the page itself, small, and no more of them than the page has room for."""

import base64
from pathlib import Path
from typing import Dict, Optional

import cv2

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

    def uri(self, path: Optional[Path]) -> Optional[str]:
        """The picture in a file; None where there is none, or no room for it."""
        if path is None or not path.is_file():
            return None
        if path not in self._known:
            self._known[path] = self._placed(_data_uri(path))
        return self._known[path]

    def _placed(self, uri: Optional[str]) -> Optional[str]:
        if uri is None:
            return None
        if len(uri) > self.room:
            self.left_out += 1
            return None
        self.room -= len(uri)
        return uri


def _data_uri(path: Path) -> Optional[str]:
    picture = cv2.imread(str(path))
    if picture is None:
        return None
    height, width = picture.shape[:2]
    if width > PICTURE_WIDTH:
        size = (PICTURE_WIDTH, max(1, round(height * PICTURE_WIDTH / width)))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")
