"""What a machine was like while an engine was timed on it, as a profile records it.

A figure that no file of the machine tells is None or missing: unknown, and so no evidence.
"""

from dataclasses import dataclass, field
from itertools import chain
from typing import Dict, Iterator, List, Mapping, Optional, Tuple

JETSON, PC = "jetson", "pc"
LEAST_LOOKS = 2
"""Before and after: a count that rises needs both."""


@dataclass(frozen=True)
class ClockRange:
    """Frequencies of one clock in Hz: what it may have, and what was seen while timing."""

    least: int
    most: int
    lowest_seen: int
    highest_seen: int

    @property
    def is_locked(self) -> bool:
        """Whether it had no choice, as after ``jetson_clocks``."""
        return self.least == self.most


@dataclass(frozen=True)
class Temperature:
    """The highest temperature of a thermal zone that was seen, and where it is throttled, in °C.

    ``trip`` is the lowest of its trip points that cools by slowing down (passive or hot); None
    where it has none.
    """

    highest: float
    trip: Optional[float]


@dataclass(frozen=True)
class Conditions:
    """What was seen of a machine at ``looks`` moments spread over ``seconds`` of timing.

    Attributes:
        kind: `JETSON` or `PC`; what can be asked of the evidence differs.
        power_modes: the names of those that a Jetson was seen in, one if it did not change.
        wanted_power_mode: the target's, or else the board's strongest; None where unknown.
        clocks: by name: "gpu", "memory", "cpu0", ...
        temperatures: by the name of the thermal zone.
        over_current: by "oc1", "oc2", "oc3", ...: how often each over-current alarm of
            ``soctherm_oc`` rose while timing.
        fan: the lowest and highest speed seen, in revolutions a minute or in steps of its PWM.
        governors: of the CPUs.
        throttle_reasons: of a PC's GPU as nvidia-smi calls them, without idleness; of a Jetson the
            alerts among its cooling devices that were on. None where there is nothing to ask.
        others: share of the CPU time that other processes took, 0 to 1.
        drift: median of the last quarter of the samples over that of the first, less 1.
    """

    kind: str
    looks: int
    seconds: float
    power_modes: Tuple[str, ...] = ()
    wanted_power_mode: Optional[str] = None
    clocks: Mapping[str, ClockRange] = field(default_factory=dict)
    temperatures: Mapping[str, Temperature] = field(default_factory=dict)
    over_current: Mapping[str, int] = field(default_factory=dict)
    fan: Optional[Tuple[int, int]] = None
    governors: Tuple[str, ...] = ()
    throttle_reasons: Optional[Tuple[str, ...]] = None
    others: Optional[float] = None
    drift: Optional[float] = None


@dataclass(frozen=True)
class Limits:
    """From when on conditions spoil a measurement; `promotion.policy.Conditions` says of what."""

    seconds: float = 0
    trip_margin: float = 5
    drift: float = 0.1
    others: float = 0.1
    locked_clocks: bool = True


@dataclass(frozen=True)
class Flaw:
    """Why times are no evidence: ``of`` is one of `FLAWS`, and the sentence says what to do.

    ``is_known`` is false where nothing tells whether they are.
    """

    of: str
    sentence: str
    is_known: bool = True


FLAWS = (
    "seconds", "power mode", "clocks", "throttling", "over-current", "heat", "drift", "others",
)  # fmt: skip
SERIOUS_ALARMS = ("oc1", "oc2")
"""Too low a voltage, and too much current on average, on Orin; oc3 rises under any load."""
SETTINGS = ("applications_clocks_setting", "display_clock_setting", "sync_boost")
"""Of `Conditions.throttle_reasons` those that somebody chose, as one does to lock the clocks."""
# A clock that is set to a frequency is told within some of it.
SLOWED = 0.98
MHZ = 1_000_000


def flaws(found: Conditions, limits: Limits = Limits()) -> Tuple[Flaw, ...]:
    """Tell why times taken under some conditions are no evidence; nothing where they are.

    What is not known counts, too, but for what a PC has no files of: its temperatures, and a GPU
    that it computes nothing on.
    """
    told: Iterator[Flaw] = chain(
        _too_short(found, limits), _drift(found, limits), _others(found, limits),
        _throttling(found), _heat(found, limits),
    )  # fmt: skip
    if found.kind != PC:  # a kind that is not known is asked for all
        told = chain(told, _mode(found), _clocks(found, limits), _over_current(found))
    return tuple(sorted(told, key=lambda flaw: FLAWS.index(flaw.of)))


def _unknown(of: str, sentence: str) -> Flaw:
    return Flaw(of, sentence, is_known=False)


def _too_short(found: Conditions, limits: Limits) -> Iterator[Flaw]:
    if found.looks < LEAST_LOOKS:
        yield Flaw(
            "seconds", "the machine was not looked at while timing (profile again)", is_known=False
        )
    if found.seconds < limits.seconds:
        yield Flaw(
            "seconds",
            f"it was timed for {found.seconds:.0f} s of at least {limits.seconds:.0f} "
            f"([profile] seconds = {limits.seconds:.0f})",
        )


def _mode(found: Conditions) -> Iterator[Flaw]:
    wanted, seen = found.wanted_power_mode, found.power_modes
    if not seen or wanted is None:
        yield Flaw(
            "power mode",
            "no file tells the power mode, or which there are (nvpmodel -q)",
            is_known=False,
        )
    elif set(seen) != {wanted}:
        yield Flaw(
            "power mode",
            f"the power mode was {' and then '.join(seen)}, and {wanted} is wanted "
            "(nvpmodel -p --verbose lists modes, sudo nvpmodel -m sets one)",
        )


def _clocks(found: Conditions, limits: Limits) -> Iterator[Flaw]:
    """The memory's clock counts where it is told, which is to root alone."""
    if not limits.locked_clocks:
        return
    if "gpu" not in found.clocks or not any(name.startswith("cpu") for name in found.clocks):
        yield _unknown("clocks", "no file tells the clocks of the GPU and of the CPUs")
    loose = {name: each for name, each in found.clocks.items() if not each.is_locked}
    if loose:
        yield Flaw(
            "clocks", f"the clocks were not locked: {clocks_told(loose)} (sudo jetson_clocks)"
        )


def _throttling(found: Conditions) -> Iterator[Flaw]:
    """Clocks that are locked and yet lower, and whatever says of itself that it slows down."""
    slow = {
        name: each
        for name, each in found.clocks.items()
        if found.kind != PC and each.is_locked and each.lowest_seen < SLOWED * each.most
    }
    if slow:
        yield Flaw("throttling", f"locked clocks were slowed down: {clocks_told(slow)} (cool it)")
    reasons = [each for each in found.throttle_reasons or () if each not in SETTINGS]
    if reasons:
        yield Flaw(
            "throttling", f"it was throttled: {', '.join(reasons)} (cool it, or give it power)"
        )


def _over_current(found: Conditions) -> Iterator[Flaw]:
    missing = [name for name in SERIOUS_ALARMS if name not in found.over_current]
    if missing:
        yield Flaw(
            "over-current",
            f"no file tells the alarms {' and '.join(missing)} of soctherm_oc",
            is_known=False,
        )
    rose = [
        f"{name} {found.over_current[name]} times"
        for name in SERIOUS_ALARMS
        if found.over_current.get(name, 0)
    ]
    if rose:
        yield Flaw(
            "over-current",
            f"over-current alarms slowed it down: {', '.join(rose)} (a stronger power supply)",
        )


def _heat(found: Conditions, limits: Limits) -> Iterator[Flaw]:
    tripping = {name: each for name, each in found.temperatures.items() if each.trip is not None}
    if found.kind != PC and not tripping:
        yield _unknown("heat", "no file tells a temperature at which it is throttled")
    hot = [
        f"{name} {each.highest:.0f} of {each.trip:.0f} °C"
        for name, each in tripping.items()
        if each.trip is not None and each.highest > each.trip - limits.trip_margin
    ]
    if hot:
        yield Flaw(
            "heat",
            f"it was less than {limits.trip_margin:g} K from being throttled: {', '.join(hot)} "
            "(cool it)",
        )


def _drift(found: Conditions, limits: Limits) -> Iterator[Flaw]:
    if found.drift is None:
        yield Flaw(
            "drift", "the samples are too few to tell a drift ([profile] samples)", is_known=False
        )
    elif abs(found.drift) > limits.drift:
        yield Flaw(
            "drift",
            f"the median changed by {found.drift:+.0%} from the first quarter to the last, and "
            f"{limits.drift:.0%} may be (let it warm up: [profile] warmup)",
        )


def _others(found: Conditions, limits: Limits) -> Iterator[Flaw]:
    if found.others is None:
        yield _unknown("others", "no file tells how busy other processes were")
    elif found.others > limits.others:
        yield Flaw(
            "others",
            f"other processes took {found.others:.0%} of the CPU, and {limits.others:.0%} may be "
            "(stop them)",
        )


def clocks_told(clocks: Mapping[str, ClockRange]) -> str:
    """Tell of clocks in MHz; CPUs that are alike together."""
    groups: Dict[Tuple[str, ClockRange], List[str]] = {}
    for name, each in clocks.items():
        groups.setdefault((name.rstrip("0123456789"), each), []).append(name)
    return ", ".join(
        f"{names[0] if len(names) == 1 else f'{len(names)} {kind}s'} {_clock_told(each)}"
        for (kind, each), names in groups.items()
    )


def _clock_told(each: ClockRange) -> str:
    least, most, low, high = (
        round(value / MHZ) for value in (each.least, each.most, each.lowest_seen, each.highest_seen)
    )
    seen = f"{low}" if low == high else f"{low} to {high}"
    return f"{most} MHz, seen at {seen}" if least == most else f"{least} to {most} MHz, at {seen}"


def conditions_told(found: Conditions) -> Dict[str, str]:
    """Tell what a machine was like, by headings; nothing of what is not known."""
    fan, reasons = found.fan, found.throttle_reasons
    zones = [
        f"{name} {each.highest:.0f}" + (f" of {each.trip:.0f}" if each.trip is not None else "")
        for name, each in found.temperatures.items()
    ]
    told = {
        "looked at": f"{found.looks} times in {found.seconds:.0f} s",
        "power mode": ", then ".join(found.power_modes),
        "clocks": clocks_told(found.clocks),
        "governor": ", ".join(found.governors),
        "highest temperatures, °C": ", ".join(zones),
        "fan": "" if fan is None else f"{fan[0]}" if fan[0] == fan[1] else f"{fan[0]} to {fan[1]}",
        "over-current alarms": ", ".join(f"{k} {n}" for k, n in found.over_current.items()),
        "throttled by": "" if reasons is None else ", ".join(reasons) or "nothing",
        "other processes": "" if found.others is None else f"{found.others:.1%} of the CPU",
        "drift": "" if found.drift is None else f"{found.drift:+.1%}",
    }
    return {heading: text for heading, text in told.items() if text}
