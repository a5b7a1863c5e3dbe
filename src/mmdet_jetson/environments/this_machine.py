"""What a machine is, as far as engines depend on it: a Jetson with its JetPack, a GPU."""

import json
import os
import platform
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mmdet_jetson.contract.nvidia import release_of
from mmdet_jetson.contract.power import clocks
from mmdet_jetson.environments.pythons import version_of
from mmdet_jetson.processes import ProcessFailed, output_of

SYSTEM = Path("/")
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}  # as Linux and as images name them
RELEASE_FILE = "etc/nv_tegra_release"
BOARD_FILE = "proc/device-tree/model"
GOVERNOR_FILE = "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
MODE_FILE = "var/lib/nvpmodel/status"  # of nvpmodel
CUDA_FILE = "usr/local/cuda/version.json"
PYTHON = "usr/bin/python3"  # the one that JetPack installs TensorRT's module for
# The chips' names in the device tree, and the compute capability of their GPU without its dot.
CHIPS = {"tegra194": 72, "tegra234": 87, "tegra264": 110}


@dataclass(frozen=True)
class JetPack:
    """What a Jetson's own system brings: Jetson Linux, its Python, TensorRT, CUDA and the GPU.

    ``tensorrt`` is the version of the Debian package; ``cuda`` is empty where it is not told.
    """

    l4t: str
    python: Path
    python_version: str
    tensorrt: str
    sm: int | None
    cuda: str = ""

    @property
    def identity(self) -> str:
        """All that an engine built here depends on: no other device may be handed it."""
        cuda = f":cuda{self.cuda}" if self.cuda else ""
        return f"l4t{self.l4t}:trt{self.tensorrt}:sm{self.sm or '?'}{cuda}"


@dataclass(frozen=True)
class Machine:
    """What decides which engines can be built and run on a machine.

    ``architecture`` is as images name it: amd64, arm64. ``l4t`` is the release of Jetson Linux and
    ``board`` what a Jetson calls itself, empty on any other machine. In containers an engine is
    built by what its image brings, else by ``jetpack``.
    """

    architecture: str
    has_gpu: bool
    l4t: str = ""
    board: str = ""
    jetpack: JetPack | None = None
    in_containers: bool = False
    name: str = "this machine"


def board_of(model: str) -> str:
    """Name the board by what its device tree says: "NVIDIA Jetson AGX Orin Developer Kit"."""
    return model.strip("\0 \n")


def cpu_name(system: Path = SYSTEM) -> str:
    """Name the processor and the number of cores that programs started here may use."""
    lines = _read(system / "proc/cpuinfo").splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.machine()} x {len(os.sched_getaffinity(0))}"


def power_mode(system: Path = SYSTEM) -> str:
    """Tell how fast the machine lets itself be; empty where it does not say.

    A Jetson has modes of its power budget, and any machine a governor of its CPUs' clocks. Nothing
    here is remembered: somebody may change it while a profile is taken.
    """
    governor = _read(system / GOVERNOR_FILE).strip()
    found = [f"governor {governor}"] if governor else []
    if (system / RELEASE_FILE).is_file():
        found.append(_nvpmodel(system))
        locked = clocks(system)
        found.append("clocks locked" if locked and locked.are_locked else "")
    return ":".join(filter(None, found))


def _nvpmodel(system: Path) -> str:
    """Ask for the mode by its name, ``NV Power Mode: MAXN``; else read its number."""
    try:
        said = output_of(["nvpmodel", "-q"])
    except ProcessFailed:
        return mode_of(_read(system / MODE_FILE))
    name = re.search(r"NV Power Mode: *(\S+)", said)
    return f"power mode {name[1]}" if name else ""


def mode_of(status: str) -> str:
    """Name the power mode that nvpmodel keeps as ``pmode:0002``; empty where it keeps none."""
    found = re.search(r"pmode: *0*(\d+)", status)
    return f"power mode {found[1]}" if found else ""


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""


def this_machine(system: Path = SYSTEM) -> Machine:
    """Look at the machine's files; nothing touches the GPU."""
    devices = ("dev/nvidia[0-9]*", "dev/nvhost-gpu", "dev/nvgpu/igpu0/ctrl")
    l4t = release_of(_read(system / RELEASE_FILE))
    return Machine(
        architecture=MACHINES.get(platform.machine(), platform.machine()),
        has_gpu=any(any(system.glob(device)) for device in devices),
        l4t=l4t,
        board=board_of(_read(system / BOARD_FILE)) if l4t else "",
        jetpack=_jetpack(system, l4t) if l4t else None,
    )


def _jetpack(system: Path, l4t: str) -> JetPack | None:
    """Ask a Jetson for the rest; None without TensorRT's Python module (python3-libnvinfer)."""
    python = system / PYTHON
    try:
        tensorrt = output_of(["dpkg-query", "-W", "-f", "${Version}", "python3-libnvinfer"])
    except ProcessFailed:
        return None
    version = version_of(python)
    if not version:
        return None
    cuda = _cuda(system, tensorrt)
    return JetPack(l4t, python, version, tensorrt, _compute_capability(system), cuda)


def _cuda(system: Path, tensorrt: str) -> str:
    """The version of CUDA that is installed, or else the one that TensorRT is built for."""
    with suppress(ValueError, KeyError, TypeError):
        return str(json.loads(_read(system / CUDA_FILE))["cuda"]["version"])
    return tensorrt.partition("+cuda")[2]


def _compute_capability(system: Path) -> int | None:
    names = _read(system / "proc/device-tree/compatible")
    return next((sm for chip, sm in CHIPS.items() if chip in names), None)
