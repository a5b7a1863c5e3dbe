"""The page of channels: shapes histories for ``channel_page.html.j2`` and renders it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from mmdet_jetson.contract.report import FAIL, PASS
from mmdet_jetson.promotion.history import Entry, History, day, lasted, moment
from mmdet_jetson.promotion.page import Plain, render
from mmdet_jetson.promotion.page_charts import CHARTS, Drawn, draw
from mmdet_jetson.promotion.records import RELEASE, ROLLBACK
from mmdet_jetson.promotion.release_figures import MOST, Release, subjects_of
from mmdet_jetson.promotion.telling import evidence, judged, sentence, story
from mmdet_jetson.promotion.verdicts import Verdict

MOST_ROWS = 12
"""Releases in the picture of times; the records below it have all of them."""
WIDTH, THINNEST = 1000, 6
"""Of that picture, in its own units: the whole, and what can still be seen."""


@dataclass(frozen=True)
class Bar:
    """A time that a release was in the channel; ``kind`` is now, replaced or undone."""

    kind: str
    start: int
    width: int


@dataclass(frozen=True)
class Row:
    """When a release was in the channel."""

    title: str
    told: str
    bars: tuple[Bar, ...]
    overridden: bool


@dataclass(frozen=True)
class RecordView:
    """A record as the page tells it: ``says`` what it did, ``lines`` what became of it."""

    entry: Entry
    verdict: Verdict | None
    now: datetime

    @property
    def says(self) -> str:
        """What it did, in a few words."""
        if self.entry.record.action == RELEASE:
            return "Hold released"
        back = self.entry.record.action == ROLLBACK
        return f"{'Rolled back to' if back else 'Promoted'} {self.entry.title}"

    @property
    def tone(self) -> str:
        """A rollback stands out, and so does what was let in against a gate."""
        if self.entry.record.action == ROLLBACK:
            return "inconclusive"
        return FAIL if self.entry.overrides else "plain"

    @property
    def lines(self) -> list[str]:
        """What it did besides, and what became of it."""
        return [sentence(each) for each in story(self.entry, self.now)]

    @property
    def evidence(self) -> str:
        """What it was let in on."""
        return evidence(self.entry, self.verdict)


@dataclass(frozen=True)
class ChannelView:
    """A channel as the page shows it; ``verdicts`` are those known, by their digest."""

    history: History
    releases: Sequence[Release]
    verdicts: dict[str, Verdict]
    now: datetime
    number: int

    @property
    def tone(self) -> str:
        """How the card of what is in it is coloured."""
        entry = self.history.now
        if self.history.flaws or (entry and entry.overrides):
            return FAIL
        return PASS

    @property
    def since(self) -> str:
        """How long its release has been in it."""
        return lasted(self.history.now.record.at, "", self.now) if self.history.now else ""

    @property
    def verdict(self) -> Verdict | None:
        """That of what is in it, where it is here."""
        return self.verdicts.get(self.history.now.record.verdict) if self.history.now else None

    @property
    def evidence(self) -> str:
        """What it was let in on."""
        return evidence(self.history.now, self.verdict) if self.history.now else ""

    @property
    def judged(self) -> str:
        """How often the validation pictures have been judged by."""
        count = self.history.now.record.judged if self.history.now else 0
        return judged(count)

    @property
    def current(self) -> Release | None:
        """The figures of what is in it."""
        bundle = self.history.now.record.bundle if self.history.now else ""
        return next((each for each in self.releases if each.bundle == bundle), None)

    @property
    def first(self) -> str:
        """Where the picture of times begins."""
        return day(self._start.isoformat()) if self._shown else ""

    @property
    def cut(self) -> bool:
        """Whether earlier releases are not in the picture of times."""
        return len(self._by_release) > MOST_ROWS

    @cached_property
    def rows(self) -> list[Row]:
        """The times of each release, the newest first."""
        return [_row(spans, self._start, self.now) for spans in reversed(self._shown)]

    @cached_property
    def charts(self) -> list[Drawn]:
        """The figures over releases, as far as there are two to compare."""
        subjects = subjects_of(self.releases)
        drawn = (
            draw(chart, self.releases, subjects, 10 * self.number + place)
            for place, chart in enumerate(CHARTS)
        )
        return [each for each in drawn if each]

    @cached_property
    def views(self) -> list[RecordView]:
        """Every record, the oldest first."""
        return [
            RecordView(each, self.verdicts.get(each.record.verdict), self.now)
            for each in self.history.entries
        ]

    @cached_property
    def _start(self) -> datetime:
        """When the first of them came: a release that came back later stands further up."""
        times = [moment(each.record.at) for spans in self._shown for each in spans]
        return min((each for each in times if each), default=self.now)

    @property
    def _shown(self) -> list[list[Entry]]:
        return self._by_release[-MOST_ROWS:]

    @cached_property
    def _by_release(self) -> list[list[Entry]]:
        """The entries of each release, by when it came in last."""
        spans: dict[str, list[Entry]] = {}
        for each in self.history.entries:
            if each.put_in:
                spans[each.record.bundle] = [*spans.pop(each.record.bundle, []), each]
        return list(spans.values())


def render_channels(
    histories: Sequence[History],
    releases: Callable[[History], Sequence[Release]],
    read: Callable[[str], Verdict | None],
    now: datetime,
    plain: Plain,
) -> str:
    """The page of some channels; ``releases`` and ``read`` look into the store."""
    views = [
        ChannelView(each, releases(each), dict(_verdicts(each, read)), now, number)
        for number, each in enumerate(histories, start=1)
    ]
    return render("channel_page.html.j2", plain, {"channels": views, "made": now.isoformat()})


def _verdicts(
    history: History, read: Callable[[str], Verdict | None]
) -> Iterator[tuple[str, Verdict]]:
    """Those of the last records: to read 1,000 would take long, and their gates fill no page."""
    digests = [each.record.verdict for each in history.entries[-MOST:]]
    digests += [history.now.record.verdict] if history.now else []
    for digest in dict.fromkeys(filter(None, digests)):
        if verdict := read(digest):
            yield digest, verdict


def _row(spans: Sequence[Entry], start: datetime, now: datetime) -> Row:
    last = spans[-1]
    told = [", then ".join(_times(spans, now))]
    told += [f"taken back by record {each.undone_by}" for each in spans if each.undone_by]
    bars = tuple(bar for each in spans if (bar := _bar(each, start, now)))
    overridden = any(each.overrides for each in spans)
    return Row(last.title, ", ".join(told), bars, overridden)


def _times(spans: Sequence[Entry], now: datetime) -> Iterator[str]:
    for each in spans:
        stayed = lasted(each.record.at, each.until, now)
        yield stayed if each.until else f"since {day(each.record.at)} ({stayed})"


def _bar(entry: Entry, start: datetime, now: datetime) -> Bar | None:
    first, last = moment(entry.record.at), moment(entry.until) if entry.until else now
    whole = (now - start).total_seconds()
    if first is None or last is None or whole <= 0:
        return None
    share = WIDTH / whole
    left = min(round(max(0.0, (first - start).total_seconds()) * share), WIDTH - THINNEST)
    width = max(THINNEST, round((last - first).total_seconds() * share))
    kind = "undone" if entry.undone_by else "replaced" if entry.until else "now"
    return Bar(kind, left, min(width, WIDTH - left))
