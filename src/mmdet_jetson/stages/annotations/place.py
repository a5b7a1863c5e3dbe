"""A place in an annotation file, with what a reader needs at hand there."""

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Callable, Iterable, Iterator, List, Optional, Tuple, TypeVar

from mmdet_jetson.stages.annotations.findings import Findings
from mmdet_jetson.stages.annotations.records import Labels, class_of

_Raw = TypeVar("_Raw")
_Made = TypeVar("_Made")


@dataclass(frozen=True)
class Place:
    """``shown`` is what messages call it, ``where`` its last part."""

    shown: str
    labels: Labels
    findings: Findings
    where: str = ""

    def inside(self, where: str, *between: str) -> "Place":
        """A place further inside; what is ``between`` is shown as well."""
        return replace(self, shown=", ".join([self.shown, *between, where]), where=where)

    @contextmanager
    def checked(self) -> Iterator[None]:
        """Record a defect raised inside the block as one of this place, and go on after it."""
        with self.findings.at(self.shown):
            yield

    def warn(self, topic: str) -> None:
        """Record a warning about this place."""
        self.findings.warn(topic, self.shown)

    def class_of(self, text: str) -> Optional[str]:
        """As `records.class_of`, of an object at this place."""
        return class_of(text, self.labels, self.findings, self.shown)

    def each(
        self,
        items: Iterable[Tuple[str, _Raw]],
        read: Callable[[_Raw, "Place"], Optional[_Made]],
    ) -> List[_Made]:
        """What becomes of items inside; one with a defect, or that is read as None, is left out."""
        made = []
        for where, raw in items:
            place = self.inside(where)
            with place.checked():
                result = read(raw, place)
                made += [] if result is None else [result]
        return made
