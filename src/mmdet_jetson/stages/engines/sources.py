"""What to detect on: picture files, folders of them, or one stream (a video, a camera, an address).

``frames`` opens nothing before it is iterated, so that a thread can do both.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator, List, Optional, Sequence, Set, Tuple, Union

from mmdet_jetson.stages.engines.streams import (
    Frame,
    Stream,
    camera,
    gstreamer,
    network_address,
    video_file,
)
from mmdet_jetson.stages.engines.threads import in_order
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.preprocessing import read_picture

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif")
VIDEOS = (
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts",
    ".wmv", ".flv", ".3gp", ".ogv", ".mjpg", ".mjpeg", ".h264", ".264", ".h265", ".265", ".hevc",
)  # fmt: skip
# A phone's pictures, which OpenCV cannot decode.
UNREAD = (".heic", ".heif")
CONVERT = "convert it to JPEG first: heif-convert A.heic A.jpg"
# The first bytes of JPEG, PNG, GIF, BMP, TIFF and WebP files.
SIGNATURE = re.compile(rb"\xff\xd8\xff|\x89PNG|GIF8|BM|II\*\0|MM\0\*|RIFF....WEBP", re.DOTALL)
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
PIPELINE = " ! "
# Decoding a large JPEG takes longer than detecting on it does on a GPU.
DECODERS = min(4, os.cpu_count() or 1)


@dataclass(frozen=True)
class Pictures:
    """Picture files, in the order of detection; ``notes`` say what was left out."""

    paths: Tuple[Path, ...]
    notes: Tuple[str, ...] = ()


Source = Union[Pictures, Stream]


def source_of(texts: Sequence[str], left_out: Optional[Path] = None) -> Source:
    """Tell what is meant by the arguments of a call; pictures in ``left_out`` are not.

    Raises:
        StageError: one of them is not there, there is no picture in a folder, or a stream is not
            alone.
    """
    streams = [stream for stream in map(_stream, texts) if stream]
    if not streams:
        return _pictures([Path(text) for text in texts], left_out)
    if len(texts) > 1:
        raise StageError(
            f"{streams[0].name} is a stream, and one call takes one stream or any number of "
            "pictures and folders",
            "run infer.py once for each stream",
        )
    return streams[0]


def pictures_of(source: Pictures) -> Iterator[Frame]:
    """Decode pictures, several at once; one that cannot be read comes with its problem."""
    return in_order(_frame, enumerate(source.paths), DECODERS)


def _frame(numbered: Tuple[int, Path]) -> Frame:
    number, path = numbered
    import cv2  # noqa: PLC0415

    try:
        return Frame(number, read_picture(path))
    except StageError as error:
        return Frame(number, None, error)
    except (OSError, cv2.error) as error:  # a disk's own error; a picture too large for OpenCV
        reason = error.strerror if isinstance(error, OSError) else getattr(error, "err", error)
        return Frame(number, None, StageError(f"{path} cannot be read: {reason}", "leave it out"))


def _stream(text: str) -> Optional[Stream]:
    """Give the stream that a text names, None where it is a picture or a folder.

    Raises:
        StageError: it is a file that is not there.
    """
    if PIPELINE in text:
        return gstreamer(text)
    if ADDRESS.match(text):
        return network_address(text)
    device = re.fullmatch(r"(?:/dev/video)?(\d+)", os.path.realpath(text) if "/" in text else text)
    path = Path(text)
    if device and not (path.is_file() or path.is_dir()):
        return camera(int(device[1]), text)
    if not os.path.lexists(path):
        raise StageError(f"there is no {text}", "name pictures, a folder, a video or a camera (0)")
    if path.suffix.lower() in UNREAD and path.is_file():
        raise StageError(f"{text} is a picture in HEIC, which OpenCV does not read", CONVERT)
    return video_file(path) if _is_video(path) else None


def _is_video(path: Path) -> bool:
    """Whether a file is a video, by its name, and where that tells nothing by its first bytes."""
    suffix = path.suffix.lower()
    if suffix in VIDEOS or suffix in PICTURES or not path.is_file():
        return suffix in VIDEOS and not path.is_dir()
    try:
        with path.open("rb") as stream:
            return not SIGNATURE.match(stream.read(16))
    except OSError:
        return False  # reading it as a picture says why


def _pictures(named: Sequence[Path], left_out: Optional[Path]) -> Pictures:
    paths: List[Path] = []
    notes: List[str] = []
    for path in named:
        if path.is_dir():
            found, others = _in_folder(path, left_out)
            paths += found
            notes += _note(path, found, others)
        else:
            paths.append(path)
    return Pictures(tuple(paths), tuple(notes))


def _note(folder: Path, found: Sequence[Path], others: Sequence[Path]) -> Iterator[str]:
    """Say what of a folder is no picture.

    Raises:
        StageError: nothing is one.
    """
    example = f"{others[0].relative_to(folder)}" if others else ""
    if not found:
        raise StageError(
            f"there is no picture in {folder}"
            + (f", only other files, as {example}" if others else ""),
            CONVERT
            if others and others[0].suffix.lower() in UNREAD
            else f"names of pictures end in one of: {' '.join(PICTURES)}",
        )
    if others:
        count = (
            "1 file is no picture" if len(others) == 1 else f"{len(others)} files are no pictures"
        )
        yield f"{folder}: {count} and left out, as {example}"


def _in_folder(folder: Path, left_out: Optional[Path]) -> Tuple[List[Path], List[Path]]:
    """Give pictures and other files at any depth, in natural order, without what is hidden."""
    seen: Set[str] = {os.path.realpath(str(each)) for each in (folder, left_out) if each}
    paths: List[Path] = []
    for at, folders, names in os.walk(folder, followlinks=True, onerror=_refuse):
        # A link may lead back to where it is found, and two to one folder.
        folders[:] = [each for each in sorted(folders) if _is_new(Path(at, each), seen)]
        paths += [Path(at, name) for name in names if not name.startswith(".")]
    paths.sort(key=natural(folder))
    pictures = [path for path in paths if path.suffix.lower() in PICTURES]
    return pictures, [path for path in paths if path.suffix.lower() not in PICTURES]


def _is_new(folder: Path, seen: Set[str]) -> bool:
    """Whether a folder is not hidden and has not been seen, and from now on it has."""
    real = os.path.realpath(str(folder))
    if folder.name.startswith(".") or real in seen:
        return False
    seen.add(real)
    return True


def natural(folder: Path) -> "Callable[[Path], Tuple[object, ...]]":
    """Give a key that sorts 2.jpg before 10.jpg, and a folder's own files by their folders."""

    def key(path: Path) -> Tuple[object, ...]:
        words = re.split(r"(\d+)", str(path.relative_to(folder)).casefold())
        # Texts and numbers take turns, so the same is compared with the same.
        return (*(int(word) if index % 2 else word for index, word in enumerate(words)), str(path))

    return key


def _refuse(error: OSError) -> None:
    raise StageError(
        f"{error.filename} cannot be read: {error.strerror}", "name a folder that can be read"
    ) from error
