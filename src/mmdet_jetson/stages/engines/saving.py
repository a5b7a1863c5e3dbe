"""Where drawings go: a file for each picture, or a video for a stream."""

import os
import stat
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path
from shutil import disk_usage
from typing import TYPE_CHECKING, Dict, Iterator, List, Optional, Sequence

import numpy as np

from mmdet_jetson.stages.engines.streams import FILE, Frame, Stream
from mmdet_jetson.stages.errors import StageError

if TYPE_CHECKING:
    import cv2

# What OpenCV writes with its own FFmpeg and nothing else installed.
CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".mkv": "mp4v"}
# OpenCV says nothing of a full disk, and a video ends in an index, for which there has to be room:
# in bytes, and looked at again after so many frames.
LEAST_ROOM, LOOKS_EVERY = 8 << 20, 50


class Drawings:
    """Drawings of pictures in a folder, each in a file of its own."""

    def __init__(self, pictures: Sequence[Path], into: Path) -> None:
        self.into = into
        self.names = drawings(pictures, into)

    def check(self) -> None:
        """Look, before anything is detected, that all of them can be written.

        Raises:
            StageError: the folder cannot be, or a name is taken by something else than a file.
        """
        with writing(self.into):
            self.into.mkdir(parents=True, exist_ok=True)
            for name in self.names:
                _check_place(name)

    def save(self, frame: Frame, drawn: np.ndarray) -> Path:
        """Write the drawing of a picture."""
        from mmdet_jetson.stages.inference.drawing import write_jpeg  # noqa: PLC0415

        with writing(self.into):
            write_jpeg(self.names[frame.number], drawn)
        return self.names[frame.number]

    def close(self) -> None:
        """All of it is on disk already."""


class Video:
    """An annotated video of a stream, with as many frames a second as the stream has.

    Of a live stream frames are dropped; the one before then stands in for them, so that the video
    is as long as what it shows.
    """

    def __init__(self, path: Path, stream: Stream) -> None:
        self.path, self.stream = path, stream
        self.written = 0
        self.size = (0, 0)
        self._writer: Optional[cv2.VideoWriter] = None
        self._last: Optional[np.ndarray] = None

    def check(self) -> None:
        """Look, before anything is detected, that it can be written, and is not what is read.

        Raises:
            StageError: it cannot be, or is.
        """
        with writing(self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _check_place(self.path)
            is_file = self.stream.kind == FILE and self.path.exists()
            if is_file and self.path.samefile(str(self.stream.place)):
                raise StageError(f"{self.path} is the video that is read", "name another file")

    def save(self, frame: Frame, drawn: np.ndarray) -> Path:
        """Write a frame, and before it what stands in for dropped ones."""
        import cv2  # noqa: PLC0415

        if self._writer is None:
            self._writer = self._opened(drawn)
        if (drawn.shape[1], drawn.shape[0]) != self.size:  # OpenCV would leave it out silently
            drawn = cv2.resize(drawn, self.size, interpolation=cv2.INTER_AREA)
        due = int(frame.at * self.stream.rate / 1000) if self.stream.live else self.written
        while self._last is not None and self.written < due:
            self._write(self._last)
        if not self.stream.live or self.written <= due:
            self._write(drawn)
        self._last = drawn
        return self.path

    def close(self) -> None:
        """Finish the file, and see that it is whole.

        Raises:
            StageError: it is not.
        """
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        there = _frames(self.path)
        if there < self.written - 1:
            raise StageError(
                f"{self.path} holds {there} of {self.written} frames", "is the disk full?"
            )

    def _write(self, drawn: np.ndarray) -> None:
        assert self._writer is not None
        if self.written % LOOKS_EVERY == 0 and disk_usage(self.path.parent).free < LEAST_ROOM:
            raise StageError(
                f"--save {self.path}: the disk is full after {self.written} frames",
                "the video can be played up to there; name a place with more room",
            )
        self._writer.write(drawn)
        self.written += 1

    def _opened(self, drawn: np.ndarray) -> "cv2.VideoWriter":
        import cv2  # noqa: PLC0415

        self.size = (drawn.shape[1], drawn.shape[0])
        with writing(self.path.parent):
            if os.path.lexists(self.path):
                self.path.unlink()  # other names of it keep what it was
        codec = cv2.VideoWriter.fourcc(*CODECS[self.path.suffix.lower()])
        writer = cv2.VideoWriter(str(self.path), codec, self.stream.rate, self.size)
        if not writer.isOpened():
            raise StageError(
                f"OpenCV {cv2.__version__} cannot write the video {self.path}",
                f"try another format: --save out.avi; formats: {' '.join(CODECS)}",
            )
        return writer


def video_name(save: Path, stream: Stream) -> Path:
    """Give the file of a stream's video: ``save``, or one in it where that is a folder.

    Raises:
        StageError: it is a file of a kind that is not written.
    """
    suffix = save.suffix.lower()
    if suffix in CODECS and not save.is_dir():
        return save
    if suffix and not save.is_dir():
        raise StageError(
            f"--save {save}: there is no folder of this name, and it is no kind of video that is "
            "written",
            f"name a file that ends in one of {' '.join(CODECS)}, or a folder that is there",
        )
    stem = Path(str(stream.place)).stem if stream.kind == FILE else stream.kind.partition(" ")[0]
    return save / f"{stem}_detected.mp4"


def drawings(pictures: Sequence[Path], into: Path) -> List[Path]:
    """Name each picture's drawing: no two alike on any file system, and none a picture's own name.

    ``1.png`` becomes ``1_detected.jpg``; another picture called 1 becomes ``1_detected-2.jpg``.
    The same pictures have the same drawings the next time, which replace the earlier ones.
    """
    taken = {_folded(path) for path in pictures}
    home = into.resolve()
    tried: Dict[str, int] = defaultdict(lambda: 1)
    names: List[Path] = []
    for path in pictures:
        stem = path.stem.casefold()
        while True:
            number = tried[stem]
            tried[stem] += 1
            name = f"{path.stem}_detected{f'-{number}' if number > 1 else ''}.jpg"
            if str(home / name).casefold() not in taken:
                break
        taken.add(str(home / name).casefold())
        names.append(into / name)
    return names


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn what the disk says into a sentence."""
    try:
        yield
    except OSError as error:
        raise StageError(
            f"--save {folder}: {error.strerror}", "name a folder that can be written, with room"
        ) from error


def _folded(path: Path) -> str:
    return os.path.realpath(str(path)).casefold()  # where resolve() fails on a circle of links


def _check_place(drawn: Path) -> None:
    """Look, before anything is detected, that a drawing takes the place of nothing but a file."""
    if os.path.lexists(drawn) and not stat.S_ISREG(drawn.lstat().st_mode):
        raise StageError(
            f"{drawn} is there, and is no ordinary file",
            "remove it, or name another place for the drawings: --save",
        )


def _frames(path: Path) -> int:
    """Count the frames of a video by its header; 0 where it cannot be opened."""
    import cv2  # noqa: PLC0415

    capture = cv2.VideoCapture(str(path))
    frames = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
    capture.release()
    return frames
