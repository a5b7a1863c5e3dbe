"""How fast a Jetson lets itself be: the mode of its power budget, and its clocks, from its files.

``nvpmodel`` chooses the mode and keeps it over a restart; ``jetson_clocks`` raises the lowest clock
of the GPU and of every CPU to their highest one until then. Neither program has to be asked: what
``nvpmodel -q`` says stands in the first two of these files, and ``jetson_clocks --show`` is for
root.
"""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Mapping, Optional, Sequence, Tuple

from mmdet_jetson.contract.files import text_of
from mmdet_jetson.contract.records import ContractError, decode, encode

SYSTEM = Path("/")
STATUS_FILE = "var/lib/nvpmodel/status"
"""The mode's number: ``pmode:0002``, with a fan's mode behind it on some releases."""
MODES_FILE = "etc/nvpmodel.conf"
"""All modes of the board, a link to its own file: ``< POWER_MODEL ID=2 NAME=MAXN_SUPER >``."""
DEVFREQ = "sys/class/devfreq"
CPUFREQ = "sys/devices/system/cpu"
GOVERNOR_FILE = f"{CPUFREQ}/cpu0/cpufreq/scaling_governor"
"""Any machine may have it, not a Jetson alone."""
MEMORY = "sys/kernel/debug/bpmp/debug/clk/emc"
"""The memory's clock, which root alone may read, and no container. On Thor it is a devfreq."""
MEMORY_OF_THOR = f"{DEVFREQ}/bwmgr"
MEMORY_CAPS = ("sys/kernel/nvpmodel_clk_cap/emc", "sys/kernel/nvpmodel_emc_cap/emc_iso_cap")
"""The highest frequency of the memory in a power mode, in Hz: JetPack 6, and before; 0 for none."""
OF_HOST = "MMDET_JETSON_HOST_POWER_MODES"
"""An environment variable of a container, for what it cannot read of its host: `PowerModes`."""

# As JetPacks call a Jetson's GPU: 17000000.gv11b is Xavier's, 17000000.ga10b and, from JetPack 6
# on, 17000000.gpu are Orin's, gpu-gpc-0 is Thor's. Below the class they are links, so that it does
# not matter which bus the device is on.
_GPU = re.compile(r"[0-9a-f]+\.(gpu|g[apv]\d+b)|gpu-gpc-\d+")
_MODE = re.compile(r"^[ \t]*<[ \t]*POWER_MODEL[ \t]+ID=(\d+)[ \t]+NAME=(\S+)[ \t]*>", re.MULTILINE)
_STATUS = re.compile(r"pmode: *0*(\d+)")


@dataclass(frozen=True)
class PowerMode:
    """A mode by the number that ``nvpmodel -m`` takes; ``name`` is empty where nothing names it."""

    number: int
    name: str = ""

    @property
    def rank(self) -> Tuple[int, int]:
        """Order modes by their budget: MAXN has none, others name theirs in watts.

        The number says nothing: 0 is MAXN on most boards, and 15W on an Orin Nano Super.
        """
        watts = re.search(r"(\d+)W", self.name)
        unlimited = 2 if self.name.startswith("MAXN_SUPER") else self.name.startswith("MAXN")
        return int(unlimited), int(watts[1]) if watts else 0

    def __str__(self) -> str:
        return f"{self.name} ({self.number})" if self.name else str(self.number)


@dataclass(frozen=True)
class PowerModes:
    """The mode that a Jetson is in, and all that its board has; none where no file tells them."""

    now: PowerMode
    all: Tuple[PowerMode, ...] = ()

    @property
    def strongest(self) -> Optional[PowerMode]:
        """The one with the largest budget; None where nothing is known of them."""
        return max(self.all, key=lambda mode: mode.rank, default=None)

    def named(self, name: str) -> Optional[PowerMode]:
        """Give the mode of a name; None where the board has none."""
        return next((mode for mode in self.all if mode.name == name), None)


@dataclass(frozen=True)
class Clock:
    """The lowest and the highest frequency that a clock may have, and its present one, in Hz."""

    least: int
    most: int
    now: int

    @property
    def is_locked(self) -> bool:
        """Whether it has no choice, as after ``jetson_clocks``."""
        return self.least == self.most


@dataclass(frozen=True)
class Clocks:
    """The clocks of a Jetson's GPU and of its CPUs that are switched on, with their governors."""

    gpu: Clock
    cpus: Tuple[Clock, ...]
    governors: Tuple[str, ...]

    @property
    def are_locked(self) -> bool:
        """Whether ``jetson_clocks`` is on."""
        return all(clock.is_locked for clock in (self.gpu, *self.cpus))


def modes_of(status: str, modes: str) -> Optional[PowerModes]:
    """Read the content of `STATUS_FILE` and `MODES_FILE`; None where the first is empty."""
    found = _STATUS.search(status)
    if not found:
        return None
    known = tuple(PowerMode(int(number), name) for number, name in _MODE.findall(modes))
    number = int(found[1])
    now = next((mode for mode in known if mode.number == number), PowerMode(number))
    return PowerModes(now, known)


def power_modes(
    system: Path = SYSTEM, environ: Mapping[str, str] = os.environ
) -> Optional[PowerModes]:
    """Tell a Jetson's mode; None elsewhere, and in a container that is not told its host's."""
    try:
        return decode(PowerModes, json.loads(environ[OF_HOST]))
    except (KeyError, ValueError, ContractError):
        return modes_of(text_of(system / STATUS_FILE), text_of(system / MODES_FILE))


def told(modes: PowerModes) -> Mapping[str, str]:
    """Give the variable that tells a container its host's modes."""
    return {OF_HOST: json.dumps(encode(modes))}


def clocks(system: Path = SYSTEM) -> Optional[Clocks]:
    """Read a Jetson's clocks; None on any other machine. Containers see them, too."""
    gpu = gpu_clock(system)
    if gpu is None:
        return None
    return Clocks(gpu, tuple(cpu_clocks(system).values()), governors(system))


def gpu_clock(system: Path = SYSTEM) -> Optional[Clock]:
    """Read the clock of a Jetson's GPU; None on any other machine."""
    folder = system / DEVFREQ
    names = sorted(path.name for path in folder.glob("*") if _GPU.fullmatch(path.name))
    return _clock(folder / names[0], "min_freq", "max_freq", "cur_freq", 1) if names else None


def cpu_clocks(system: Path = SYSTEM) -> Dict[str, Clock]:
    """Read the clocks of the CPUs that are switched on, by name; not a Jetson's alone."""
    found = {cpu.parent.name: _cpu_clock(cpu) for cpu in _cpus(system)}
    return {name: clock for name, clock in found.items() if clock}


def governors(system: Path = SYSTEM) -> Tuple[str, ...]:
    """Name the governors of the CPUs' clocks."""
    found = {text_of(cpu / "scaling_governor").strip() for cpu in _cpus(system)}
    return tuple(sorted(found - {""}))


def memory_clock(system: Path = SYSTEM) -> Optional[Clock]:
    """Read the clock of a Jetson's memory; None for a user who may not.

    ``jetson_clocks`` leaves the lowest rate as it is, and locks the present one.
    """
    found = _clock(system / MEMORY, "min_rate", "max_rate", "rate", 1)
    if found is None:
        return _clock(system / MEMORY_OF_THOR, "min_freq", "max_freq", "cur_freq", 1)
    if text_of(system / MEMORY / "mrq_rate_locked").strip() == "1":
        return Clock(found.now, found.now, found.now)
    caps = [text_of(system / file).strip() for file in MEMORY_CAPS]
    most = min([found.most, *(int(cap) for cap in caps if cap.isdigit() and int(cap))])
    return Clock(min(found.least, most), most, found.now)


def print_clocks() -> None:
    """Say whether the clocks are locked, for whoever asks a container."""
    found = clocks()
    print("locked" if found and found.are_locked else "")


def _cpus(system: Path) -> Sequence[Path]:
    return sorted((system / CPUFREQ).glob("cpu[0-9]*/cpufreq"))


def _cpu_clock(cpu: Path) -> Optional[Clock]:
    return _clock(cpu, "scaling_min_freq", "scaling_max_freq", "scaling_cur_freq", 1000)


def _clock(folder: Path, least: str, most: str, now: str, unit: int) -> Optional[Clock]:
    """Read a clock whose files count in ``unit`` Hz; None where one of them cannot be read."""
    try:
        values = [int(text_of(folder / name)) * unit for name in (least, most, now)]
    except ValueError:
        return None
    return Clock(*values)
