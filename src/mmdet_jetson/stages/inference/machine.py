"""What this machine is, and how busy others keep it, from the kernel's own files."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional

from mmdet_jetson.contract.files import text_of
from mmdet_jetson.contract.power import GOVERNOR_FILE
from mmdet_jetson.stages.inference.device import board_name, l4t_release

PROC = Path("/proc")
GOVERNOR = Path("/", GOVERNOR_FILE)
CPU_TIMES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")


def cpu_name() -> str:
    """Name the board, which says more than a Jetson's CPU does, or else the CPU."""
    models = [line for line in _lines(PROC / "cpuinfo") if line.startswith("model name")]
    cpu = models[0].partition(":")[2].strip() if models else ""
    return board_name() or cpu or platform.processor() or platform.machine()


def machine_facts() -> Dict[str, object]:
    """Describe this machine; the cores are those that this process may use."""
    governor, l4t = "".join(_lines(GOVERNOR)), l4t_release()
    return {
        "cpu": cpu_name(),
        "cores": cores(),
        **({"l4t": l4t} if l4t else {}),
        **({"cpu_governor": governor} if governor else {}),
        "memory_gb": _memory_gb(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class BusyTime:
    """CPU time in seconds since boot: of everything, and of this process alone."""

    everything: float
    own: float
    available: float

    @classmethod
    def now(cls) -> "Optional[BusyTime]":
        """Read the counters; None where the kernel shows none."""
        lines = _lines(PROC / "stat")
        if not lines:
            return None
        ticks = dict(zip(CPU_TIMES, map(int, lines[0].split()[1:])))
        per_second = os.sysconf("SC_CLK_TCK")
        total = sum(ticks.values())
        busy = total - ticks["idle"] - ticks["iowait"]
        own = os.times()
        return cls(busy / per_second, own.user + own.system, total / per_second)

    def share_of_others(self, later: "BusyTime") -> float:
        """Give the share of all CPU time until ``later`` that went to other processes: 0 to 1."""
        others = (later.everything - self.everything) - (later.own - self.own)
        return max(0.0, others) / max(later.available - self.available, 1e-9)


def _memory_gb() -> Optional[float]:
    for line in _lines(PROC / "meminfo"):
        if line.startswith("MemTotal"):
            return round(int(line.split()[1]) / 2**20, 1)
    return None


def _lines(path: Path) -> List[str]:
    return text_of(path).splitlines()
