from pathlib import Path

import pytest

from mmdet_jetson.stages.inference import device, machine
from mmdet_jetson.stages.inference.machine import BusyTime, cpu_name, machine_facts


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(machine, "PROC", tmp_path)
    monkeypatch.setattr(device, "BOARD", tmp_path / "device-tree" / "model")
    return tmp_path


def test_the_cpu_of_a_pc(proc: Path) -> None:
    (proc / "cpuinfo").write_text("processor\t: 0\nmodel name\t: A CPU @ 2.00GHz\n")

    assert cpu_name() == "A CPU @ 2.00GHz"


def test_a_jetson_is_named_after_its_board(proc: Path) -> None:
    (proc / "cpuinfo").write_text("processor\t: 0\nCPU implementer\t: 0x41\n")
    (proc / "device-tree").mkdir()
    (proc / "device-tree" / "model").write_bytes(b"NVIDIA Jetson AGX Orin\0")

    assert cpu_name() == "NVIDIA Jetson AGX Orin"


def test_a_jetsons_cpu_says_less_than_its_board(
    proc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container only the host's side knows the board, which Docker hides."""
    (proc / "cpuinfo").write_text("model name\t: ARMv8 Processor rev 1 (v8l)\n")
    assert cpu_name() == "ARMv8 Processor rev 1 (v8l)"
    assert "l4t" not in machine_facts()
    monkeypatch.setenv("MMDET_JETSON_HOST_BOARD", "NVIDIA Jetson AGX Orin Developer Kit")
    monkeypatch.setenv("MMDET_JETSON_HOST_L4T", "36.4.3")
    facts = machine_facts()
    assert (facts["cpu"], facts["l4t"]) == ("NVIDIA Jetson AGX Orin Developer Kit", "36.4.3")


def test_a_governor_is_told_where_there_is_one(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "GOVERNOR", proc / "scaling_governor")
    assert "cpu_governor" not in machine_facts()
    (proc / "scaling_governor").write_text("performance\n")
    assert machine_facts()["cpu_governor"] == "performance"


def test_a_machine_without_these_files_still_has_facts(proc: Path) -> None:
    assert cpu_name()
    assert machine_facts()["memory_gb"] is None
    assert BusyTime.now() is None


def test_memory_is_in_gibibytes(proc: Path) -> None:
    (proc / "meminfo").write_text("MemTotal:       25165824 kB\n")

    assert machine_facts()["memory_gb"] == 24


def test_what_others_took_is_everything_busy_but_this_process() -> None:
    before = BusyTime(everything=100, own=10, available=1000)
    after = BusyTime(everything=108, own=15, available=1020)

    assert before.share_of_others(after) == pytest.approx(3 / 20)


def test_waiting_is_not_being_busy(proc: Path) -> None:
    (proc / "stat").write_text("cpu  100 0 0 900 500 0 0 0 0 0\n")

    now = BusyTime.now()
    assert now is not None

    assert now.everything / now.available == pytest.approx(100 / 1500)
