"""What a call prints of each picture, as text or as a line of JSON, and at its end."""

import json
import os
import sys
from collections import Counter
from pathlib import Path
from time import perf_counter
from typing import Dict, List, Optional, Sequence

from mmdet_jetson.stages.engines.detecting import Found
from mmdet_jetson.stages.engines.sources import Pictures, Source
from mmdet_jetson.stages.errors import StageError

# Seconds between two lines about a stream.
NEWS = 5.0


class Telling:
    """Prints results in order; everything that is none goes to the error output.

    ``told`` counts pictures with a result, ``unread`` those without.
    """

    def __init__(self, source: Source, classes: Sequence[str], as_json: bool) -> None:
        self.source, self.classes, self.as_json = source, classes, as_json
        self.told, self.unread = 0, 0
        self.detected: Counter[str] = Counter()
        self._news = perf_counter()
        self._news_at = 0

    def tell(self, found: Found, saved: Optional[Path]) -> None:
        """Print one picture's result.

        Raises:
            StageError: the picture is the only one, and cannot be read.
        """
        if found.frame.problem:
            self._tell_problem(found.frame.problem)
            return
        self.told += 1
        self.detected.update(self.classes[each.label] for each in found.detections)
        if self.as_json:
            _print(json.dumps(self._record(found, saved)))
        elif isinstance(self.source, Pictures):
            _print(self._text(found, saved))
        else:
            self._tell_news(found)

    def _tell_problem(self, problem: StageError) -> None:
        if not isinstance(self.source, Pictures) or len(self.source.paths) == 1:
            raise problem
        self.unread += 1
        note(f"warning: {problem.message}; it is left out")

    def _tell_news(self, found: Found) -> None:
        now = perf_counter()
        if now - self._news >= NEWS:
            rate = (self.told - self._news_at) / (now - self._news)
            note(
                f"frame {found.frame.number}: {rate:.1f} frames a second, "
                f"{len(found.detections)} detected in {found.milliseconds:.1f} ms"
            )
            self._news, self._news_at = now, self.told

    def _text(self, found: Found, saved: Optional[Path]) -> str:
        assert isinstance(self.source, Pictures)
        on_gpu = f", {found.on_gpu:.1f} ms of it on the GPU" if found.on_gpu else ""
        drawn = f"; drawn in {saved}" if saved else ""
        lines = [
            f"{self.source.paths[found.frame.number]}: {len(found.detections)} detected in "
            f"{found.milliseconds:.1f} ms{on_gpu}{drawn}"
        ]
        for each in found.detections:
            box = " ".join(f"{value:.1f}" for value in each.box)
            lines.append(f"  {self.classes[each.label]} {each.score:.3f}  {box}")
        return "\n".join(lines)

    def _record(self, found: Found, saved: Optional[Path]) -> Dict[str, object]:
        frame = found.frame
        assert frame.picture is not None
        record = self._place(found)
        height, width = frame.picture.shape[:2]
        record.update(
            width=width,
            height=height,
            boxes=[[round(value, 3) for value in each.box] for each in found.detections],
            # Nine digits tell all float32 apart.
            scores=[float(f"{each.score:.9g}") for each in found.detections],
            labels=[each.label for each in found.detections],
            classes=[self.classes[each.label] for each in found.detections],
            milliseconds=round(found.milliseconds, 3),
        )
        if found.on_gpu:
            record["gpu_milliseconds"] = round(found.on_gpu, 3)
        if saved:
            record["drawing"] = str(saved)
        return record

    def _place(self, found: Found) -> Dict[str, object]:
        frame = found.frame
        if isinstance(self.source, Pictures):
            return {"picture": str(self.source.paths[frame.number])}
        at: Dict[str, object] = {"source": self.source.name, "frame": frame.number}
        at["at_ms"] = round(frame.at, 3)
        if frame.unix is not None:
            at["unix_ms"] = frame.unix
        return at

    def summary(self, seconds: float, busy: float, waits: Sequence[float], dropped: int) -> str:
        """Sum up a call: how fast it was, and what it waited for.

        ``busy`` and ``waits``, for the source and for the output, are in seconds.
        """
        seconds = max(seconds, 1e-6)
        kind = "pictures" if isinstance(self.source, Pictures) else "frames"
        shares = [f"{100 * part / seconds:.0f} %" for part in (busy, *waits)]
        parts: List[str] = [
            f"{self.told} {kind} in {seconds:.1f} s, {self.told / seconds:.1f} a second; of this "
            f"time the network took {shares[0]}, waiting for the next {kind} {shares[1]}, and for "
            f"drawing and writing {shares[2]}"
        ]
        if dropped:
            parts.append(f"{dropped} frames came meanwhile and were dropped for newer ones")
        if self.detected:
            counts = ", ".join(f"{n} {name}" for name, n in sorted(self.detected.items()))
            parts.append(f"detected: {counts}")
        return "\n".join(parts)


def note(text: str) -> None:
    """Print what is no result."""
    print(text, file=sys.stderr, flush=True)


def _print(text: str) -> None:
    """Print a result at once: who reads may wait for it.

    Raises:
        BrokenPipeError: nobody reads any more.
        StageError: the output goes to a disk, and that is full.
    """
    try:
        print(text, flush=True)
    except OSError as error:
        # Python tries the rest once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise
        raise StageError(
            f"the output cannot be written: {error.strerror}", "write it where there is room"
        ) from error
