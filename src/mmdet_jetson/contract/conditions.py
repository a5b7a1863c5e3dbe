"""What a machine was like while an engine was timed on it, as a profile records it.

A figure that no file of the machine tells is None or missing: unknown, and so no evidence.
"""

from dataclasses import dataclass, field
from typing import Mapping, Optional, Tuple


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
        kind: "jetson" or "pc"; what can be asked of the evidence differs.
        power_modes: the names of the power modes that a Jetson was seen in, one if it did not change.
        wanted_power_mode: the target's, or else the board's strongest; None where unknown.
        clocks: by name: "gpu", "memory", "cpu0", ...
        temperatures: by the name of the thermal zone.
        over_current: by "oc1", "oc2", "oc3": how often each over-current alarm of ``soctherm_oc``
            rose while timing.
        fan: the lowest and highest speed seen, in revolutions a minute or in steps of its PWM.
        governors: of the CPUs.
        throttle_reasons: of a PC's GPU, by nvidia-smi, without idle ones.
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
