"""Collect what is wrong with a user's data, so that one run names many defects instead of one."""

import re
from collections import Counter
from contextlib import contextmanager
from typing import Dict, Iterator, List, NamedTuple, Sequence, Tuple

from mmdet_jetson.stages.errors import StageError

_KINDS_SHOWN = 20
_PLACES_SHOWN = 3
# One kind alone shows more places; several share them.
_PLACES_IN_ALL = 10
# Defects that differ only in names and numbers are of one kind.
_PARTICULARS = re.compile(r'"[^"]*"|-?\d+(\.\d+)?([eE][-+]?\d+)?')


class Defect(Exception):
    """One thing the user has to correct; whoever catches it knows the place and adds it."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


class LeftOut(Defect):
    """What is no use but does no harm: `Findings.at` warns of it instead of refusing the dataset.

    All that are left out for the same ``what`` become one sentence.
    """


class Found(NamedTuple):
    """A defect and its place."""

    where: str
    what: str
    hint: str

    @property
    def kind(self) -> Tuple[str, str]:
        """What it shares with others that are mended in the same way."""
        return _PARTICULARS.sub("", self.what), _PARTICULARS.sub("", self.hint)


class Findings:
    """Defects and warnings, each grouped by kind; ``told`` is how many of both there were."""

    def __init__(self) -> None:
        self.told = 0
        self.defects: List[Found] = []
        self._warnings: Dict[str, List[str]] = {}
        self._tallies: Dict[str, Counter[str]] = {}

    def defect(self, where: str, what: str, hint: str) -> None:
        """Record a defect; ``where`` names the file, the picture and the region."""
        self.told += 1
        self.defects.append(Found(where, what, hint))

    @contextmanager
    def at(self, where: str) -> Iterator[None]:
        """Record a ``Defect`` raised inside the block and go on after it."""
        try:
            yield
        except LeftOut as left_out:
            self.warn(_left_out(left_out.what), where)
        except Defect as defect:
            self.defect(where, defect.what, defect.hint)

    def warn(self, topic: str, where: str) -> None:
        """Record a warning; those of one topic become one sentence that lists the first places."""
        self.told += 1
        self._warnings.setdefault(topic, []).append(where)

    def tally(self, topic: str, name: str, where: str) -> None:
        """Record a warning of a topic whose sentence counts by ``name``, such as a class."""
        self.warn(topic, where)
        self._tallies.setdefault(topic, Counter())[name] += 1

    def advise(self, beginning: str, hint: str) -> None:
        """Give all defects whose sentence begins so another hint."""
        for index, defect in enumerate(self.defects):
            if defect.what.startswith(beginning):
                self.defects[index] = defect._replace(hint=hint)

    def times(self, left_out: str) -> int:
        """How often something was left out for that reason."""
        return len(self._warnings.get(_left_out(left_out), ()))

    def warnings(self) -> List[str]:
        """One sentence a topic, in the order the topics came up."""
        return [self._sentence(topic, places) for topic, places in self._warnings.items()]

    def _sentence(self, topic: str, places: Sequence[str]) -> str:
        tally = self._tallies.get(topic)
        if tally is None:
            times = f", {len(places)} times" if len(places) > _PLACES_SHOWN else ""
            return f"{topic}{times}: {_listed(places)}"
        counted = ", ".join(f"{name} {count}" for name, count in tally.most_common())
        return f"{topic}: {len(places)} in all ({counted}), such as {places[0]}"

    def raise_defects(self) -> None:
        """Stop the stage when there are defects.

        Raises:
            StageError: a sentence for each of up to twenty kinds of defects, with how many there
                are and the first places; further kinds are named without places.
        """
        if not self.defects:
            return
        kinds: Dict[Tuple[str, str], List[Found]] = {}
        for defect in self.defects:
            kinds.setdefault(defect.kind, []).append(defect)
        places = max(_PLACES_SHOWN, _PLACES_IN_ALL // len(kinds))
        told = [_told(alike, places) for alike in list(kinds.values())[:_KINDS_SHOWN]]
        if len(kinds) == 1:
            raise StageError(*told[0])
        lines = [f"{sentence} ({hint})" for sentence, hint in told]
        if more := len(kinds) - len(lines):
            rest = "; ".join(_named(alike) for alike in list(kinds.values())[_KINDS_SHOWN:])
            lines.append(f"and defects of {more} more kind{'s' * (more > 1)}: {rest}")
        message = "\n  - ".join([f"the dataset has {len(self.defects)} defects", *lines])
        raise StageError(message, "correct these and run the stage again")


def _left_out(what: str) -> str:
    return f"left out, as {what}"


def _named(alike: Sequence[Found]) -> str:
    """Say of defects of one kind what and how many they are."""
    times = f", {len(alike)} of a kind" if len(alike) > 1 else ""
    return f"{alike[0].what}{times}"


def _told(alike: Sequence[Found], places: int) -> Tuple[str, str]:
    """Say of defects of one kind what and where they are, and what to try."""
    first = alike[0]
    if len(alike) == 1:
        return f"{first.where}: {first.what}", first.hint
    if all(defect[1:] == first[1:] for defect in alike):
        where = _listed([defect.where for defect in alike], places)
        return f"{len(alike)} times: {first.what}: {where}", first.hint
    # Each name or number once, so that one that is behind many of another is still told.
    counts = Counter(defect.what for defect in alike)
    firsts = {defect.what: defect for defect in reversed(alike)}
    each = [f"{firsts[what].where}: {what}{_times(count)}" for what, count in counts.items()]
    return f"{len(alike)} of a kind: {_listed(each, places)}", first.hint


def _times(count: int) -> str:
    return f" ({count} times)" if count > 1 else ""


def _listed(places: Sequence[str], shown: int = _PLACES_SHOWN) -> str:
    more = len(places) - shown
    text = "; ".join(places[:shown])
    return f"{text}; and {more} more" if more > 0 else text
