"""What a machine is, as far as engines depend on it: a Jetson with its JetPack, a GPU."""

import platform
import re
from dataclasses import dataclass
from pathlib import Path

from mmdet_jetson.environments.pythons import version_of
from mmdet_jetson.processes import ProcessFailed, output_of

SYSTEM = Path("/")
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}  # as Linux and as images name them
RELEASE_FILE = "etc/nv_tegra_release"
# As in "# R34 (release), REVISION: 1.1, GCID: 30414990, BOARD: t186ref, EABI: aarch64, DATE: ..."
RELEASE = re.compile(r"R(\d+) \(release\), REVISION: (\d+(?:\.\d+)*)")
PYTHON = "usr/bin/python3"  # the one that JetPack installs TensorRT's module for
# The chips' names in the device tree, and the compute capability of their GPU without its dot.
CHIPS = {"tegra194": 72, "tegra234": 87, "tegra264": 110}


@dataclass(frozen=True)
class JetPack:
    """What a Jetson's own system brings: Jetson Linux, its Python, TensorRT and the GPU."""

    l4t: str
    python: Path
    python_version: str
    tensorrt: str
    sm: int | None

    @property
    def identity(self) -> str:
        """All that an engine built here depends on: no other device may be handed it."""
        return f"l4t{self.l4t}:trt{self.tensorrt}:sm{self.sm or '?'}"


@dataclass(frozen=True)
class Machine:
    """What decides which engines can be built and run on a machine.

    ``architecture`` is as images name it: amd64, arm64. ``l4t`` is the release of Jetson Linux,
    empty on any other machine. In containers an engine is built by what its image brings, else by
    ``jetpack``.
    """

    architecture: str
    has_gpu: bool
    l4t: str = ""
    jetpack: JetPack | None = None
    in_containers: bool = False
    name: str = "this machine"


def release_of(text: str) -> str:
    """The L4T release that ``/etc/nv_tegra_release`` states: "34.1.1", or empty."""
    found = RELEASE.search(text)
    return f"{found[1]}.{found[2]}" if found else ""


def this_machine(system: Path = SYSTEM) -> Machine:
    """Look at the machine's files; nothing touches the GPU."""
    devices = ("dev/nvidia0", "dev/nvhost-gpu", "dev/nvgpu/igpu0/ctrl")
    release = system / RELEASE_FILE
    l4t = release_of(release.read_text(errors="replace")) if release.is_file() else ""
    return Machine(
        architecture=MACHINES.get(platform.machine(), platform.machine()),
        has_gpu=any((system / device).exists() for device in devices),
        l4t=l4t,
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
    return JetPack(l4t, python, version, tensorrt, _compute_capability(system))


def _compute_capability(system: Path) -> int | None:
    tree = system / "proc/device-tree/compatible"
    names = tree.read_bytes().decode(errors="replace") if tree.is_file() else ""
    return next((sm for chip, sm in CHIPS.items() if chip in names), None)
