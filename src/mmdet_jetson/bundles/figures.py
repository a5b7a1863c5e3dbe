"""How well two models detect, how large their engines are and how fast, side by side."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mmdet_jetson.bundles import contents
from mmdet_jetson.bundles.contents import Contents
from mmdet_jetson.bundles.overview import interval_of, mapping, number
from mmdet_jetson.bundles.trainings import input_of
from mmdet_jetson.contract.report import BASE, CHECKPOINT, DOCUMENTED
from mmdet_jetson.store import Artifact

FIGURES = ("AP", "AP50")
# What makes two machines two, of what a profile tells of its own.
DEVICE = (
    "cpu", "cores", "gpu", "l4t", "power_mode", "clocks_locked", "cpu_governor",
)  # fmt: skip
SAME, WITHIN, OUTSIDE, UNKNOWN = "equal", "within", "outside", "unknown"


@dataclass(frozen=True)
class Measured:
    """What was measured of one model. ``interval`` is the 95% interval of AP50, where it is known.

    ``pictures`` is the digest of the validation pictures, ``others`` are COCO's other figures.
    """

    figures: Mapping[str, float | None]
    per_class: Mapping[str, float | None]
    evidence: str
    pictures: str
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class FigureChange:
    """The figures of one model on both sides; None where it was not measured.

    ``no_comparison`` says why their difference means nothing; "" where it means something.
    ``ap50`` tells whether the difference of AP50 is larger than what chance does to it: equal,
    within, outside or unknown.
    """

    subject: str
    was: Measured | None
    now: Measured | None
    no_comparison: str
    ap50: str

    def difference(self, figure: str) -> float | None:
        """Now less then; None where one is not known, or they cannot be compared."""
        if self.no_comparison or not (self.was and self.now):
            return None
        return _less(self.was.figures.get(figure), self.now.figures.get(figure))

    def class_difference(self, name: str) -> float | None:
        """The same of a class's AP."""
        if self.no_comparison or not (self.was and self.now):
            return None
        return _less(self.was.per_class.get(name), self.now.per_class.get(name))


@dataclass(frozen=True)
class Timed:
    """An engine's size in bytes, and how long it takes; None where that is not known."""

    size: int | None
    p50: float | None = None
    p99: float | None = None
    evidence: str = ""
    device: Mapping[str, object] | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class EngineChange:
    """The engine for one target on both sides; None where there is none.

    ``no_comparison`` says why the difference of their times means nothing. ``same`` tells whether
    they are the same files.
    """

    target: str
    was: Timed | None
    now: Timed | None
    no_comparison: str
    same: bool


def compare_figures(before: Contents, after: Contents) -> tuple[FigureChange, ...]:
    """Compare every model that was evaluated on one side or both: base, checkpoint, engines."""
    was, now = (dict(_measured(each)) for each in (before, after))
    return tuple(
        _figure_change(name, was.get(name), now.get(name))
        for name in sorted(was.keys() | now.keys(), key=_order)
    )


def _order(subject: str) -> tuple[int, str]:
    first = (CHECKPOINT,)
    last = (DOCUMENTED, BASE)
    return (0 if subject in first else 2 if subject in last else 1, subject)


def _measured(side: Contents) -> Iterator[tuple[str, Measured]]:
    for subject, each in side.of_kind(contents.EVALUATION).items():
        yield subject, _of_evaluation(side, each, interval_of(side, subject))


def _of_evaluation(
    side: Contents, evaluation: Artifact, interval: tuple[float, float] | None
) -> Measured:
    told = mapping(side.document(evaluation, "metrics.json"))
    made = evaluation.provenance
    return Measured(
        figures=_numbers(told.get("figures") or made.metrics),
        per_class=_numbers(told.get("per_class")),
        evidence=str(told.get("evidence") or made.parameters.get("evidence", "")),
        pictures=input_of(evaluation, "dataset"),
        interval=interval,
    )


def _numbers(table: object) -> dict[str, float | None]:
    """The numbers of a table, of whoever wrote it."""
    return {str(k): number(v) for k, v in table.items()} if isinstance(table, Mapping) else {}


def _figure_change(subject: str, was: Measured | None, now: Measured | None) -> FigureChange:
    why = _why_not(was, now)
    return FigureChange(subject, was, now, why, UNKNOWN if why else _chance(was, now))


def _why_not(was: Measured | None, now: Measured | None) -> str:
    if not (was and now):
        return "measured on one side only"
    if was.pictures != now.pictures:
        return "measured on other validation pictures"
    return _grades(was.evidence, now.evidence)


def _grades(was: str, now: str) -> str:
    return "" if was == now else f"{was or 'no grade'} against {now or 'no grade'}"


def _chance(was: Measured | None, now: Measured | None) -> str:
    """Whether each AP50 lies in the other's interval, where both are known."""
    if not (was and now):
        return UNKNOWN
    before, after = was.figures.get("AP50"), now.figures.get("AP50")
    if before is None or after is None:
        return UNKNOWN
    if before == after:
        return SAME
    pairs = (after, was.interval), (before, now.interval)
    judged = [span[0] <= value <= span[1] for value, span in pairs if span]
    return UNKNOWN if not judged else WITHIN if all(judged) else OUTSIDE


def _less(was: float | None, now: float | None) -> float | None:
    return None if was is None or now is None else now - was


def compare_engines(before: Contents, after: Contents) -> tuple[EngineChange, ...]:
    """Compare the engines of every target that has one on a side, or was timed there."""
    targets = {
        target
        for side in (before, after)
        for kind in (contents.ENGINE, contents.PROFILE)
        for target in side.of_kind(kind)
    }
    return tuple(_engine_change(before, after, target) for target in sorted(targets))


def _engine_change(before: Contents, after: Contents, target: str) -> EngineChange:
    was, now = _timed(before, target), _timed(after, target)
    one, other = (side.get(contents.ENGINE, target) for side in (before, after))
    same = one is not None and other is not None and one.content == other.content
    return EngineChange(target, was, now, _no_times(was, now), same)


def _timed(side: Contents, target: str) -> Timed | None:
    engine, profile = side.get(contents.ENGINE, target), side.get(contents.PROFILE, target)
    size = _size(side, engine) if engine else None
    told = side.profile(profile) if profile else None
    if told is None:
        return Timed(size) if engine else None
    device = {name: told.machine[name] for name in DEVICE if told.machine.get(name) is not None}
    return Timed(size, told.total.p50, told.total.p99, told.evidence, device, told.warnings)


def _size(side: Contents, engine: Artifact) -> int:
    """The bytes of the engine alone, as its passport tells, else of all its files."""
    passport = mapping(side.document(engine, "passport.json"))
    size = mapping(passport.get("engine")).get("bytes")
    return size if isinstance(size, int) else engine.size


def _no_times(was: Timed | None, now: Timed | None) -> str:
    if not (was and now and was.p50 is not None and now.p50 is not None):
        return "timed on one side only" if (was and was.p50) or (now and now.p50) else "not timed"
    if grades := _grades(was.evidence, now.evidence):
        return grades
    here, there = was.device or {}, now.device or {}
    names = [name for name in DEVICE if here.get(name) != there.get(name)]
    if not names:
        return ""
    one, other = (", ".join(str(each.get(n, "none")) for n in names) for each in (here, there))
    return f"another device: {one} against {other}"
