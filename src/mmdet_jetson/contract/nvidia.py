"""What NVIDIA calls its GPUs and its releases for Jetson, and how versions are compared."""

import re
from dataclasses import dataclass
from typing import Mapping, Optional

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
    "38.2": "7.0",
    "38.4": "7.1",
    "39.2": "7.2",
}


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


def jetpack_of(l4t: str) -> Optional[str]:
    """Name the JetPack with a release of Jetson Linux; None for one that is not known here."""
    return next((jetpack for known, jetpack in JETPACKS.items() if is_version(l4t, known)), None)


def is_version(found: str, needed: str) -> bool:
    """Whether a version is the needed one as far as that goes: 8.4 is also 8.4.0.11, not 8.40."""
    return f"{found}.".startswith(f"{needed}.")
