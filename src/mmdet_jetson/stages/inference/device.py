"""What a device is, as far as an engine depends on it, from the kernel's and the driver's files.

Nothing here opens an engine or leaves a context on the GPU.
"""

import ctypes
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Mapping, Optional, Union

# NVIDIA's name for its Linux on Jetson (L4T), one line: "# R35 (release), REVISION: 4.1, ..."
L4T_RELEASE = Path("/etc/nv_tegra_release")
CUDA_DRIVER = "libcuda.so.1"
# CUdevice_attribute of cuda.h: the two halves of the compute capability.
MAJOR, MINOR = 75, 76


@dataclass(frozen=True)
class DeviceFacts:
    """What engines depend on; ``versions`` are those of a backend's libraries, by their names.

    ``sm`` is the GPU's compute capability without its dot (87 for Orin), ``l4t`` the release of a
    Jetson's Linux; each is None where there is none.
    """

    sm: Optional[int]
    l4t: Optional[str]
    versions: Mapping[str, str]

    def by_name(self) -> Dict[str, Union[int, str, None]]:
        """Give all facts, as the ``runs_on`` of a passport names them."""
        return {"sm": self.sm, "l4t": self.l4t, **self.versions}


def device_facts(versions: Mapping[str, str]) -> DeviceFacts:
    """Tell what engines depend on, on this device."""
    return DeviceFacts(gpu_architecture(), l4t_release(), versions)


def gpu_architecture(library: str = CUDA_DRIVER) -> Optional[int]:
    """Ask the CUDA driver for the first GPU's compute capability; None without driver or GPU."""
    try:
        cuda = ctypes.CDLL(library)
    except OSError:
        return None
    device, halves = ctypes.c_int(), (ctypes.c_int(), ctypes.c_int())
    if cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), 0):
        return None
    for half, attribute in zip(halves, (MAJOR, MINOR)):
        if cuda.cuDeviceGetAttribute(ctypes.byref(half), attribute, device):
            return None
    return 10 * halves[0].value + halves[1].value


def l4t_release(file: Optional[Path] = None) -> Optional[str]:
    """Read the release of a Jetson's Linux, such as "35.4.1"; None on another machine."""
    try:
        text = (file or L4T_RELEASE).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", text)
    return f"{found[1]}.{found[2]}" if found else None
