"""What machines tell of their clocks, heat and alarms in files: trees that are laid out below a root.

Names and layouts are those of the drivers' sources (soctherm_oc: oc1_event_cnt of tegra234,
oc1_irq_cnt of tegra194), of device trees (trip points) and of listings that users of each board made
public; no device was at hand. Each tree is of a cool machine with locked clocks in its strongest
mode; `throttled` and its like say what is different on another.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

Tree = Mapping[str, str]
THERMAL, HWMON = "sys/class/thermal", "sys/class/hwmon"
BPMP_EMC = "sys/kernel/debug/bpmp/debug/clk/emc"
ALERTS = tuple(f"{part}-throttle-alert" for part in ("cpu", "gpu", "soc0"))


def lay_out(root: Path, *trees: Tree) -> Path:
    """Write trees into a root, the later over the earlier; give the root."""
    for path, content in {path: text for tree in trees for path, text in tree.items()}.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{content}\n")
    return root


def mode(number: int, names: Sequence[str]) -> Tree:
    table = "\n".join(f"< POWER_MODEL ID={n} NAME={name} >" for n, name in enumerate(names))
    return {
        "var/lib/nvpmodel/status": f"pmode:{number:04} fmode:quiet",
        "etc/nvpmodel.conf": f"{table}\n< PM_CONFIG DEFAULT=2 >",
    }


def cpus(count: int, least: int, most: int, now: int, governor: str = "schedutil") -> Tree:
    return {
        f"sys/devices/system/cpu/cpu{n}/cpufreq/scaling_{name}": str(value)
        for n in range(count)
        for name, value in {
            "min_freq": least, "max_freq": most, "cur_freq": now, "governor": governor,
        }.items()
    }  # fmt: skip


def devfreq(name: str, least: int, most: int, now: int) -> Tree:
    folder = f"sys/class/devfreq/{name}"
    return {f"{folder}/min_freq": str(least), f"{folder}/max_freq": str(most),
            f"{folder}/cur_freq": str(now)}  # fmt: skip


def zones(*named: tuple[str, int | None, Mapping[str, int]]) -> Tree:
    """Each with its temperature in m°C and its trip points by type; None is one that is off."""
    tree: dict[str, str] = {}
    for number, (name, temperature, trips) in enumerate(named):
        folder = f"{THERMAL}/thermal_zone{number}"
        tree[f"{folder}/type"] = name
        if temperature is not None:
            tree[f"{folder}/temp"] = str(temperature)
        for place, (kind, trip) in enumerate(trips.items()):
            tree[f"{folder}/trip_point_{place}_type"] = kind
            tree[f"{folder}/trip_point_{place}_temp"] = str(trip)
    return tree


def cooling(*named: tuple[str, int]) -> Tree:
    return {
        f"{THERMAL}/cooling_device{number}/{file}": str(value)
        for number, (name, state) in enumerate(named)
        for file, value in (("type", name), ("cur_state", state))
    }


def hwmon(number: int, name: str, **files: int | str) -> Tree:
    folder = f"{HWMON}/hwmon{number}"
    return {f"{folder}/name": name, **{f"{folder}/{file}": str(v) for file, v in files.items()}}


def alarms(number: int, *counts: int, kind: str = "event") -> Tree:
    files: dict[str, int] = {}
    for place, count in enumerate(counts, 1):
        files[f"oc{place}_{kind}_cnt"] = count
        files[f"oc{place}_throt_en" if kind == "event" else f"oc{place}_priority"] = 1
    return hwmon(number, "soctherm_oc", **files)


_SOC = {"critical": 104500, "hot": 103500, "passive": 99000}
_FAN = {"active": 35000, "critical": 105000}

# JetPack 6.2. The CV cluster is off, so its zones cannot be read. tj has no passive trip.
AGX_ORIN_MODES = ("MAXN", "MODE_15W", "MODE_30W", "MODE_50W")
AGX_ORIN: Tree = {
    **mode(0, AGX_ORIN_MODES),
    **cpus(12, 2201600, 2201600, 2201600),
    **devfreq("17000000.gpu", 1300500000, 1300500000, 1300500000),
    **devfreq("15340000.vic", 115200000, 601600000, 115200000),
    **zones(
        ("cpu-thermal", 51031, _SOC), ("gpu-thermal", 46562, _SOC), ("cv0-thermal", None, _SOC),
        ("soc0-thermal", 47406, _SOC), ("tj-thermal", 51031, _FAN), ("tboard-thermal", 38000, {}),
    ),
    **cooling(
        ("cpufreq-cpu0", 0), ("pwm-fan", 2), *((alert, 0) for alert in ALERTS),
        ("hot-surface-alert", 0), ("devfreq-17000000.gpu", 0),
    ),
    **hwmon(0, "ina3221", in1_label="VDD_GPU_SOC", in1_input=19808),
    **hwmon(1, "pwmfan", pwm1=88),
    **hwmon(2, "pwm_tach", rpm=1820),
    **alarms(3, 0, 4, 27390),
    f"{BPMP_EMC}/rate": "3199000000",
    f"{BPMP_EMC}/min_rate": "204000000",
    f"{BPMP_EMC}/max_rate": "3199000000",
    f"{BPMP_EMC}/mrq_rate_locked": "1",
    "sys/kernel/nvpmodel_clk_cap/emc": "0",
}  # fmt: skip

# JetPack 5.1: other names of the GPU and of the zones, a PMIC that is always 100 °C, six alarms
# that are counted under another name, and a sensor that reads -256 where it is off.
AGX_XAVIER_MODES = ("MAXN", "MODE_10W", "MODE_15W", "MODE_30W_ALL")
AGX_XAVIER: Tree = {
    **mode(0, AGX_XAVIER_MODES),
    **cpus(8, 2265600, 2265600, 2265600),
    **devfreq("17000000.gv11b", 1377000000, 1377000000, 1377000000),
    **zones(
        ("CPU-therm", 44500, {"passive": 86000, "critical": 96500}),
        ("GPU-therm", 43500, {"passive": 88000, "critical": 98500}),
        ("AUX-therm", -256000, {"passive": 82000}),
        ("PMIC-Die", 100000, {"hot": 100000, "critical": 120000}),
        ("Tboard_tegra", 42000, {"critical": 107000}),
        ("thermal-fan-est", 43700, {"active": 50000}),
    ),
    **cooling(("pwm-fan", 1), *((alert, 0) for alert in ALERTS)),
    **hwmon(0, "pwmfan", pwm1=77),
    **alarms(4, 0, 0, 12, 0, 0, 0, kind="irq"),
}  # fmt: skip

# JetPack 7: the memory is a devfreq that anybody may read, and the cooling device of the GPU is at
# work at all times, so that only alerts tell of throttling.
AGX_THOR_MODES = ("MAXN", "120W", "90W", "70W")
AGX_THOR: Tree = {
    **mode(0, AGX_THOR_MODES),
    **cpus(14, 2601000, 2601000, 2601000, "performance"),
    **devfreq("gpu-gpc-0", 1575000000, 1575000000, 1575000000),
    **devfreq("gpu-nvd-0", 1692000000, 1692000000, 1692000000),
    **devfreq("bwmgr", 4266000000, 4266000000, 4266000000),
    **zones(
        ("cpu-thermal", 52000, {"critical": 114500, "passive": 109000}),
        ("gpu-thermal", None, {"critical": 114500, "passive": 109000}),
        ("tj-thermal", 54500, {"critical": 114500}),
    ),
    **cooling(("pwm-fan", 0), *((alert, 0) for alert in ALERTS), ("devfreq-gpu-gpc-0", 18)),
    **hwmon(1, "pwm_tach", rpm=2140),
    **alarms(5, 0, 8, 813),
}  # fmt: skip

# Zones of one name, a trip that is not set, and a fan that nobody asks for.
PC: Tree = {
    **cpus(4, 800000, 4200000, 3900000, "powersave"),
    **zones(
        ("acpitz", 27800, {"critical": 105000}), ("acpitz", 29800, {"critical": 105000}),
        ("x86_pkg_temp", 61000, {"passive": -274000, "critical": 100000}),
    ),
    **cooling(("Processor", 0), ("intel_powerclamp", -1)),
    **hwmon(0, "nct6775", fan1_input=900, pwm1=120),
}  # fmt: skip


def unlocked(tree: Tree) -> Tree:
    """As without ``jetson_clocks``."""
    low = {path: "306000000" for path in tree if path.endswith(("gpu/min_freq", "gv11b/min_freq"))}
    cpu = {path: "729600" for path in tree if path.endswith("scaling_min_freq")}
    return {**low, **cpu, f"{BPMP_EMC}/mrq_rate_locked": "0"}


def throttled(clock: str = "17000000.gpu") -> Tree:
    """A GPU whose locked clock is lowered, with the alert that says so."""
    return {
        f"sys/class/devfreq/{clock}/cur_freq": "918000000",
        f"{THERMAL}/cooling_device3/cur_state": "1",
    }


def hot(millidegrees: int = 97500) -> Tree:
    """The first zone at a temperature."""
    return {f"{THERMAL}/thermal_zone0/temp": str(millidegrees)}
