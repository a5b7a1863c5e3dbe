"""What a machine is, as far as engines depend on it: a Jetson with its JetPack, a GPU."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from mmdet_jetson.contract.files import text_of
from mmdet_jetson.contract.nvidia import (
    BOARD_FILE,
    CARD_FILES,
    CHIP_FILE,
    CUDA_FILE,
    DEVICE_TREE,
    ORINS_DRIVER,
    RELEASE_FILE,
    board_of,
    closed_to_user,
    cuda_of,
    release_of,
    sm_of,
)
from mmdet_jetson.contract.power import GOVERNOR_FILE, clocks, power_modes
from mmdet_jetson.environments.pythons import version_of
from mmdet_jetson.processes import ProcessFailed, output_of

SYSTEM = Path("/")
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}  # as Linux and as images name them
PYTHON = "usr/bin/python3"  # the one that JetPack installs TensorRT's module for


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
    ``board`` what a Jetson calls itself, empty on any other machine; ``sm`` is the compute
    capability of its GPU, None where nothing tells it. In containers an engine is built by what its
    image brings, else by ``jetpack``. ``closed`` are device files of the GPU that this user may not
    open.
    """

    architecture: str
    has_gpu: bool
    l4t: str = ""
    board: str = ""
    jetpack: JetPack | None = None
    in_containers: bool = False
    name: str = "this machine"
    sm: int | None = None
    closed: tuple[str, ...] = ()


def cpu_name(system: Path = SYSTEM) -> str:
    """Name the processor and the number of cores that programs started here may use."""
    lines = text_of(system / "proc/cpuinfo").splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.machine()} x {len(os.sched_getaffinity(0))}"


def power_mode(system: Path = SYSTEM) -> str:
    """Tell how fast the machine lets itself be; empty where it does not say.

    A Jetson has modes of its power budget, and any machine a governor of its CPUs' clocks. Nothing
    here is remembered: somebody may change it while a profile is taken.
    """
    governor = text_of(system / GOVERNOR_FILE).strip()
    modes, found = power_modes(system), clocks(system)
    told = (
        f"governor {governor}" if governor else "",
        f"power mode {modes.now}" if modes else "",
        "clocks locked" if found and found.are_locked else "",
    )
    return ":".join(filter(None, told))


def this_machine(system: Path = SYSTEM) -> Machine:
    """Look at the machine's files; nothing touches the GPU."""
    devices = (CARD_FILES[0], *ORINS_DRIVER)
    l4t, tree = release_of(text_of(system / RELEASE_FILE)), system / DEVICE_TREE
    sm = sm_of(text_of(tree / CHIP_FILE)) if l4t else None
    return Machine(
        architecture=MACHINES.get(platform.machine(), platform.machine()),
        has_gpu=any(any(system.glob(device)) for device in devices),
        l4t=l4t,
        board=board_of(text_of(tree / BOARD_FILE)) if l4t else "",
        jetpack=_jetpack(system, l4t, sm) if l4t else None,
        sm=sm,
        closed=closed_to_user(system),
    )


def _jetpack(system: Path, l4t: str, sm: int | None) -> JetPack | None:
    """Ask a Jetson for the rest; None without TensorRT's Python module (python3-libnvinfer)."""
    python = system / PYTHON
    try:
        tensorrt = output_of(["dpkg-query", "-W", "-f", "${Version}", "python3-libnvinfer"])
    except ProcessFailed:
        return None
    version = version_of(python)
    if not version:
        return None
    # TensorRT's package names the CUDA that it was built with, which need not be the installed one:
    # that of JetPack 6.2 says 12.5, and its CUDA is 12.6.
    cuda = cuda_of(text_of(system / CUDA_FILE)) or ""
    return JetPack(l4t, python, version, tensorrt, sm, cuda)
