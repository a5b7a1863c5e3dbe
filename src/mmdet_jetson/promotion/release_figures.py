"""The figures of the releases that were in a channel, as far as their bundles are in this store."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mmdet_jetson.bundles.contents import (
    ENGINE,
    EVALUATION,
    PROFILE,
    Contents,
    PartName,
    of_bundle,
)
from mmdet_jetson.bundles.overview import Facts, mapping, number, part_facts
from mmdet_jetson.contract.report import CHECKPOINT as TRAINED
from mmdet_jetson.errors import UserError
from mmdet_jetson.promotion.history import Entry, History, short
from mmdet_jetson.store import Store

MOST = 50
"""Releases whose bundles are read: 1,000 of them would take seconds, and no chart shows them."""


@dataclass(frozen=True)
class Figure:
    """A number with the ends of its interval, where it has one."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Measured:
    """What was measured of the checkpoint or of a target's engine.

    ``ap50`` has its 95% interval over resampled pictures; a latency, in ms, that of its order
    statistics, each end with 99% confidence. ``grade`` has that of all its evidence, ``not_told``
    why a percentile is not claimed.
    """

    subject: str
    ap: Figure | None = None
    ap50: Figure | None = None
    p50: Figure | None = None
    p99: Figure | None = None
    grade: str = ""
    pictures: int | None = None
    not_told: str = ""


@dataclass(frozen=True)
class Release:
    """A bundle that was in the channel; ``why_not`` says why nothing is known of it.

    ``others`` tells that it was measured on other validation pictures than the release before it.
    """

    bundle: str
    title: str
    sequence: int
    measured: tuple[Measured, ...] = ()
    why_not: str = ""
    others: bool = False

    def of(self, subject: str) -> Measured | None:
        """What is known of a subject."""
        return next((each for each in self.measured if each.subject == subject), None)


def releases_of(store: Store, history: History) -> list[Release]:
    """The last `MOST` releases in the order in which they first came into the channel."""
    first: dict[str, Entry] = {}
    for entry in history.entries:
        if entry.put_in:
            first.setdefault(entry.record.bundle, entry)
    found: list[Release] = []
    validation = ""
    for entry in list(first.values())[-MOST:]:
        own = entry.record.validation
        measured, why_not = measured_in(store, entry.record.bundle)
        others = bool(found and own and validation and own != validation)
        validation = own or validation
        found.append(
            Release(
                entry.record.bundle, entry.title, entry.record.sequence, measured, why_not, others
            )
        )
    return found


def subjects_of(releases: Sequence[Release]) -> list[str]:
    """All that was measured in any of them, the checkpoint first."""
    names = dict.fromkeys(each.subject for release in releases for each in release.measured)
    return sorted(names, key=lambda name: name != TRAINED)


def measured_in(store: Store, digest: str) -> tuple[tuple[Measured, ...], str]:
    """What a bundle says was measured; and why all or some of it cannot be told, as a sentence."""
    try:
        bundle = store.bundle(digest)
        if bundle is None:
            return (), f"bundle {short(digest)} is not in this store"
        contents = of_bundle(store, bundle, short(digest))
    except UserError as error:
        return (), error.message
    return measured_of(contents)


def measured_of(contents: Contents) -> tuple[tuple[Measured, ...], str]:
    """The same of what is read already."""
    flaws: list[str] = []
    return tuple(_measured(contents, flaws)), "; ".join(dict.fromkeys(flaws))


def _measured(contents: Contents, flaws: list[str]) -> Iterator[Measured]:
    if contents.checkpoint:
        yield _of(contents, TRAINED, flaws)
    for target in contents.of_kind(ENGINE):
        yield _of(contents, target, flaws)


def _of(contents: Contents, subject: str, flaws: list[str]) -> Measured:
    accuracy, times = (_facts(contents, kind, subject, flaws) for kind in (EVALUATION, PROFILE))
    found, spread = mapping(accuracy.get("found")), mapping(times.get("found"))
    if spread.get("unit") != "ms":  # another version's, which no column is for
        spread = {}
    figures, pictures = mapping(found.get("figures")), number(found.get("pictures"))
    grades = [str(each["evidence"]) for each in (accuracy, times) if each.get("evidence")]
    return Measured(
        subject,
        ap=_figure(figures.get("AP")),
        ap50=_figure(figures.get("AP50"), found.get("AP50_interval")),
        p50=_figure(spread.get("p50"), mapping(spread.get("bounds")).get("p50")),
        p99=_figure(spread.get("p99"), mapping(spread.get("bounds")).get("p99")),
        grade=", ".join(dict.fromkeys(grades)),
        pictures=None if pictures is None else int(pictures),
        not_told=str(spread.get("not_told") or ""),
    )


def _facts(contents: Contents, kind: str, subject: str, flaws: list[str]) -> Facts:
    """What a part tells; one that is damaged leaves the others as they are."""
    part = PartName(kind, subject)
    try:
        return part_facts(contents, part) if part in contents.parts else {}
    except UserError as error:
        flaws.append(error.message)
        return {}


def _figure(value: object, between: object = None) -> Figure | None:
    told = number(value)
    if told is None or not math.isfinite(told):
        return None
    low, high = between if isinstance(between, list | tuple) and len(between) == 2 else (None, None)
    return Figure(told, number(low), number(high))
