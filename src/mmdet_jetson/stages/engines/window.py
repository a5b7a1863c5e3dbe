"""A window that shows drawings, where there is a display and an OpenCV that draws on it."""

import os
import sys
from contextlib import suppress
from queue import Empty, Queue
from typing import Callable

import numpy as np

from mmdet_jetson.stages.errors import StageError

TITLE = "infer.py (q ends)"
QUIT = ("q", "\x1b")
WITHOUT = "leave --show out, and look at what --save writes"


class Window:
    """Shows what another thread offers, since only the main thread may draw windows.

    With ``all_of_them`` each picture is shown until a key is pressed, else the latest as it comes.
    """

    def __init__(self, all_of_them: bool) -> None:
        self.all_of_them = all_of_them
        self._offered: Queue[np.ndarray] = Queue()

    def open(self) -> None:
        """Open it.

        Raises:
            StageError: there is no display, or this OpenCV has no windows.
        """
        import cv2  # noqa: PLC0415

        if sys.platform == "linux":
            _check_display()
        try:
            cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        except cv2.error as error:
            raise StageError(
                f"--show: this OpenCV ({cv2.__version__}) cannot open a window, as none that is "
                "called headless can",
                "pip install opencv-python in place of opencv-python-headless, or " + WITHOUT,
            ) from error

    def offer(self, drawn: np.ndarray) -> None:
        """Have a drawing shown, by the main thread, when it gets to it."""
        if self.all_of_them or self._offered.empty():
            self._offered.put(drawn)

    def show(self, wanted: Callable[[], bool]) -> bool:
        """Show what was offered; False when the user wants no more.

        Where all are shown it waits for the next one, as long as one is still ``wanted``.
        """
        import cv2  # noqa: PLC0415

        while True:
            try:
                drawn = self._offered.get(timeout=0.1 if self.all_of_them else 0.0001)
            except Empty:
                if not (self.all_of_them and wanted()):
                    return self._goes_on(1)
            else:
                cv2.imshow(TITLE, drawn)
                return self._goes_on(0 if self.all_of_them else 1)

    def _goes_on(self, milliseconds: int) -> bool:
        """Let the window draw, wait for a key (0: until there is one), and look at it."""
        import cv2  # noqa: PLC0415

        while True:
            key = cv2.waitKey(milliseconds or 100)
            if key >= 0 and chr(key & 0xFF) in QUIT:
                return False
            if cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1:
                return False
            if key >= 0 or milliseconds:
                return True


def _check_display() -> None:
    """Look whether a window can be opened, in a process of its own: without a display Qt aborts it.

    Raises:
        StageError: it cannot.
    """
    import cv2  # noqa: PLC0415

    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if not display:
        raise StageError("--show: there is no display here (DISPLAY is not set)", WITHOUT)
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        with suppress(cv2.error):  # one without windows is told by whoever opens it
            cv2.namedWindow(TITLE)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise StageError(f"--show: the display {display} cannot be reached", WITHOUT)
