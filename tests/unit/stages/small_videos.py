"""Small videos and streams: written with OpenCV, served over HTTP, or played by a stand-in."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT = 128, 96
PART = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"


def picture(number: int) -> np.ndarray:
    """A grey picture with a bright square that moves; its brightness tells the frame."""
    drawn = np.full((HEIGHT, WIDTH, 3), number % 200, np.uint8)
    cv2.rectangle(drawn, (number % 80, 30), (number % 80 + 30, 60), (40, 200, 90), -1)
    return drawn


def video(path: Path, frames: int = 20, rate: float = 10, codec: str = "MJPG") -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), rate, (WIDTH, HEIGHT))
    assert writer.isOpened()
    for number in range(frames):
        writer.write(picture(number))
    writer.release()
    return path


def frames_of(path: Path) -> list[np.ndarray]:
    """Read a video to its end."""
    capture = cv2.VideoCapture(str(path))
    read: list[np.ndarray] = []
    while True:
        there, frame = capture.read()
        if not there:
            return read
        read.append(frame)


@contextmanager
def served(frames: int, rate: float = 50) -> Iterator[str]:
    """Serve a camera's MJPEG over HTTP, which ends after some frames; gives its address."""

    class Camera(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            try:
                for number in range(frames):
                    jpeg = cv2.imencode(".jpg", picture(number))[1].tobytes()
                    self.wfile.write(PART % len(jpeg) + jpeg + b"\r\n")
                    time.sleep(1 / rate)
            except OSError:
                pass  # who watches has gone

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/camera"
    finally:
        server.shutdown()
        server.server_close()


class Played:
    """Stands in for ``cv2.VideoCapture`` of a camera that has so many frames, at a rate."""

    def __init__(self, frames: int, rate: float = 100, grey: bool = False) -> None:
        self.frames, self.rate, self.grey = frames, rate, grey
        self.read_so_far, self.released = 0, False

    def __call__(self, *place: object) -> "Played":
        self.place = place
        return self

    def isOpened(self) -> bool:  # noqa: N802 - as OpenCV calls it
        return self.frames >= 0

    def get(self, what: int) -> float:
        return {cv2.CAP_PROP_FPS: self.rate, cv2.CAP_PROP_FRAME_COUNT: -1.0}.get(what, 0.0)

    def read(self) -> "tuple[bool, np.ndarray | None]":
        if self.read_so_far == self.frames:
            return False, None
        time.sleep(1 / self.rate)
        self.read_so_far += 1
        frame = picture(self.read_so_far - 1)
        return True, frame[..., 0] if self.grey else frame

    def release(self) -> None:
        self.released = True
