"""What this machine is, as far as engines depend on it: a Jetson with its JetPack, a GPU."""

import re
from dataclasses import dataclass
from pathlib import Path

from mmdet_jetson.processes import ProcessFailed, output_of

SYSTEM = Path("/")
PYTHON = "usr/bin/python3"  # the one that JetPack installs TensorRT's module for
# The chips' names in the device tree, and the compute capability of their GPU without its dot.
CHIPS = {"tegra194": 72, "tegra234": 87, "tegra264": 110}
VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"


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
    """What decides which engines can be built and run here."""

    jetpack: JetPack | None
    has_gpu: bool


def this_machine(system: Path = SYSTEM) -> Machine:
    """Look at the machine's files; nothing touches the GPU."""
    jetpack = _jetpack(system)
    devices = ("dev/nvidia0", "dev/nvhost-gpu", "dev/nvgpu/igpu0/ctrl")
    return Machine(jetpack, any((system / device).exists() for device in devices))


def _jetpack(system: Path) -> JetPack | None:
    """Read the release file of Jetson Linux, and ask for the rest; None on any other machine.

    A Jetson without TensorRT's Python module (package python3-libnvinfer) counts as none.
    """
    release = system / "etc/nv_tegra_release"
    text = release.read_text(errors="replace") if release.is_file() else ""
    found = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", text)
    if not found:
        return None
    python = system / PYTHON
    try:
        tensorrt = output_of(["dpkg-query", "-W", "-f", "${Version}", "python3-libnvinfer"])
        version = output_of([str(python), "-c", VERSION])
    except ProcessFailed:
        return None
    return JetPack(f"{found[1]}.{found[2]}", python, version, tensorrt, _architecture(system))


def _architecture(system: Path) -> int | None:
    tree = system / "proc/device-tree/compatible"
    names = tree.read_bytes().decode(errors="replace") if tree.is_file() else ""
    return next((sm for chip, sm in CHIPS.items() if chip in names), None)
