"""Jetsons as their files show them: recorded from public listings, but for what a test changes."""

from collections.abc import Mapping
from dataclasses import dataclass

TREE = "/sys/firmware/devicetree/base"


@dataclass(frozen=True)
class Recorded:
    """``devices`` are device files and the number of the group that may open each of them.

    Those numbers are a host's own: ``video`` is 44 on Ubuntu, ``render`` whatever was free.
    """

    release: bytes
    model: bytes
    compatible: bytes
    kernel: str
    devices: Mapping[str, int]

    @property
    def files(self) -> dict[str, bytes]:
        """All that is read of it, by its path."""
        return {
            "/etc/nv_tegra_release": self.release,
            f"{TREE}/model": self.model,
            f"{TREE}/compatible": self.compatible,
            **dict.fromkeys(self.devices, b""),
        }


XAVIER = Recorded(
    b"# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref, EABI: aarch64, DATE: x\n",
    b"Jetson AGX Xavier\0",
    b"nvidia,p2972-0000\0nvidia,tegra194\0",
    "5.10.120-tegra",
    {
        "/dev/nvmap": 44,
        "/dev/nvhost-ctrl-gpu": 44,
        "/dev/nvhost-gpu": 44,
        "/dev/nvhost-prof-gpu": 0,
    },
)
ORIN = Recorded(
    b"# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: x\n",
    b"NVIDIA Jetson Orin NX Engineering Reference Developer Kit\0",
    b"nvidia,p3768-0000+p3767-0000\0nvidia,p3767-0000\0nvidia,tegra234\0",
    "5.15.148-tegra",
    {
        "/dev/nvmap": 44,
        "/dev/nvgpu/igpu0/ctrl": 90104,
        "/dev/nvgpu/igpu0/prof": 0,
        "/dev/dri/card0": 99999,
        "/dev/dri/renderD128": 90104,
        "/dev/nvhost-gpu": 44,
    },
)
THOR = Recorded(
    b"# R38 (release), REVISION: 4.0, GCID: 43443517, BOARD: generic, EABI: aarch64, DATE: x\n",
    b"NVIDIA Jetson AGX Thor Developer Kit\0",
    b"nvidia,p4071-0000+p3834-0008\0nvidia,tegra264\0",
    "6.8.12-tegra",
    {"/dev/nvmap": 44, "/dev/nvidia0": 992, "/dev/nvidiactl": 992, "/dev/dri/renderD128": 993},
)
