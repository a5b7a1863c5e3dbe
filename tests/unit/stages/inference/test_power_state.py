from pathlib import Path

import pytest
from jetson_power import AGX_ORIN, ORIN_NANO_SUPER, write_clocks, write_mode

from mmdet_jetson.stages.inference.power import PowerState, power_state


def test_a_profile_records_mode_and_clocks(tmp_path: Path) -> None:
    write_mode(tmp_path, 2)
    write_clocks(tmp_path, locked=False)

    assert power_state(tmp_path).facts() == {
        "power_mode": "MODE_30W (2)",
        "clocks_locked": False,
        "gpu_clock": "306 to 1300 MHz, at 1300",
        "cpu_clocks": "730 to 2202 MHz, at 730 to 806",
        "cpu_governor": "schedutil",
    }


def test_another_machine_has_nothing_to_say(tmp_path: Path) -> None:
    state = power_state(tmp_path)
    assert state == PowerState(None, None)
    assert (state.facts(), state.doubts(None)) == ({}, [])


def test_the_strongest_mode_with_locked_clocks_raises_no_doubt(tmp_path: Path) -> None:
    write_mode(tmp_path, 0)
    write_clocks(tmp_path, locked=True)
    assert power_state(tmp_path).doubts(None) == []


@pytest.mark.parametrize(
    ("names", "number", "expected", "sentence"),
    [
        (
            AGX_ORIN, 2, None,
            "the power mode was MODE_30W (2), and the strongest is MAXN (0): sudo nvpmodel -m 0, "
            "sudo jetson_clocks, then profile again",
        ),
        (
            ORIN_NANO_SUPER, 0, None,
            "the power mode was 15W (0), and the strongest is MAXN_SUPER (2): sudo nvpmodel -m 2, "
            "sudo jetson_clocks, then profile again",
        ),
        (
            AGX_ORIN, 0, "MODE_30W",
            "the power mode was MAXN (0), and the target's is MODE_30W (2): sudo nvpmodel -m 2, "
            "sudo jetson_clocks, then profile again",
        ),
        (
            AGX_ORIN, 0, "MODE_40W",
            "the power mode was MAXN (0), and the target's is MODE_40W, which this board does not "
            "have: nvpmodel -p --verbose lists those that it has",
        ),
        (AGX_ORIN, 2, "MODE_30W", None),
        (("MODE_15W_2CORE", "MODE_15W_4CORE"), 1, None, None),
    ],
)  # fmt: skip
def test_another_mode_is_named_with_the_command_that_changes_it(
    names: tuple[str, ...], number: int, expected: str | None, sentence: str | None, tmp_path: Path
) -> None:
    write_mode(tmp_path, number, names)
    write_clocks(tmp_path, locked=True)
    assert power_state(tmp_path).doubts(expected) == ([sentence] if sentence else [])


def test_clocks_that_move_are_named_with_the_command_that_locks_them(tmp_path: Path) -> None:
    write_mode(tmp_path, 0)
    write_clocks(tmp_path, locked=False)
    assert power_state(tmp_path).doubts(None) == [
        "the clocks were not locked (GPU 306 to 1300 MHz, at 1300, CPU 730 to 2202 MHz, at 730 to "
        "806), so latencies vary with them: sudo jetson_clocks, then profile again"
    ]


def test_a_mode_that_nothing_tells_is_a_doubt_only_where_a_target_wants_one(tmp_path: Path) -> None:
    write_clocks(tmp_path, locked=True)
    state = power_state(tmp_path)
    assert state.doubts(None) == []
    assert state.doubts("MAXN") == [
        "the power mode's name is not told here, and the target's is MAXN: nvpmodel -q"
    ]
    write_mode(tmp_path, 0)
    (tmp_path / "etc/nvpmodel.conf").unlink()  # so there is a number, and nothing names it
    assert power_state(tmp_path).doubts(None) == []
    assert power_state(tmp_path).doubts("MAXN") == state.doubts("MAXN")
