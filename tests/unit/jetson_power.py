"""The files in which a Jetson tells its power mode and its clocks, in a folder in place of its root.

Values are those of an AGX Orin; paths those of each JetPack.
"""

from collections.abc import Sequence
from pathlib import Path

AGX_ORIN = ("MAXN", "MODE_15W", "MODE_30W", "MODE_50W")
ORIN_NANO_SUPER = ("15W", "25W", "MAXN_SUPER", "7W")
# The device of the GPU in each release, and how the class names it.
PLACES = {
    "xavier": ("sys/devices/17000000.gv11b", "17000000.gv11b"),
    "orin, JetPack 5": ("sys/devices/17000000.ga10b", "17000000.ga10b"),
    "orin, JetPack 6.0": ("sys/devices/platform/17000000.gpu", "17000000.gpu"),
    "orin, JetPack 6.2": ("sys/devices/platform/bus@0/17000000.gpu", "17000000.gpu"),
    "thor": ("sys/devices/platform/bus@0/gpu", "gpu-gpc-0"),
}


def write_mode(system: Path, number: int, names: Sequence[str] = AGX_ORIN) -> None:
    """Let nvpmodel have chosen a mode."""
    (system / "var/lib/nvpmodel").mkdir(parents=True, exist_ok=True)
    (system / "var/lib/nvpmodel/status").write_text(f"pmode:{number:04} fmode:quiet\n")
    modes = [
        f"< POWER_MODEL ID={n} NAME={name} >\nCPU_ONLINE CORE_0 1\n" for n, name in enumerate(names)
    ]
    (system / "etc/nvpmodel").mkdir(parents=True, exist_ok=True)
    file = system / "etc/nvpmodel/nvpmodel_p3701_0000.conf"
    file.write_text(
        "".join(["# < POWER_MODEL ID=9 NAME=MAXN_EXAMPLE >\n", *modes, "< PM_CONFIG DEFAULT=2 >\n"])
    )
    link = system / "etc/nvpmodel.conf"
    link.unlink(missing_ok=True)
    link.symlink_to("nvpmodel/nvpmodel_p3701_0000.conf")


def write_clocks(
    system: Path, *, locked: bool, place: str = "orin, JetPack 6.2", cpus: int = 2
) -> None:
    """Let jetson_clocks be on or off."""
    device, name = PLACES[place]
    gpu = system / device / "devfreq" / name
    _write(
        gpu, min_freq=1300500000 if locked else 306000000, max_freq=1300500000, cur_freq=1300500000
    )
    classes = system / "sys/class/devfreq"
    classes.mkdir(parents=True, exist_ok=True)
    if not (classes / name).exists():
        (classes / name).symlink_to(gpu)
    # Others that have such clocks: the encoder's, and on some kernels the memory's.
    _write(classes / "15340000.vic", min_freq=115200000, max_freq=601600000, cur_freq=115200000)
    for number in range(cpus):
        _write(
            system / f"sys/devices/system/cpu/cpu{number}/cpufreq",
            scaling_min_freq=2201600 if locked else 729600,
            scaling_max_freq=2201600,
            scaling_cur_freq=2201600 if locked else 729600 + number * 76800,
            scaling_governor="schedutil",
        )


def _write(folder: Path, **values: int | str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in values.items():
        (folder / name).write_text(f"{value}\n")
