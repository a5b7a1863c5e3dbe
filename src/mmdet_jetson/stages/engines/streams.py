"""Videos, cameras, addresses and GStreamer pipelines, as OpenCV reads them."""

import re
import time
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Iterator, Optional, Union

import numpy as np

from mmdet_jetson.contract.files import refuse_special
from mmdet_jetson.stages.errors import StageError

if TYPE_CHECKING:
    import cv2

FILE, CAMERA, ADDRESS, GSTREAMER = "video", "camera", "address", "GStreamer pipeline"
# Who a camera's user is does not belong into what is printed.
USER = re.compile(r"(?<=://)[^/@]*@")
# A pipeline that begins with a file, whose length OpenCV may be unable to tell.
RECORDED = re.compile(r"\b(?:multi)?filesrc\b|\bfile:")
# What a video is written with where its source does not tell a rate, as some cameras do not.
USUAL_RATE, HIGHEST_RATE = 25.0, 1000.0
# A container tells its number of frames by its length only, or rounds it.
ROUNDED_SHARE, ROUNDED_FRAMES = 0.02, 2
HINTS = {
    FILE: "it may be cut off, or no video at all, as ffprobe tells; one of another kind is "
    "converted by ffmpeg -i FILE -c:v libx264 out.mp4",
    CAMERA: "v4l2-ctl --list-devices names cameras; another program may use it, or the user is not "
    "in the group video",
    ADDRESS: "open it in VLC or ffplay on this machine: address, user and password, network",
    GSTREAMER: "gst-launch-1.0 shows its errors; here it has to end in "
    "... ! videoconvert ! video/x-raw,format=BGR ! appsink",
}


@dataclass(frozen=True)
class Frame:
    """A picture of a file, or a frame of a stream: BGR uint8 [height, width, 3].

    ``picture`` is None where ``problem`` says why there is none. ``number`` counts from 0, with the
    frames of a stream that were dropped. ``at`` is in milliseconds since a stream's first frame,
    ``unix`` when it was read from a live one, in milliseconds since 1970.
    """

    number: int
    picture: Optional[np.ndarray]
    problem: Optional[StageError] = None
    at: float = 0.0
    unix: Optional[int] = None


class Stream:
    """One stream; ``name`` is what is printed of it.

    ``live``, ``rate`` (frames per second) and ``length`` (frames, None for what has no end) are
    known once the first frame is there.
    """

    def __init__(self, kind: str, place: Union[str, int], name: str) -> None:
        self.kind, self.place, self.name = kind, place, name
        self.live = kind == CAMERA
        self.rate = USUAL_RATE
        self.length: Optional[int] = None

    def frames(self) -> Iterator[Frame]:
        """Open it and read it to its end.

        Raises:
            StageError: it cannot be opened, or it stops where it should go on.
        """
        capture = self._open()
        try:
            yield from self._read(capture)
        finally:
            capture.release()

    def _read(self, capture: "cv2.VideoCapture") -> Iterator[Frame]:
        import cv2  # noqa: PLC0415

        number, began = 0, 0.0
        while True:
            there, picture = capture.read()
            if not there:
                break
            now = time.monotonic()
            began = began or now
            if picture.ndim == 2:
                picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
            if self.live:
                unix = int(time.time() * 1000)
                yield Frame(number, picture, at=(now - began) * 1000, unix=unix)
            else:
                at = float(capture.get(cv2.CAP_PROP_POS_MSEC))
                yield Frame(number, picture, at=at if isfinite(at) else number * 1000 / self.rate)
            number += 1
        self._check_end(number)

    def _open(self) -> "cv2.VideoCapture":
        import cv2  # noqa: PLC0415

        if self.kind == GSTREAMER:
            _check_gstreamer()
            capture = cv2.VideoCapture(str(self.place), cv2.CAP_GSTREAMER)
        else:
            capture = cv2.VideoCapture(self.place)
        if not capture.isOpened():
            raise StageError(f"OpenCV cannot open the {self.kind} {self.name}", HINTS[self.kind])
        rate, length = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
        if isfinite(rate) and 0 < rate <= HIGHEST_RATE:
            self.rate = float(rate)
        if self.kind != CAMERA:
            # A camera has no length, nor has what an address or a pipeline gives of one.
            self.length = int(length) if isfinite(length) and length > 0 else None
            self.live = self.length is None and not self._is_recorded()
        return capture

    def _is_recorded(self) -> bool:
        return self.kind == FILE or bool(
            self.kind == GSTREAMER and RECORDED.search(str(self.place))
        )

    def _check_end(self, frames: int) -> None:
        """Tell a stream that broke from one that is over."""
        if frames == 0:
            raise StageError(f"the {self.kind} {self.name} has no frame", HINTS[self.kind])
        if self.live and self.kind != GSTREAMER:  # whose end comes as it should
            raise StageError(
                f"the {self.kind} {self.name} stopped after {frames} frames",
                "start again; systemd's Restart=always, or a loop of the shell, does so by itself",
            )
        missing = (self.length or 0) - frames
        if missing > max(ROUNDED_FRAMES, ROUNDED_SHARE * frames):
            raise StageError(
                f"{self.name} ends after {frames} of about {self.length} frames: it is cut off or "
                "damaged there",
                "copy it again; what could be read has been detected on",
            )


def video_file(path: Path) -> Stream:
    """Give a video's stream.

    Raises:
        StageError: it cannot be read.
    """
    try:
        refuse_special(path)
        with path.open("rb"):
            pass
    except OSError as error:
        raise StageError(f"{path} cannot be read: {error.strerror}", "name a video file") from error
    return Stream(FILE, str(path), str(path))


def camera(number: int, name: str) -> Stream:
    """Give a camera's stream, by the number of its /dev/video."""
    return Stream(CAMERA, number, name)


def network_address(address: str) -> Stream:
    """Give the stream at an address; its user and password are not printed."""
    return Stream(ADDRESS, address, USER.sub("", address))


def gstreamer(pipeline: str) -> Stream:
    """Give what a GStreamer pipeline ends in."""
    return Stream(GSTREAMER, pipeline, USER.sub("", pipeline))


def _check_gstreamer() -> None:
    import cv2  # noqa: PLC0415

    if not re.search(r"GStreamer:\s+YES", cv2.getBuildInformation()):
        raise StageError(
            f"OpenCV {cv2.__version__} here was built without GStreamer",
            "use JetPack's or Debian's OpenCV (apt install python3-opencv); pip's has none",
        )
