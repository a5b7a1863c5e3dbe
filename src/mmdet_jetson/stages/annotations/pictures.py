"""Find, check and copy the pictures of a dataset.

What a picture shows is defined as what OpenCV reads from it in colour: upright by its EXIF
orientation, eight bits a channel, without transparency. MMDetection trains on that (mmcv decodes
with OpenCV's flag for colour, which applies the orientation), deployment reads that, and
annotation tools in a browser show it upright too. A plain picture is copied byte for byte. One in
which another reader could see something else (an orientation, 16 bits, a palette, transparency,
CMYK, a format that is neither JPEG, PNG nor BMP) is written as a PNG of exactly those pixels.
"""

import hashlib
import os
import shutil
import struct
import unicodedata
import warnings
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Container, List

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from mmdet_jetson.stages.annotations.findings import Defect
from mmdet_jetson.stages.annotations.fingerprints import Fingerprint, fingerprint

_PLAIN_FORMATS = {"JPEG", "MPO", "PNG", "BMP"}
_PLAIN_MODES = {"L", "RGB"}
_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif"}
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)
_ORIENTATION_TAG = 0x0112
_PNG_BIT_DEPTH_AT = 24
_COPY_AGAIN = "copy it again from where it came from, or remove its entry"


@dataclass(frozen=True)
class Inspection:
    """A readable picture: upright size in pixels, digest of its pixels, whether it is plain.

    One that is ``turned`` has an EXIF orientation, so its file is not upright. ``fingerprint`` is
    what it looks like.
    """

    width: int
    height: int
    digest: str
    plain: bool
    turned: bool
    fingerprint: Fingerprint


class PictureFolder:
    """The files below a folder, found by the names that annotations give them.

    A name is only ever compared with the names of these files, so none can lead out of the folder.
    """

    def __init__(self, folder: Path) -> None:
        # Links to folders, on another disk perhaps, are followed; rglob would not.
        walked = os.walk(folder, followlinks=True)
        paths = sorted(Path(at, name) for at, _, names in walked for name in names)
        files = [path for path in paths if path.is_file()]
        self._files = {_normal(path.relative_to(folder).as_posix()): path for path in files}
        self._loosely = {_loose(name): name for name in self._files}

    def find(self, name: str) -> str:
        """The file's name relative to the folder, from an annotation's name for it.

        Raises:
            Defect: there is no such file, or the name points out of the folder.
        """
        if name.startswith("/") or ".." in PurePosixPath(name).parts:
            raise Defect("the name points out of the pictures folder", "name it relative to that")
        known = _normal(str(PurePosixPath(name)))
        if known in self._files:
            return known
        near = self._loosely.get(_loose(known))
        raise Defect(
            "the picture is missing",
            f'there is "{near}"; rename one of them'
            if near
            else "put it into the pictures folder or remove its entry",
        )

    def path(self, name: str) -> Path:
        """The file of a name that ``find`` returned."""
        return self._files[name]

    def unlisted(self, listed: Container[Path]) -> List[str]:
        """Names of the pictures in the folder that are not among these files."""
        return [
            name
            for name, path in self._files.items()
            if path not in listed and path.suffix.lower() in _SUFFIXES
        ]


def _normal(name: str) -> str:
    """One form for names that look the same: macOS stores letters and accents apart."""
    return unicodedata.normalize("NFC", name)


def _loose(name: str) -> str:
    return PurePosixPath(name).stem.casefold()


def inspect(path: Path) -> Inspection:
    """Decode a picture wholly, so that one cut off while copying is found.

    The digest is over the decoded pixels: the same photo counts as the same after its metadata
    or its lossless format has changed.

    Raises:
        Defect: Pillow or OpenCV cannot read it.
    """
    try:
        with warnings.catch_warnings(), Image.open(path) as picture:
            warnings.simplefilter("ignore")
            picture.load()
            turned = _is_turned(picture)
            plain = not turned and _is_plain(picture, path)
            pixels = np.asarray(picture.convert("RGB")) if plain else None
    except _BROKEN as error:
        raise Defect(f"the picture cannot be read ({_reason(error, path)})", _COPY_AGAIN) from error
    if pixels is None:
        pixels = np.ascontiguousarray(upright(path)[:, :, ::-1])
    height, width = pixels.shape[:2]
    digest = hashlib.sha256(f"{width}x{height}".encode())
    digest.update(pixels.data)
    return Inspection(width, height, digest.hexdigest(), plain, turned, fingerprint(pixels))


def _reason(error: BaseException, path: Path) -> str:
    """What Pillow says, without the path that the message has already."""
    if path.stat().st_size == 0:
        return "the file is empty"
    if isinstance(error, UnidentifiedImageError):
        return "not a known picture format"
    return str(error).replace(str(path), path.name)


def _is_plain(picture: Image.Image, path: Path) -> bool:
    """Whether every reader sees the same 8-bit pixels in a decoded picture, upright as stored."""
    if picture.format not in _PLAIN_FORMATS or picture.mode not in _PLAIN_MODES:
        return False
    return picture.format != "PNG" or _png_bit_depth(path) == 8


def _is_turned(picture: Image.Image) -> bool:
    # Not picture.getexif(): that also believes XMP, which neither OpenCV nor browsers do.
    exif = Image.Exif()
    exif.load(picture.info.get("exif", b""))
    return exif.get(_ORIENTATION_TAG, 1) in range(2, 9)


def _png_bit_depth(path: Path) -> int:
    with path.open("rb") as stream:
        return stream.read(_PNG_BIT_DEPTH_AT + 1)[_PNG_BIT_DEPTH_AT]


def upright(path: Path) -> np.ndarray:
    """What OpenCV reads: [height, width, 3], BGR, uint8, its EXIF orientation applied.

    Raises:
        Defect: OpenCV cannot read it.
    """
    pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise Defect("OpenCV cannot read the picture", "save it as JPEG or PNG")
    result: np.ndarray = pixels
    return result


def write(source: Path, target: Path, reencode: bool) -> None:
    """Copy a picture byte for byte, or write its upright pixels as a PNG."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not reencode:
        shutil.copyfile(source, target)
        return
    _, data = cv2.imencode(".png", upright(source))
    target.write_bytes(data.tobytes())
