"""What is seen of a machine while an engine is timed, on trees of files as each machine has them."""

import os
from pathlib import Path

import pytest
from machine_trees import (
    AGX_ORIN,
    AGX_ORIN_MODES,
    AGX_THOR,
    AGX_XAVIER,
    HWMON,
    PC,
    THERMAL,
    Tree,
    alarms,
    hot,
    lay_out,
    mode,
    throttled,
    unlocked,
)

from mmdet_jetson.contract.conditions import (
    JETSON,
    ClockRange,
    Conditions,
    Flaw,
    Limits,
    Temperature,
    conditions_told,
    flaws,
)
from mmdet_jetson.stages.inference.conditions import Watch


def seen(root: Path, *later: Tree, wanted: str | None = None, l4t: str = "") -> Conditions:
    """Look at a tree, and once more after each change."""
    watch = Watch(root, l4t=l4t)
    watch.look()
    for tree in later or ({},):
        lay_out(root, tree)
        watch.look()
    return watch.conditions(wanted, seconds=600.0, others=0.02, drift=0.01)


def spoiled(found: Conditions, **limits: float) -> list[str]:
    return [flaw.of for flaw in flaws(found, Limits(**limits))]  # type: ignore[arg-type]


def test_an_orin_that_is_cool_and_locked(tmp_path: Path) -> None:
    lay_out(tmp_path, AGX_ORIN)

    found = seen(tmp_path, {f"{THERMAL}/thermal_zone0/temp": "53500", **alarms(3, 0, 4, 27402)})

    assert (found.kind, found.looks, found.seconds) == ("jetson", 2, 600.0)
    assert (found.power_modes, found.wanted_power_mode) == (("MAXN",), "MAXN")
    fixed = 1_300_500_000
    assert found.clocks["gpu"] == ClockRange(fixed, fixed, fixed, fixed)
    assert found.clocks["memory"] == ClockRange(*[3_199_000_000] * 4)
    assert found.clocks["cpu11"] == ClockRange(*[2_201_600_000] * 4)
    assert len(found.clocks) == 14  # neither the video unit's
    assert found.temperatures == {
        "cpu-thermal": Temperature(53.5, 99.0),
        "gpu-thermal": Temperature(46.562, 99.0),
        "soc0-thermal": Temperature(47.406, 99.0),
        "tj-thermal": Temperature(51.031, None),
        "tboard-thermal": Temperature(38.0, None),
    }
    assert found.over_current == {"oc1": 0, "oc2": 0, "oc3": 12}  # not since it was started
    assert (found.fan, found.governors) == ((1820, 1820), ("schedutil",))
    assert (found.throttle_reasons, found.others, found.drift) == ((), 0.02, 0.01)
    assert flaws(found) == ()


def test_a_xavier_has_other_names(tmp_path: Path) -> None:
    lay_out(tmp_path, AGX_XAVIER)

    found = seen(tmp_path, alarms(4, 0, 1, 15, kind="irq"))

    assert found.temperatures == {
        "CPU-therm": Temperature(44.5, 86.0),
        "GPU-therm": Temperature(43.5, 88.0),
        "Tboard_tegra": Temperature(42.0, None),
        "thermal-fan-est": Temperature(43.7, None),
    }
    assert found.clocks["gpu"].most == 1_377_000_000
    assert "memory" not in found.clocks  # which is told to root alone
    assert found.fan == (77, 77)
    assert found.over_current == {"oc1": 0, "oc2": 1, "oc3": 3, "oc4": 0, "oc5": 0, "oc6": 0}
    assert spoiled(found) == ["over-current"]


def test_a_thor_tells_anybody_of_its_memory(tmp_path: Path) -> None:
    lay_out(tmp_path, AGX_THOR)

    found = seen(tmp_path, {f"{HWMON}/hwmon1/rpm": "2300"})

    assert found.clocks["gpu"] == ClockRange(*[1_575_000_000] * 4)
    assert found.clocks["memory"] == ClockRange(*[4_266_000_000] * 4)
    assert set(found.temperatures) == {"cpu-thermal", "tj-thermal"}
    assert found.fan == (2140, 2300)
    assert found.throttle_reasons == ()  # of cooling devices only alerts tell of throttling
    assert flaws(found) == ()


def test_clocks_that_are_not_locked(tmp_path: Path) -> None:
    lay_out(tmp_path, AGX_ORIN, unlocked(AGX_ORIN))

    found = seen(tmp_path, {"sys/class/devfreq/17000000.gpu/cur_freq": "612000000"})

    (flaw,) = flaws(found)
    assert flaw == Flaw(
        "clocks",
        "the clocks were not locked: gpu 306 to 1300 MHz, at 612 to 1300, memory 204 to 3199 MHz, "
        "at 3199, 12 cpus 730 to 2202 MHz, at 2202 (sudo jetson_clocks)",
    )
    assert flaws(found, Limits(locked_clocks=False)) == ()


@pytest.mark.parametrize("loose", ["gpu", "memory", "cpu"])
def test_one_clock_is_enough(loose: str, tmp_path: Path) -> None:
    files = {
        "gpu": {"sys/class/devfreq/17000000.gpu/min_freq": "306000000"},
        "memory": {"sys/kernel/debug/bpmp/debug/clk/emc/mrq_rate_locked": "0"},
        "cpu": {"sys/devices/system/cpu/cpu7/cpufreq/scaling_min_freq": "729600"},
    }
    lay_out(tmp_path, AGX_ORIN, files[loose])
    assert spoiled(seen(tmp_path)) == ["clocks"]


def test_clocks_that_were_unlocked_meanwhile(tmp_path: Path) -> None:
    lay_out(tmp_path, AGX_ORIN)
    assert spoiled(seen(tmp_path, unlocked(AGX_ORIN), AGX_ORIN)) == ["clocks"]


def test_the_memory_is_capped_by_the_power_mode(tmp_path: Path) -> None:
    lay_out(tmp_path, AGX_ORIN, unlocked(AGX_ORIN))
    lay_out(tmp_path, {"sys/kernel/nvpmodel_clk_cap/emc": "2133000000"})
    assert seen(tmp_path).clocks["memory"].most == 2_133_000_000


def test_a_gpu_that_is_throttled_between_two_looks(tmp_path: Path) -> None:
    lay_out(tmp_path, AGX_ORIN)

    found = seen(tmp_path, throttled(), AGX_ORIN)

    assert [flaw.sentence for flaw in flaws(found)] == [
        "locked clocks were slowed down: gpu 1300 MHz, seen at 918 to 1300 (cool it)",
        "it was throttled: gpu-throttle-alert (cool it, or give it power)",
    ]


def test_a_thermal_cap_on_locked_clocks_unlocks_them(tmp_path: Path) -> None:
    """The kernel lowers the highest clock then, and the lowest with it."""
    lay_out(tmp_path, AGX_ORIN)
    capped = {
        f"sys/class/devfreq/17000000.gpu/{name}_freq": "918000000" for name in ("min", "max", "cur")
    }
    assert spoiled(seen(tmp_path, capped)) == ["clocks"]


@pytest.mark.parametrize(
    ("millidegrees", "margin", "is_hot"),
    [(97500, 5, True), (94001, 5, True), (94000, 5, False), (94001, 4, False), (85000, 15, True)],
)
def test_a_machine_that_is_hot(
    millidegrees: int, margin: float, is_hot: bool, tmp_path: Path
) -> None:
    lay_out(tmp_path, AGX_ORIN)

    found = seen(tmp_path, hot(millidegrees), AGX_ORIN)

    assert spoiled(found, trip_margin=margin) == ["heat"] * is_hot


def test_the_sentence_about_heat_names_the_zone(tmp_path: Path) -> None:
    lay_out(tmp_path, AGX_ORIN, hot())
    (flaw,) = flaws(seen(tmp_path))
    assert flaw.sentence == (
        "it was less than 5 K from being throttled: cpu-thermal 98 of 99 °C (cool it)"
    )


@pytest.mark.parametrize(
    ("number", "wanted", "words"),
    [
        (2, None, "was MODE_30W, and MAXN is wanted"),
        (2, "MODE_30W", None),
        (0, "MODE_30W", "was MAXN, and MODE_30W is wanted"),
        (9, None, "was 9, and MAXN is wanted"),
    ],
)
def test_another_power_mode(
    number: int, wanted: str | None, words: str | None, tmp_path: Path
) -> None:
    lay_out(tmp_path, AGX_ORIN, mode(number, AGX_ORIN_MODES))

    found = flaws(seen(tmp_path, wanted=wanted))

    assert [flaw.of for flaw in found] == ["power mode"] * bool(words)
    assert all(words and words in flaw.sentence for flaw in found)


def test_a_power_mode_that_changed_meanwhile(tmp_path: Path) -> None:
    lay_out(tmp_path, AGX_ORIN)
    found = seen(tmp_path, mode(3, AGX_ORIN_MODES), AGX_ORIN)
    assert found.power_modes == ("MAXN", "MODE_50W")
    assert "was MAXN and then MODE_50W, and MAXN is wanted" in flaws(found)[0].sentence


@pytest.mark.parametrize("alarm", [1, 2])
def test_an_alarm_that_slows_down_spoils_a_profile(alarm: int, tmp_path: Path) -> None:
    lay_out(tmp_path, AGX_ORIN)
    counts = [0, 4, 27390]
    counts[alarm - 1] += 2
    found = seen(tmp_path, alarms(3, *counts))
    assert [flaw.sentence for flaw in flaws(found)] == [
        f"over-current alarms slowed it down: oc{alarm} 2 times (a stronger power supply)"
    ]


def test_a_jetson_without_such_files_is_not_known(tmp_path: Path) -> None:
    found = seen(tmp_path, l4t="35.4.1")
    assert (found.kind, found.clocks, found.temperatures) == ("jetson", {}, {})
    assert (found.over_current, found.fan, found.throttle_reasons) == ({}, None, None)
    assert spoiled(found) == ["power mode", "clocks", "over-current", "heat"]
    assert not any(flaw.is_known for flaw in flaws(found))


def test_alarms_that_cannot_be_read_twice_are_not_known(tmp_path: Path) -> None:
    lay_out(tmp_path, {path: text for path, text in AGX_ORIN.items() if "hwmon3" not in path})
    (flaw,) = flaws(seen(tmp_path))
    assert flaw == Flaw(
        "over-current", "no file tells the alarms oc1 and oc2 of soctherm_oc", is_known=False
    )


def test_a_pc(tmp_path: Path) -> None:
    lay_out(tmp_path, PC)

    found = seen(tmp_path, {"sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "3700000"})

    assert (found.kind, found.power_modes, found.wanted_power_mode) == ("pc", (), None)
    assert found.clocks["cpu0"] == ClockRange(
        800_000_000, 4_200_000_000, 3_700_000_000, 3_900_000_000
    )
    assert found.temperatures == {
        "acpitz": Temperature(27.8, None),
        "acpitz 2": Temperature(29.8, None),
        "x86_pkg_temp": Temperature(61.0, None),
    }
    assert (found.fan, found.governors, found.over_current) == (None, ("powersave",), {})
    assert found.throttle_reasons is None
    assert flaws(found) == ()


def test_a_machine_without_any_file_is_a_pc_of_which_nothing_is_known(tmp_path: Path) -> None:
    found = seen(tmp_path)
    assert found == Conditions("pc", looks=2, seconds=600.0, others=0.02, drift=0.01)
    assert flaws(found) == ()
    assert set(conditions_told(found)) == {"looked at", "other processes", "drift"}


def test_a_zone_that_asks_to_try_again_is_left_out(tmp_path: Path) -> None:
    """Python's own files make a `TypeError` of such an answer."""
    lay_out(tmp_path, AGX_ORIN)
    pipe = tmp_path / THERMAL / "thermal_zone2/temp"
    os.mkfifo(pipe)
    held = os.open(pipe, os.O_RDWR)
    try:
        found = seen(tmp_path)
    finally:
        os.close(held)
    assert "cv0-thermal" not in found.temperatures
    assert flaws(found) == ()


def test_why_a_gpu_is_throttled_is_asked_at_every_look(tmp_path: Path) -> None:
    said = iter([(), ("sw_power_cap",), None, ("hw_slowdown", "applications_clocks_setting")])
    watch = Watch(lay_out(tmp_path, PC), gpu=lambda: next(said))
    for _ in range(4):
        watch.look()

    found = watch.conditions(None, seconds=2.0, others=0.0, drift=0.0)

    assert found.throttle_reasons == (
        "sw_power_cap", "hw_slowdown", "applications_clocks_setting",
    )  # fmt: skip
    (flaw,) = flaws(found)
    assert "it was throttled: sw_power_cap, hw_slowdown (" in flaw.sentence


@pytest.mark.parametrize(
    ("changes", "limits", "sentence"),
    [
        ({"seconds": 12.0}, Limits(seconds=600), "it was timed for 12 s of at least 600"),
        ({"seconds": 600.0}, Limits(seconds=600), None),
        ({"drift": 0.13}, Limits(), "the median changed by +13% from the first quarter"),
        ({"drift": -0.13}, Limits(), "the median changed by -13%"),
        ({"drift": 0.13}, Limits(drift=0.2), None),
        ({"drift": None}, Limits(), "the samples are too few to tell a drift"),
        ({"others": 0.3}, Limits(), "other processes took 30% of the CPU, and 10% may be"),
        ({"others": 0.3}, Limits(others=0.5), None),
        ({"others": None}, Limits(), "no file tells how busy other processes were"),
        ({"looks": 1}, Limits(), "the machine was not looked at"),
    ],
)  # fmt: skip
def test_limits_of_any_machine(
    changes: dict[str, float], limits: Limits, sentence: str | None
) -> None:
    facts = {"looks": 9, "seconds": 60.0, "others": 0.0, "drift": 0.0, **changes}
    found = flaws(Conditions(kind="pc", **facts), limits)  # type: ignore[arg-type]
    assert len(found) == bool(sentence)
    assert all(flaw.sentence.startswith(sentence or "") for flaw in found)


def test_what_is_told_of_a_jetson(tmp_path: Path) -> None:
    lay_out(tmp_path, AGX_ORIN)
    assert conditions_told(seen(tmp_path, throttled())) == {
        "looked at": "2 times in 600 s",
        "power mode": "MAXN",
        "clocks": (
            "gpu 1300 MHz, seen at 918 to 1300, memory 3199 MHz, seen at 3199, "
            "12 cpus 2202 MHz, seen at 2202"
        ),
        "governor": "schedutil",
        "highest temperatures, °C": (
            "cpu-thermal 51 of 99, gpu-thermal 47 of 99, soc0-thermal 47 of 99, tj-thermal 51, "
            "tboard-thermal 38"
        ),
        "fan": "1820",
        "over-current alarms": "oc1 0, oc2 0, oc3 0",
        "throttled by": "gpu-throttle-alert",
        "other processes": "2.0% of the CPU",
        "drift": "+1.0%",
    }


def test_an_emulated_jetson_is_one_of_which_nothing_is_known(tmp_path: Path) -> None:
    assert seen(lay_out(tmp_path, PC), l4t="36.4.3").kind == JETSON
