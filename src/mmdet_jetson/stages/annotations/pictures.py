"""Check and copy the pictures of a dataset.

What a picture shows is defined as what OpenCV reads from it in colour: upright by its EXIF
orientation, eight bits a channel, without transparency. MMDetection trains on that (mmcv decodes
with OpenCV's flag for colour, which applies the orientation), deployment reads that, and
annotation tools in a browser show it upright too. A plain picture is copied byte for byte. One in
which another reader could see something else (an orientation, 16 bits, a palette, transparency,
CMYK, a format that is neither JPEG, PNG nor BMP) is written as a PNG of exactly those pixels.
"""

import hashlib
import shutil
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Tuple

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from mmdet_jetson.stages.annotations.findings import Defect
from mmdet_jetson.stages.annotations.fingerprints import Fingerprint, fingerprint
from mmdet_jetson.stages.annotations.picture_folder import lost_link
from mmdet_jetson.stages.annotations.strict_json import LFS_POINTER

_PLAIN_FORMATS = {"JPEG", "MPO", "PNG", "BMP"}
_PLAIN_MODES = {"L", "RGB"}
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)
_ORIENTATION_TAG = 0x0112
_PNG_BIT_DEPTH_AT = 24
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
_CONVERT = "convert it to JPEG, such as by: heif-convert A.heic A.jpg"
_COPY_AGAIN = "copy it again from where it came from, or remove its entry"


@dataclass(frozen=True)
class Inspection:
    """A readable picture: upright size in pixels, digest of its pixels, whether it is plain.

    ``orientation`` is EXIF's, from 1 to 8; a file is stored upright where it is 1. ``fingerprint``
    is what it looks like.
    """

    width: int
    height: int
    digest: str
    plain: bool
    orientation: int
    fingerprint: Fingerprint

    @property
    def turned(self) -> bool:
        """Whether the file is not stored upright."""
        return self.orientation != 1

    @property
    def stored_size(self) -> Tuple[int, int]:
        """Width and height of the file's own pixels."""
        on_its_side = self.orientation >= 5
        return (self.height, self.width) if on_its_side else (self.width, self.height)


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
            orientation = _orientation(picture)
            plain = orientation == 1 and _is_plain(picture, path)
            pixels = np.asarray(picture.convert("RGB")) if plain else None
    except _BROKEN as error:
        if _is_heic(path):
            raise Defect("the picture is HEIC, which is not read", _CONVERT) from error
        raise Defect(f"the picture cannot be read ({_reason(error, path)})", _COPY_AGAIN) from error
    if pixels is None:
        pixels = np.ascontiguousarray(upright(path)[:, :, ::-1])
    height, width = pixels.shape[:2]
    digest = hashlib.sha256(f"{width}x{height}".encode())
    digest.update(pixels.data)
    return Inspection(width, height, digest.hexdigest(), plain, orientation, fingerprint(pixels))


def _is_heic(path: Path) -> bool:
    """Whether a file begins as the pictures of many phones do."""
    with path.open("rb") as stream:
        head = stream.read(12)
    return head[4:8] == b"ftyp" and head[8:] in _HEIC


def _reason(error: BaseException, path: Path) -> str:
    """What Pillow says, without the path that the message has already."""
    if path.stat().st_size == 0:
        return "the file is empty"
    if isinstance(error, UnidentifiedImageError):
        with path.open("rb") as stream:
            if stream.read(len(LFS_POINTER)) == LFS_POINTER:
                return "it is a Git LFS pointer: git lfs pull brings the picture"
        link = lost_link(path)
        if link is not None:
            return f"it is the text of a symbolic link to {link}"
        return "not a known picture format"
    return str(error).replace(str(path), path.name)


def _is_plain(picture: Image.Image, path: Path) -> bool:
    """Whether every reader sees the same 8-bit pixels in a decoded picture, upright as stored."""
    if picture.format not in _PLAIN_FORMATS or picture.mode not in _PLAIN_MODES:
        return False
    return picture.format != "PNG" or _png_bit_depth(path) == 8


def _orientation(picture: Image.Image) -> int:
    # Not picture.getexif(): that also believes XMP, which neither OpenCV nor browsers do.
    exif = Image.Exif()
    exif.load(picture.info.get("exif", b""))
    stated = exif.get(_ORIENTATION_TAG, 1)
    return int(stated) if stated in range(2, 9) else 1


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
