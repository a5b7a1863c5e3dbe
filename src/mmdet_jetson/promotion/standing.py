"""What is in a channel now: since when, by whom, on what evidence, and how it fares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mmdet_jetson.bundles.contents import EVALUATION, PROFILE, Contents, PartName, of_bundle
from mmdet_jetson.bundles.overview import mapping, number, part_facts
from mmdet_jetson.contract.report import CHECKPOINT
from mmdet_jetson.errors import UserError
from mmdet_jetson.promotion.records import (
    RELEASE,
    Override,
    Record,
    holder_of,
    overrides_behind,
)
from mmdet_jetson.promotion.verifying import Shelf

PERCENTILES = ("p50", "p90", "p99")


@dataclass(frozen=True)
class Figures:
    """What was measured of a checkpoint or an engine; None where nothing was.

    The percentiles are those of the time from a file to boxes, in ms, that enough samples carry.
    """

    ap: float | None = None
    p50: float | None = None
    p90: float | None = None
    p99: float | None = None


@dataclass(frozen=True)
class Standing:
    """A channel and what is in it.

    Attributes:
        channel: its name.
        records: all of its file.
        entered: the record by which the bundle came in: a promotion or a rollback.
        held_by: the rollback that holds it, or None.
        overrides: the gates that were overridden when the bundle was let in, back then.
        outcome: that of its verdict; "" where the verdict is not here.
        contents: the bundle; None where it is not here.
        figures: by "checkpoint" or target.
        why_not: why the bundle or its verdict cannot be read, or "".
    """

    channel: str
    records: Sequence[Record]
    entered: Record | None = None
    held_by: Record | None = None
    overrides: Sequence[Override] = ()
    outcome: str = ""
    contents: Contents | None = None
    figures: Mapping[str, Figures] = field(default_factory=dict)
    why_not: str = ""


def standing_of(channel: str, records: Sequence[Record], shelf: Shelf) -> Standing:
    """Tell what is in a channel, as far as the store has it."""
    changes = [each for each in records if each.action != RELEASE]
    if not changes:
        return Standing(channel, records)
    entered = changes[-1]
    overrides = overrides_behind(entered, {each.sequence: each for each in records})
    told = Standing(channel, records, entered, holder_of(records), overrides)
    try:
        return _with_store(told, entered, shelf)
    except UserError as error:
        return Standing(
            told.channel,
            records,
            entered,
            told.held_by,
            told.overrides,
            why_not=error.message,
        )


def _with_store(told: Standing, entered: Record, shelf: Shelf) -> Standing:
    verdict = shelf.verdict(entered.verdict)
    bundle = shelf.bundles.get(entered.bundle)
    contents = None
    if bundle and shelf.has(bundle.digest):
        contents = of_bundle(shelf.store, bundle, entered.name or bundle.digest[7:19])
    return Standing(
        told.channel,
        told.records,
        entered,
        told.held_by,
        told.overrides,
        verdict.outcome if verdict else "",
        contents,
        figures_of(contents) if contents else {},
    )


def figures_of(contents: Contents) -> dict[str, Figures]:
    """The key figures of a bundle: of its checkpoint, and of every engine.

    Raises:
        UserError: a part is damaged, or another version wrote it.
    """
    found = {}
    for subject in (CHECKPOINT, *contents.targets):
        evaluated = _found(contents, PartName(EVALUATION, subject))
        timed = _found(contents, PartName(PROFILE, subject))
        ap = number(mapping(evaluated.get("figures")).get("AP"))
        unit = timed.get("unit")
        times = (number(timed.get(each)) if unit == "ms" else None for each in PERCENTILES)
        if subject != CHECKPOINT or ap is not None:
            found[subject] = Figures(ap, *times)
    return found


def _found(contents: Contents, name: PartName) -> Mapping[str, object]:
    return mapping(part_facts(contents, name)["found"]) if name in contents.parts else {}
