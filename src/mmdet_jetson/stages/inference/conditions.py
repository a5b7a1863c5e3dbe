"""What a machine is like while an engine is timed on it, looked at between two samples.

All of it stands in files below a root, so no program has to be started while something is timed.
Which files there are is found out before, and each look reads them: ten or so on a PC, sixty or so
on an Orin, where another processor, the BPMP, is asked for temperatures and alarms.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, TypeVar

from mmdet_jetson.contract.conditions import (
    JETSON,
    LEAST_LOOKS,
    PC,
    ClockRange,
    Conditions,
    Temperature,
)
from mmdet_jetson.contract.power import (
    SYSTEM,
    Clock,
    PowerModes,
    cpu_clocks,
    governors,
    gpu_clock,
    memory_clock,
    power_modes,
)
from mmdet_jetson.stages.inference.nvml import Ask

THERMAL, HWMON = "sys/class/thermal", "sys/class/hwmon"
OVER_CURRENT = "soctherm_oc"
# Counts since boot: Orin's and Thor's are called event_cnt, Xavier's irq_cnt.
ALARM = re.compile(r"(oc\d+)_(?:event|irq)_cnt")
SLOWING = ("passive", "hot")
"""Types of trip points. An active one starts a fan, at a critical one the machine goes off."""
ALERT = "-throttle-alert"
# A sensor that is off reads -256; NVIDIA's PMIC-Die is 100 at all times.
COLDEST, FIXED = -50.0, "PMIC"
MILLI = 1000
T = TypeVar("T")


@dataclass(frozen=True)
class Zone:
    """A thermal zone: its name, the file with its temperature, and where it is slowed down."""

    name: str
    file: Path
    trip: Optional[float]


@dataclass(frozen=True)
class Look:
    """One moment; what could not be read is missing."""

    modes: Optional[PowerModes]
    clocks: Mapping[str, Clock]
    temperatures: Mapping[str, float]
    alarms: Mapping[str, int]
    fan: Optional[int]
    reasons: Optional[Tuple[str, ...]]


class Watch:
    """Looks at a machine as often as it is asked to, and sums up what it saw.

    ``l4t`` is a Jetson's release, None or "" elsewhere; ``gpu`` asks why a PC's GPU is throttled.
    """

    def __init__(
        self, system: Path = SYSTEM, *, l4t: Optional[str] = None, gpu: Optional[Ask] = None
    ) -> None:
        self.system, self.l4t, self.gpu = system, l4t, gpu
        self.zones = list(_zones(system))
        self.alarms = _alarms(system)
        self.fan = _fan(system)
        self.alerts = _alerts(system)
        self.looks: List[Look] = []

    def look(self) -> None:
        """Read every file once."""
        temperatures = {zone.name: _number(zone.file) for zone in self.zones}
        alarms = {name: _number(file) for name, file in self.alarms.items()}
        self.looks.append(
            Look(
                modes=power_modes(self.system),
                clocks=_clocks(self.system),
                temperatures={
                    name: milli / MILLI
                    for name, milli in temperatures.items()
                    if milli is not None and milli / MILLI > COLDEST
                },
                alarms={name: count for name, count in alarms.items() if count is not None},
                fan=_number(self.fan) if self.fan else None,
                reasons=self._reasons(),
            )
        )

    def _reasons(self) -> Optional[Tuple[str, ...]]:
        if self.gpu:
            return self.gpu()
        if not self.alerts:
            return None
        return tuple(name for name, file in self.alerts.items() if _number(file))

    def conditions(
        self,
        wanted_mode: Optional[str],
        *,
        seconds: float,
        others: Optional[float],
        drift: Optional[float],
    ) -> Conditions:
        """Sum up what was seen; ``wanted_mode`` is the target's, None for the board's strongest."""
        looks = self.looks
        modes = [look.modes for look in looks if look.modes]
        strongest = modes[-1].strongest if modes else None
        fans = [look.fan for look in looks if look.fan is not None]
        is_jetson = self.l4t or modes or any("gpu" in look.clocks for look in looks)
        return Conditions(
            kind=JETSON if is_jetson else PC,
            looks=len(looks),
            seconds=seconds,
            power_modes=_once(mode.now.name or str(mode.now.number) for mode in modes),
            wanted_power_mode=wanted_mode or (strongest.name if strongest else None),
            clocks=_ranges(looks),
            temperatures=self._highest(),
            over_current=_risen(looks),
            fan=(min(fans), max(fans)) if fans else None,
            governors=governors(self.system),
            throttle_reasons=_all_reasons(looks),
            others=others,
            drift=drift,
        )

    def _highest(self) -> Dict[str, Temperature]:
        found = {}
        for zone in self.zones:
            seen = [x.temperatures[zone.name] for x in self.looks if zone.name in x.temperatures]
            if seen:
                found[zone.name] = Temperature(max(seen), zone.trip)
        return found


def _clocks(system: Path) -> Dict[str, Clock]:
    named = {"gpu": gpu_clock(system), "memory": memory_clock(system), **cpu_clocks(system)}
    return {name: clock for name, clock in named.items() if clock}


def _ranges(looks: Sequence[Look]) -> Dict[str, ClockRange]:
    """The widest choice that each clock had, and the frequencies that it was seen at."""
    found: Dict[str, ClockRange] = {}
    for name in _once(name for look in looks for name in look.clocks):
        seen = [look.clocks[name] for look in looks if name in look.clocks]
        found[name] = ClockRange(
            least=min(clock.least for clock in seen),
            most=max(clock.most for clock in seen),
            lowest_seen=min(clock.now for clock in seen),
            highest_seen=max(clock.now for clock in seen),
        )
    return found


def _risen(looks: Sequence[Look]) -> Dict[str, int]:
    """How far each count since boot rose; of one that was not read twice nothing is known."""
    found = {}
    for name in _once(name for look in looks for name in look.alarms):
        counts = [look.alarms[name] for look in looks if name in look.alarms]
        if len(counts) >= LEAST_LOOKS:
            found[name] = counts[-1] - counts[0]
    return found


def _all_reasons(looks: Sequence[Look]) -> Optional[Tuple[str, ...]]:
    told = [look.reasons for look in looks if look.reasons is not None]
    return _once(reason for reasons in told for reason in reasons) if told else None


def _once(each: Iterator[T]) -> Tuple[T, ...]:
    return tuple(dict.fromkeys(each))


def _zones(system: Path) -> Iterator[Zone]:
    """Every thermal zone, also one that is off now; of two with one name the second is counted."""
    names: Dict[str, int] = {}
    for folder in _in_order(system / THERMAL, "thermal_zone*"):
        name = _text(folder / "type")
        if name and not name.startswith(FIXED):
            names[name] = names.get(name, 0) + 1
            shown = name if names[name] == 1 else f"{name} {names[name]}"
            yield Zone(shown, folder / "temp", _trip(folder))


def _trip(zone: Path) -> Optional[float]:
    """The lowest temperature in °C at which a zone is slowed down; one that is unset is not."""
    trips = [
        _number(kind.with_name(kind.name.replace("_type", "_temp")))
        for kind in zone.glob("trip_point_*_type")
        if _text(kind) in SLOWING
    ]
    return min((trip / MILLI for trip in trips if trip and trip > 0), default=None)


def _alarms(system: Path) -> Dict[str, Path]:
    found = {}
    for folder in _in_order(system / HWMON, "hwmon*"):
        if _text(folder / "name") == OVER_CURRENT:
            for file in sorted(folder.iterdir()):
                match = ALARM.fullmatch(file.name)
                if match:
                    found[match[1]] = file
    return found


def _fan(system: Path) -> Optional[Path]:
    """The file with a Jetson's fan: its speed, or else how it is driven."""
    folders = _in_order(system / HWMON, "hwmon*")
    tachometers = [folder / "rpm" for folder in folders if (folder / "rpm").exists()]
    driven = [folder / "pwm1" for folder in folders if _text(folder / "name") == "pwmfan"]
    return next(iter([*tachometers, *driven]), None)


def _alerts(system: Path) -> Dict[str, Path]:
    """A Jetson's cooling devices that cool nothing and say that something is slowed down."""
    kinds = {
        folder: _text(folder / "type") for folder in _in_order(system / THERMAL, "cooling_device*")
    }
    return {kind: folder / "cur_state" for folder, kind in kinds.items() if kind.endswith(ALERT)}


def _in_order(folder: Path, pattern: str) -> List[Path]:
    return sorted(folder.glob(pattern), key=lambda path: (len(path.name), path.name))


def _number(file: Path) -> Optional[int]:
    try:
        return int(_text(file))
    except ValueError:
        return None


def _text(file: Path) -> str:
    """Read a small file of the kernel; empty where it cannot be.

    The zone of a part that is switched off answers "try again", of which Python's own files make a
    `TypeError`.
    """
    try:
        opened = os.open(str(file), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(opened, 4096).decode("utf-8", "replace").strip()
    except OSError:
        return ""
    finally:
        os.close(opened)
