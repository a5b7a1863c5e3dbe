"""Why a PC's GPU is slower than it could be, by NVML: what ``nvidia-smi`` shows, without it.

That program takes tens of milliseconds of a core while something is timed; the library that it asks
is there wherever the driver is.
"""

import ctypes
from typing import Callable, Optional, Tuple

LIBRARY = "libnvidia-ml.so.1"
# nvml.h, nvmlClocksEventReasons: bits, by the names that nvidia-smi has for them. The lowest stands
# for an idle GPU, as it is between two pictures.
IDLE = 0x1
REASONS = {
    0x2: "applications_clocks_setting",
    0x4: "sw_power_cap",
    0x8: "hw_slowdown",
    0x10: "sync_boost",
    0x20: "sw_thermal_slowdown",
    0x40: "hw_thermal_slowdown",
    0x80: "hw_power_brake_slowdown",
    0x100: "display_clock_setting",
}
# Drivers before 535 have the second name alone.
QUESTIONS = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
Ask = Callable[[], Optional[Tuple[str, ...]]]


def throttle_reasons(uuid: str) -> Optional[Ask]:
    """Give what asks why the GPU with a UUID in hex is slowed down; None where nothing tells.

    Loading the library takes far longer than asking, so it is not part of it.
    """
    try:
        nvml = ctypes.CDLL(LIBRARY)
        question = next(getattr(nvml, name) for name in QUESTIONS if hasattr(nvml, name))
    except (OSError, StopIteration):
        return None
    device = ctypes.c_void_p()
    dashed = "-".join((uuid[:8], uuid[8:12], uuid[12:16], uuid[16:20], uuid[20:]))
    name = f"GPU-{dashed}".encode()
    if nvml.nvmlInit_v2() or nvml.nvmlDeviceGetHandleByUUID(name, ctypes.byref(device)):
        return None

    def ask() -> Optional[Tuple[str, ...]]:
        bits = ctypes.c_ulonglong()
        return None if question(device, ctypes.byref(bits)) else named(bits.value)

    return ask


def named(bits: int) -> Tuple[str, ...]:
    """Name the reasons that are set, a new one by its bit."""
    return tuple(
        REASONS.get(1 << place, hex(1 << place))
        for place in range(bits.bit_length())
        if bits & (1 << place) & ~IDLE
    )
