"""What a device is, as far as an engine depends on it, from the kernel's and the driver's files.

Nothing here opens an engine or leaves a context on the GPU.
"""

import ctypes
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Union

from mmdet_jetson.contract.files import text_of
from mmdet_jetson.contract.nvidia import (
    BOARD_FILE,
    CUDA_FILE,
    DEVICE_TREE,
    FACTS,
    OF_HOST,
    RELEASE_FILE,
    Gpu,
    board_of,
    closed_to_user,
    cuda_of,
    how_to_open,
    is_version,
    jetpack_of,
    release_of,
)
from mmdet_jetson.contract.records import encode
from mmdet_jetson.stages.errors import StageError

ROOT = Path("/")
L4T_RELEASE = ROOT / RELEASE_FILE
BOARD = ROOT / DEVICE_TREE / BOARD_FILE
CUDA_DRIVER = "libcuda.so.1"
DRIVER_VERSION = Path("/sys/module/nvidia/version")
CUDA_VERSIONS = ROOT / CUDA_FILE
# CUdevice_attribute of cuda.h: the two halves of the compute capability.
MAJOR, MINOR = 75, 76
NAME_LENGTH, UUID_LENGTH = 256, 16


@dataclass(frozen=True)
class DeviceFacts:
    """What engines depend on; ``versions`` are those of a backend's libraries, by their names.

    ``sm`` is the GPU's compute capability without its dot (87 for Orin), ``l4t`` the release of a
    Jetson's Linux; each is None where there is none. ``board`` is what a Jetson calls itself.
    """

    sm: Optional[int]
    l4t: Optional[str]
    versions: Mapping[str, str]
    board: str = ""

    def by_name(self) -> Dict[str, Union[int, str, None]]:
        """Give what must be the same where an engine is run, as ``runs_on`` of a passport has it.

        The board need not be: modules of one kind are on many.
        """
        return {"sm": self.sm, "l4t": self.l4t, **self.versions}


def device_facts(versions: Mapping[str, str]) -> DeviceFacts:
    """Tell what engines depend on, on this device."""
    return DeviceFacts(gpu_architecture(), l4t_release(), versions, board_name())


def reported(versions: Mapping[str, str]) -> Dict[str, Optional[str]]:
    """Tell all that a target may ask of its device, each None where the device does not say.

    ``versions`` are those of a backend's libraries.
    """
    sm, l4t = gpu_architecture(), l4t_release()
    return {
        "l4t": l4t,
        "jetpack": jetpack_of(l4t or ""),
        "cuda": cuda_version(),
        "tensorrt": versions.get("tensorrt"),
        "sm": None if sm is None else str(sm),
    }


def check_target(target: str, needs: Mapping[str, str], versions: Mapping[str, str]) -> List[str]:
    """Compare what a target needs with what this device reports; say what cannot be compared.

    Raises:
        StageError: the device contradicts the target.
    """
    if "sm" in needs:
        check_open()
    here, unknown = reported(versions), []
    for fact, needed in needs.items():
        name, found = FACTS[fact], here[fact]
        if found is None:
            unknown.append(f"{name} {needed}")
        elif not is_version(found, needed):
            raise StageError(
                f"target {target!r} needs {name} {needed}, and this device has {name} {found}",
                f"build it on such a device: invoke build-jetson-engine --target {target}; "
                "or correct targets.toml",
            )
    if not unknown:
        return []
    return [f"target {target!r} needs {', '.join(unknown)}: this device does not say what it has"]


def check_open() -> None:
    """Refuse to go on where the GPU cannot be used because its device files are closed.

    Raises:
        StageError: names a file and the groups that may open it.
    """
    closed = closed_to_user(ROOT)
    if closed and gpu_architecture() is None:
        raise StageError(
            f"the GPU cannot be used: {' and '.join(closed[:2])} cannot be opened",
            how_to_open(closed),
        )


def gpu_architecture(library: str = CUDA_DRIVER) -> Optional[int]:
    """Ask the CUDA driver for the first GPU's compute capability; None without driver or GPU."""
    gpu = first_gpu(library)
    return gpu.sm if gpu else None


def first_gpu(library: str = CUDA_DRIVER) -> Optional[Gpu]:
    """Ask the CUDA driver for the GPU that stages would compute on; None without one."""
    try:
        cuda = ctypes.CDLL(library)
    except OSError:
        return None
    device, version = ctypes.c_int(), ctypes.c_int()
    halves = (ctypes.c_int(), ctypes.c_int())
    name = ctypes.create_string_buffer(NAME_LENGTH)
    if cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), 0):
        return None
    for half, attribute in zip(halves, (MAJOR, MINOR)):
        if cuda.cuDeviceGetAttribute(ctypes.byref(half), attribute, device):
            return None
    cuda.cuDeviceGetName(name, NAME_LENGTH, device)
    cuda.cuDriverGetVersion(ctypes.byref(version))
    newest = f"{version.value // 1000}.{version.value % 1000 // 10}"
    return Gpu(
        name=name.value.decode(errors="replace"),
        uuid=_uuid(cuda, device),
        sm=10 * halves[0].value + halves[1].value,
        driver=text_of(DRIVER_VERSION).strip() or f"for CUDA {newest}",
        cuda=newest,
    )


def _uuid(cuda: "ctypes.CDLL", device: ctypes.c_int) -> str:
    """Give a GPU's UUID in hex; empty where the driver has none, as on a Jetson."""
    uuid = ctypes.create_string_buffer(UUID_LENGTH)
    if cuda.cuDeviceGetUuid(uuid, device) or not any(uuid.raw):
        return ""
    return uuid.raw.hex()


def print_gpu() -> None:
    """Print the first GPU as a line of JSON, ``null`` without one: the host side asks this."""
    gpu = first_gpu()
    print(json.dumps(encode(gpu) if gpu else None))


def cuda_version() -> Optional[str]:
    """Tell which CUDA is installed here, or else which one the driver runs; None without either."""
    installed = cuda_of(text_of(CUDA_VERSIONS))
    if installed:
        return installed
    gpu = first_gpu()
    return gpu.cuda if gpu else None


def l4t_release(file: Optional[Path] = None) -> Optional[str]:
    """Read the release of a Jetson's Linux, such as "35.4.1"; None on another machine.

    In a container it is the host's, whatever the image carries of its own.
    """
    return os.environ.get(OF_HOST["l4t"]) or release_of(text_of(file or L4T_RELEASE)) or None


def board_name() -> str:
    """Name the board where there is one, as on a Jetson; in a container its host says which."""
    return os.environ.get(OF_HOST["board"]) or board_of(text_of(BOARD))
