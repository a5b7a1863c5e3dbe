"""The power state of the machine that a profile is taken on, and what is to be said about it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from mmdet_jetson.contract.power import SYSTEM, Clock, Clocks, PowerModes, clocks, power_modes

HZ_PER_MHZ = 1_000_000
LOCK = "sudo jetson_clocks"


@dataclass(frozen=True)
class PowerState:
    """A Jetson's power mode and clocks; None where they are not told, as on any other machine."""

    modes: Optional[PowerModes]
    clocks: Optional[Clocks]

    def facts(self) -> Dict[str, object]:
        """Give what a profile records, by names that its reader understands."""
        found: Dict[str, object] = {}
        if self.modes:
            found["power_mode"] = str(self.modes.now)
        if self.clocks:
            found["clocks_locked"] = self.clocks.are_locked
            found["gpu_clock"] = _range([self.clocks.gpu])
            found["cpu_clocks"] = _range(self.clocks.cpus)
            found["cpu_governor"] = ", ".join(self.clocks.governors) or None
        return found

    def doubts(self, expected: Optional[str]) -> List[str]:
        """Say in sentences why this Jetson may be faster, with the commands that make it so.

        ``expected`` is the name of the mode that the target wants; None for the strongest.
        """
        mode = self._doubts_about_mode(expected)
        if not self.clocks or self.clocks.are_locked:
            return mode
        return [
            *mode,
            f"the clocks were not locked (GPU {_range([self.clocks.gpu])}, CPU "
            f"{_range(self.clocks.cpus)}), so latencies vary with them: {LOCK}, then profile again",
        ]

    def _doubts_about_mode(self, expected: Optional[str]) -> List[str]:
        if expected and not (self.modes and self.modes.all):
            return [
                f"the power mode's name is not told here, and the target's is {expected}: "
                "nvpmodel -q"
            ]
        if not self.modes:
            return []
        now, wanted = self.modes.now, self.modes.strongest
        if expected:
            wanted = self.modes.named(expected)
            if now.name == expected:
                return []
            if wanted is None:
                return [
                    f"the power mode was {now}, and the target's is {expected}, which this board "
                    "does not have: nvpmodel -p --verbose lists those that it has"
                ]
            which = "the target's is"
        else:
            if wanted is None or now.rank >= wanted.rank:
                return []
            which = "the strongest is"
        return [
            f"the power mode was {now}, and {which} {wanted}: sudo nvpmodel -m {wanted.number}, "
            f"{LOCK}, then profile again"
        ]


def power_state(system: Path = SYSTEM) -> PowerState:
    """Look at the machine's files."""
    return PowerState(power_modes(system), clocks(system))


def _range(all_: Sequence[Clock]) -> str:
    """Tell from where to where clocks may go, and where they are, in MHz."""
    if not all_:
        return "unknown"
    least, most = min(clock.least for clock in all_), max(clock.most for clock in all_)
    now = sorted({round(clock.now / HZ_PER_MHZ) for clock in all_})
    place = f"{now[0]}" if len(now) == 1 else f"{now[0]} to {now[-1]}"
    return f"{round(least / HZ_PER_MHZ)} to {round(most / HZ_PER_MHZ)} MHz, at {place}"
