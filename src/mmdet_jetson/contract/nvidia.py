"""What NVIDIA calls its GPUs and its releases for Jetson, where a Jetson's files say what it is.

Both sides read these files, each where it is: the host side on its machine or on a Docker host's, a
stage in its environment. `OF_HOST` is what a container is told, because it cannot see it.
"""

import grp
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable, Iterator, Mapping, Optional, Tuple

# As in "# R34 (release), REVISION: 1.1, GCID: 30414990, BOARD: t186ref, EABI: aarch64, DATE: ..."
RELEASE = re.compile(r"R(\d+) \(release\), REVISION: (\d+(?:\.\d+)*)")
# https://developer.nvidia.com/embedded/jetpack-archive. A release without its last number stands
# for all that have no row of their own. 5.0, 5.0.1 and the one of L4T 36.2 are developer previews.
JETPACKS: Mapping[str, str] = {
    "34.1.0": "5.0",
    "34.1.1": "5.0.1",
    "35.1.0": "5.0.2",
    "35.2.1": "5.1",
    "35.3.1": "5.1.1",
    "35.4.1": "5.1.2",
    "35.5.0": "5.1.3",
    "35.6.0": "5.1.4",
    "35.6.1": "5.1.5",
    "35.6.2": "5.1.5",
    "36.2.0": "6.0",
    "36.3.0": "6.0",
    "36.4.0": "6.1",
    "36.4.3": "6.2",
    "36.4.4": "6.2.1",
    "36.4.7": "6.2.1",
    "36.5": "6.2.2",
    "38.2": "7.0",
    "38.4": "7.1",
    "39.2.1": "7.2.1",
    "39.2": "7.2",
}
OR = " or "

# A Jetson's files, below the root of its file system.
RELEASE_FILE = "etc/nv_tegra_release"
DEVICE_TREE = "proc/device-tree"  # a link to the next, which Docker hides from containers
DEVICE_TREE_FOLDER = "sys/firmware/devicetree/base"
BOARD_FILE = "model"  # of the device tree, as the next
CHIP_FILE = "compatible"
# What comes with CUDA since 11.1: {"cuda": {"name": "CUDA SDK", "version": "11.4.20220427"}, ...}
CUDA_FILE = "usr/local/cuda/version.json"
# The chips' names in the device tree, and the compute capability of their GPU without its dot:
# Xavier, Orin, Thor.
CHIPS = {"tegra194": 72, "tegra234": 87, "tegra264": 110}
# The modules as the device tree's name of a board holds them, and the same of their GPU.
MODULES = {"AGX Xavier": 72, "AGX Orin": 87, "Orin NX": 87, "Orin Nano": 87, "Thor": 110}
# How many deep learning accelerators (DLA) they have at most: an Orin NX of 8 GB has one, which is
# not in its board's name, so there TensorRT is asked.
DLA_CORES = {"AGX Xavier": 2, "AGX Orin": 2, "Orin NX": 2, "Orin Nano": 0, "Thor": 0}
# The same of the GPUs that a release of Jetson Linux is for, by its first number, as the archive
# of JetPack lists them.
LINUX_FOR: Mapping[str, Tuple[int, ...]] = {
    "34": (72, 87),
    "35": (72, 87),
    "36": (87,),
    "38": (110,),
    "39": (87, 110),
}
# Environment variables of a container, for what it depends on its host to say.
OF_HOST = {"l4t": "MMDET_JETSON_HOST_L4T", "board": "MMDET_JETSON_HOST_BOARD"}
# What a target may ask of its device, as a person calls it.
FACTS = {
    "l4t": "Jetson Linux (L4T)",
    "jetpack": "JetPack",
    "cuda": "CUDA",
    "tensorrt": "TensorRT",
    "sm": "compute capability",
}
# The device files that CUDA opens: of a graphics card, whose driver Thor has, too; and of a Jetson
# with JetPack 5, 6 and 7. Beside these lie files that only profilers and debuggers open, and some
# that Orin's driver opens by way of others.
CARD_FILES = ("dev/nvidia[0-9]*", "dev/nvidiactl", "dev/nvidia-uvm")
JETSON_FILES = (
    "dev/nvmap",
    "dev/nvhost-ctrl",
    "dev/nvhost-ctrl-gpu",
    "dev/nvhost-gpu",
    "dev/nvhost-as-gpu",
    "dev/nvhost-tsg-gpu",
    "dev/nvgpu/igpu0/ctrl",
    "dev/host1x-fence",
    "dev/dri/renderD*",
)
NVMAP = "dev/nvmap"  # the allocator of memory that every Jetson has
ORINS_DRIVER = ("dev/nvgpu/igpu0/ctrl", "dev/nvhost-gpu")  # and Xavier's


@dataclass(frozen=True)
class Gpu:
    """The first GPU that programs see: ``CUDA_VISIBLE_DEVICES`` may put another one in front.

    ``sm`` is the compute capability without its dot, as 87; ``driver`` the version of the kernel's
    driver, or else the newest CUDA that it runs; ``cuda`` that CUDA, as "12.2". ``uuid`` is empty
    where a GPU has none.
    """

    name: str
    uuid: str
    sm: int
    driver: str
    cuda: str

    @property
    def identity(self) -> str:
        """What an engine that is built or run on it depends on.

        TensorRT chooses by the measured speed of this very model, and a new driver may compute in
        another order.
        """
        return f"{self.name}:sm{self.sm}:driver {self.driver}"


def release_of(text: str) -> str:
    """The L4T release that ``/etc/nv_tegra_release`` states: "34.1.1", or empty."""
    found = RELEASE.search(text)
    return f"{found[1]}.{found[2]}" if found else ""


def board_of(model: str) -> str:
    """Name the board by what its device tree says: "NVIDIA Jetson AGX Orin Developer Kit"."""
    return model.strip("\0 \n")


def sm_of(compatible: str) -> Optional[int]:
    """Tell the compute capability of the chip that a device tree names; None for no known one."""
    return next((sm for chip, sm in CHIPS.items() if chip in compatible), None)


def cuda_of(versions: str) -> Optional[str]:
    """Read the version of CUDA in its ``version.json``; None where it states none."""
    try:
        return str(json.loads(versions)["cuda"]["version"])
    except (ValueError, KeyError, TypeError):
        return None


def jetpack_of(l4t: str) -> Optional[str]:
    """Name the JetPack with a release of Jetson Linux; None for one that is not known here."""
    return next((jetpack for known, jetpack in JETPACKS.items() if is_version(l4t, known)), None)


def jetpacks_of(l4t: str) -> Tuple[str, ...]:
    """Name every known JetPack whose release of Jetson Linux is this one: "36.4" is any 36.4.x."""
    exact = jetpack_of(l4t)
    longer = (jetpack for known, jetpack in JETPACKS.items() if is_version(known, l4t))
    return tuple(dict.fromkeys((*([exact] if exact else []), *longer)))


def module_of(board: str) -> Optional[str]:
    """Tell the module by what a board is called; None for a board that names none."""
    return next((module for module in MODULES if module in board), None)


def lacks_dla(board: str, core: int) -> str:
    """Say how a board or module lacks the DLA of this number: "has no DLA".

    Empty where it may have it, as a board that names no module.
    """
    module = module_of(board)
    if module is None or core < DLA_CORES[module]:
        return ""
    return f"has DLA 0 to {DLA_CORES[module] - 1} only" if DLA_CORES[module] else "has no DLA"


def is_version(found: str, needed: str) -> bool:
    """Whether a version is the needed one as far as that goes: 8.4 is also 8.4.0.11, not 8.40.

    Several that will do have `OR` between them, as in "36.4 or 36.5".
    """
    return any(f"{found}.".startswith(f"{each}.") for each in needed.split(OR))


def gpu_files(root: Path = Path("/")) -> Iterator[Path]:
    """Yield the device files of this machine's GPU that CUDA opens, as far as there are any."""
    has_orins = any((root / file).exists() for file in ORINS_DRIVER)
    on_jetson = JETSON_FILES if has_orins or (root / NVMAP).exists() else ()
    # Beside Orin's driver a card's serves the display alone.
    for pattern in (*on_jetson, *(() if has_orins else CARD_FILES)):
        yield from sorted(root.glob(pattern))


def closed_to_user(root: Path = Path("/")) -> Tuple[str, ...]:
    """Name the GPU's device files that this process may not both read and write.

    Until it may, ``cuInit`` fails, and TensorRT tells nothing of the reason.
    """
    return tuple(str(file) for file in gpu_files(root) if not os.access(file, os.R_OK | os.W_OK))


def groups_of(paths: Iterable[str]) -> Tuple[str, ...]:
    """Name the groups that files belong to, each by its number where it has no name here.

    root's own group is left out: nobody should join it.
    """
    numbers = dict.fromkeys(Path(path).stat().st_gid for path in paths)
    return tuple(_group_name(number) for number in numbers if number)


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def how_to_open(paths: Iterable[str]) -> str:
    """Say how a user gets to open device files that are closed to it."""
    groups = ",".join(groups_of(paths))
    if not groups:
        return "they belong to root alone: reinstall the driver, whose udev rules hand them out"
    return f"sudo usermod -aG {groups} $USER, log out and in again"
