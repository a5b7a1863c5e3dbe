"""One call from its source to its outputs: decoding, the network and drawing go on at once.

The network runs in the main thread, where a GPU's context is, and a window can be drawn.
"""

import signal
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from types import FrameType
from typing import Iterable, Iterator, Optional, Sequence, Tuple, Union

import numpy as np

from mmdet_jetson.stages.engines.detecting import Found, Prepared, Raw, Steps
from mmdet_jetson.stages.engines.saving import Drawings, Video
from mmdet_jetson.stages.engines.sources import DECODERS, Pictures, Source, pictures_of
from mmdet_jetson.stages.engines.telling import Telling
from mmdet_jetson.stages.engines.threads import Ahead, Behind, in_order
from mmdet_jetson.stages.engines.window import Window

# How many pictures wait between two threads.
ROOM = 2
# Seconds until a source that does not answer is left to itself.
PATIENCE = 1.0
STOPPING = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Outputs:
    """Where results go: printed, and drawn into files or a window if asked for."""

    telling: Telling
    saving: Optional[Union[Drawings, Video]] = None
    window: Optional[Window] = None

    def take(self, done: Tuple[Found, Optional[np.ndarray]]) -> None:
        """Write a picture's results to all of them."""
        found, drawn = done
        saved = None
        if drawn is not None and self.saving:
            saved = self.saving.save(found.frame, drawn)
        if drawn is not None and self.window:
            self.window.offer(drawn)
        self.telling.tell(found, saved)


class Flow:
    """Runs a call; ``stopped_by`` is the signal that ended it early."""

    def __init__(self, source: Source, steps: Steps, outputs: Outputs) -> None:
        self.source, self.steps, self.outputs = source, steps, outputs
        self.stopped_by: Optional[int] = None
        self.seconds, self.writing = 0.0, 0.0
        frames = pictures_of(source) if isinstance(source, Pictures) else source.frames()
        self.read = Ahead(frames, ROOM, self._is_live)
        self.prepared = Ahead(map(steps.prepare, self.read), ROOM, self._is_live)
        self.results: Behind[Raw] = Behind(self._consume, ROOM)

    def run(self) -> None:
        """Detect on all of the source, until it ends, a signal comes or a window is closed.

        Raises:
            StageError: the source or an output fails. What was detected before is written.
        """
        with self._stoppable():
            try:
                self._detect()
            finally:
                self.stop()
                began = perf_counter()
                self.results.finish()
                self.writing += perf_counter() - began
                self.seconds += perf_counter() - began

    def stop(self) -> None:
        """Read no more."""
        self.read.channel.stop()
        self.prepared.channel.stop()

    @property
    def dropped(self) -> int:
        """How many frames of a live stream nothing was detected on."""
        return self.read.channel.dropped + self.prepared.channel.dropped

    @property
    def hangs(self) -> bool:
        """Whether a thread has not come back, as one does not while OpenCV waits for a camera."""
        threads = [self.read.thread, self.prepared.thread, self.results.thread]
        for thread in threads:
            thread.join(PATIENCE)
        return any(thread.is_alive() for thread in threads)

    def summary(self) -> str:
        """Sum the call up."""
        waits = self.prepared.channel.waited, self.writing
        return self.outputs.telling.summary(self.seconds, self.steps.busy, waits, self.dropped)

    def _detect(self) -> None:
        began = 0.0
        for group in self.steps.groups(self.prepared, lambda: not self._is_live()):
            if not began:  # opening a camera takes seconds, and is not what is told of
                began, self.prepared.channel.waited = perf_counter(), 0.0
            for raw in self.steps.infer(group):
                handed = perf_counter()
                self.results.put(raw)
                self.writing += perf_counter() - handed
            self.seconds = perf_counter() - began
            if not self._shown(group):
                break

    def _shown(self, group: Sequence[Prepared]) -> bool:
        window = self.outputs.window
        if window is None:
            return True
        waiting = [each for each in group if each.inputs]
        return all(window.show(lambda: not self.results.channel.stopped) for _ in waiting)

    def _consume(self, results: Iterable[Raw]) -> None:
        """Map, draw and write, on the thread behind the network."""
        window, saving = self.outputs.window, self.outputs.saving
        try:
            if isinstance(self.source, Pictures) and saving and not window:
                for done in in_order(self._finished, results, DECODERS):
                    self.outputs.take(done)
            else:  # nothing may wait for the next picture
                for raw in results:
                    self.outputs.take(self._finished(raw))
        finally:
            if saving:
                saving.close()

    def _finished(self, raw: Raw) -> Tuple[Found, Optional[np.ndarray]]:
        found = self.steps.finish(raw)
        picture = found.frame.picture
        if picture is None or not (self.outputs.saving or self.outputs.window):
            return found, None
        from mmdet_jetson.stages.inference.drawing import draw_boxes  # noqa: PLC0415

        return found, draw_boxes(picture, found.detections, self.steps.detector.classes)

    def _is_live(self) -> bool:
        """Whether the newest frame counts; known of a stream once it is opened."""
        return not isinstance(self.source, Pictures) and self.source.live

    @contextmanager
    def _stoppable(self) -> Iterator[None]:
        """Let Ctrl-C and SIGTERM end the call as if the source had ended; twice, at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {each: signal.getsignal(each) for each in STOPPING}

        def stop(number: int, frame: Optional[FrameType]) -> None:
            self.stopped_by = number
            self.stop()
            for each in STOPPING:
                signal.signal(each, signal.default_int_handler)

        try:
            for each in STOPPING:
                signal.signal(each, stop)
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)
