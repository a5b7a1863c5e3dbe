from pathlib import Path

import pytest
from jetson_power import AGX_ORIN as MODES
from jetson_power import ORIN_NANO_SUPER, PLACES, write_clocks, write_mode
from machine_trees import AGX_ORIN, PC, lay_out, unlocked

from mmdet_jetson.contract.power import (
    Clock,
    PowerMode,
    clocks,
    cpu_clocks,
    governors,
    memory_clock,
    modes_of,
    power_modes,
    print_clocks,
    told,
)


def test_the_mode_has_its_number_and_its_name(tmp_path: Path) -> None:
    write_mode(tmp_path, 2)
    found = power_modes(tmp_path, {})
    assert found
    assert (found.now, str(found.now)) == (PowerMode(2, "MODE_30W"), "MODE_30W (2)")
    assert [mode.name for mode in found.all] == [*MODES]  # a comment names no mode


@pytest.mark.parametrize(
    ("names", "strongest"),
    [
        (MODES, PowerMode(0, "MAXN")),
        (ORIN_NANO_SUPER, PowerMode(2, "MAXN_SUPER")),
        (("MAXN", "10W", "MAXN_SUPER"), PowerMode(2, "MAXN_SUPER")),
        (("7W", "15W"), PowerMode(1, "15W")),
        (("MODE_15W_2CORE", "MODE_10W_4CORE", "MODE_20W_6CORE"), PowerMode(2, "MODE_20W_6CORE")),
    ],
)
def test_the_strongest_mode_is_the_one_with_the_largest_budget(
    names: tuple[str, ...], strongest: PowerMode, tmp_path: Path
) -> None:
    """It is not always 0."""
    write_mode(tmp_path, 0, names)
    found = power_modes(tmp_path, {})
    assert found
    assert found.strongest == strongest


def test_a_mode_without_its_file_of_names_is_a_number() -> None:
    found = modes_of("pmode:0003", "")
    assert found
    assert (str(found.now), found.strongest) == ("3", None)


def test_a_container_is_told_the_modes_of_its_host(tmp_path: Path) -> None:
    write_mode(tmp_path, 1)
    found = power_modes(tmp_path, {})
    assert found
    assert power_modes(tmp_path / "a container", told(found)) == found
    assert power_modes(tmp_path / "a container", {}) is None
    assert power_modes(tmp_path, {"MMDET_JETSON_HOST_POWER_MODES": "no JSON"}) == found


@pytest.mark.parametrize("place", PLACES)
def test_the_gpu_is_found_by_each_of_its_names(place: str, tmp_path: Path) -> None:
    write_clocks(tmp_path, locked=False, place=place)
    found = clocks(tmp_path)
    assert found
    assert found.gpu == Clock(306_000_000, 1_300_500_000, 1_300_500_000)
    assert found.cpus[1] == Clock(729_600_000, 2_201_600_000, 806_400_000)
    assert found.governors == ("schedutil",)
    assert not found.are_locked


@pytest.mark.parametrize("unlocked", [None, "gpu", "cpu"])
def test_clocks_are_locked_where_none_has_a_choice(unlocked: str | None, tmp_path: Path) -> None:
    write_clocks(tmp_path, locked=True)
    if unlocked == "gpu":
        (tmp_path / "sys/class/devfreq/17000000.gpu/min_freq").write_text("306000000")
    if unlocked == "cpu":
        (tmp_path / "sys/devices/system/cpu/cpu1/cpufreq/scaling_min_freq").write_text("729600")
    found = clocks(tmp_path)
    assert found
    assert found.are_locked is (unlocked is None)


def test_another_machine_has_neither(tmp_path: Path) -> None:
    write_clocks(tmp_path, locked=True)
    (tmp_path / "sys/class/devfreq/17000000.gpu").unlink()
    assert clocks(tmp_path) is None
    assert power_modes(tmp_path, {}) is None


def test_a_clock_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    write_clocks(tmp_path, locked=True)
    (tmp_path / "sys/class/devfreq/17000000.gpu/cur_freq").write_text("")
    assert clocks(tmp_path) is None


def test_whoever_asks_hears_whether_they_are_locked(capsys: pytest.CaptureFixture[str]) -> None:
    print_clocks()
    assert capsys.readouterr().out in ("\n", "locked\n")


def test_the_memory_is_told_where_it_may_be_read(tmp_path: Path) -> None:
    """`test_conditions` has it locked, capped and on Thor."""
    assert memory_clock(tmp_path) is None
    lay_out(tmp_path, unlocked(AGX_ORIN))
    assert memory_clock(tmp_path) is None  # a lock without a rate
    lay_out(tmp_path, AGX_ORIN)
    assert memory_clock(tmp_path) == Clock(*[3_199_000_000] * 3)
    lay_out(tmp_path, unlocked(AGX_ORIN))
    assert memory_clock(tmp_path) == Clock(204_000_000, 3_199_000_000, 3_199_000_000)
    cap = "sys/kernel/nvpmodel_emc_cap/emc_iso_cap"  # of JetPack 5
    lay_out(tmp_path, {cap: "1600000000"})
    assert memory_clock(tmp_path) == Clock(204_000_000, 1_600_000_000, 3_199_000_000)


def test_any_machine_may_tell_clocks_of_its_cpus(tmp_path: Path) -> None:
    lay_out(tmp_path, PC)
    assert cpu_clocks(tmp_path)["cpu3"] == Clock(800_000_000, 4_200_000_000, 3_900_000_000)
    assert governors(tmp_path) == ("powersave",)
    assert clocks(tmp_path) is None
