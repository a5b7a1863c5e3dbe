"""The page of one release: what it is, what was measured of it, and which channels it was in."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from mmdet_jetson.contract.report import FAIL
from mmdet_jetson.promotion.history import Entry, History, ReadVerdict
from mmdet_jetson.promotion.page import Plain, render, tone
from mmdet_jetson.promotion.records import Override
from mmdet_jetson.promotion.release_figures import Measured
from mmdet_jetson.promotion.telling import evidence, sentence, story
from mmdet_jetson.promotion.verdicts import Verdict


@dataclass(frozen=True)
class PartView:
    """A part as the page lists it; ``lines`` are what it tells."""

    name: str
    short: str
    size: str
    created: str
    grade: str
    lines: Sequence[str]


@dataclass(frozen=True)
class Stay:
    """A channel that a release was in: the records that put it there, and its verdict there."""

    channel: str
    is_there: bool
    entries: Sequence[tuple[Entry, str]]
    overrides: Sequence[Override]
    verdict: Verdict | None
    evidence: str


@dataclass(frozen=True)
class BundlePage:
    """All that the page of a bundle, a run or an artifact says.

    ``classes`` have AP for each of ``class_subjects``; ``unknown`` and ``unread`` say what could
    not be read of the bundle and of the channels.
    """

    name: str
    what: str
    digest: str
    names: Sequence[str]
    targets: Sequence[str]
    size: str
    created: str
    verdict: str
    contradictions: Sequence[str]
    missing: Sequence[tuple[str, str]]
    parts: Sequence[PartView]
    measured: Sequence[Measured]
    unknown: str
    class_subjects: Sequence[str]
    classes: Sequence[tuple[str, Sequence[float | None]]]
    stays: Sequence[Stay]
    unread: Sequence[str]

    @property
    def tone(self) -> str:
        """How its card is coloured."""
        return FAIL if self.contradictions else tone(self.verdict)


def render_bundle(page: BundlePage, now: datetime, plain: Plain) -> str:
    """The page as HTML."""
    return render("bundle_page.html.j2", plain, {"page": page, "made": now.isoformat()})


def stays_of(
    histories: Iterable[History], bundle: str, read: ReadVerdict, now: datetime
) -> list[Stay]:
    """The channels that a bundle was in."""
    found = []
    for history in histories:
        there = [each for each in history.entries if each.put_in and each.record.bundle == bundle]
        if there:
            found.append(_stay(history, there, read, now))
    return found


def _stay(history: History, there: Sequence[Entry], read: ReadVerdict, now: datetime) -> Stay:
    verdict = read(there[-1].record.verdict)
    told = [(each, " ".join(map(sentence, story(each, now)))) for each in there]
    overrides = dict.fromkeys(over for each in there for over in each.overrides)
    return Stay(
        history.channel,
        bool(history.now and history.now.record.bundle == there[-1].record.bundle),
        told,
        list(overrides),
        verdict,
        evidence(there[-1], verdict),
    )
