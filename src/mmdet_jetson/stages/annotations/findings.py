"""Collect what is wrong with a user's data, so that one run names many defects instead of one."""

from contextlib import contextmanager
from typing import Dict, Iterator, List, Tuple

from mmdet_jetson.stages.errors import StageError

_DEFECTS_SHOWN = 20
_PLACES_SHOWN = 3


class Defect(Exception):
    """One thing the user has to correct; whoever catches it knows the place and adds it."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


class Findings:
    """Defects, each one sentence with a hint, and warnings, grouped by topic."""

    def __init__(self) -> None:
        self.defects: List[Tuple[str, str]] = []
        self._warnings: Dict[str, List[str]] = {}

    def defect(self, where: str, what: str, hint: str) -> None:
        """Record a defect; ``where`` names the file, the picture and the region."""
        self.defects.append((f"{where}: {what}", hint))

    @contextmanager
    def at(self, where: str) -> Iterator[None]:
        """Record a ``Defect`` raised inside the block and go on after it."""
        try:
            yield
        except Defect as defect:
            self.defect(where, defect.what, defect.hint)

    def warn(self, topic: str, where: str) -> None:
        """Record a warning; those of one topic become one sentence that lists the first places."""
        self._warnings.setdefault(topic, []).append(where)

    def warnings(self) -> List[str]:
        """One sentence a topic, in the order the topics came up."""
        return [f"{topic}: {_listed(places)}" for topic, places in self._warnings.items()]

    def raise_defects(self) -> None:
        """Stop the stage when there are defects.

        Raises:
            StageError: naming up to twenty defects and how many there are.
        """
        if not self.defects:
            return
        if len(self.defects) == 1:
            raise StageError(*self.defects[0])
        lines = [f"{sentence} ({hint})" for sentence, hint in self.defects[:_DEFECTS_SHOWN]]
        more = len(self.defects) - len(lines)
        if more:
            lines.append(f"and {more} more")
        message = "\n  - ".join([f"the dataset has {len(self.defects)} defects", *lines])
        raise StageError(message, "correct these and run the stage again")


def _listed(places: List[str]) -> str:
    more = len(places) - _PLACES_SHOWN
    shown = "; ".join(places[:_PLACES_SHOWN])
    return f"{shown}; and {more} more" if more > 0 else shown
