from pathlib import Path

import pytest
from jetson_power import write_clocks, write_mode

from mmdet_jetson.environments import pythons
from mmdet_jetson.environments import this_machine as machine_files
from mmdet_jetson.environments.packages import jetpack_environment
from mmdet_jetson.environments.this_machine import (
    JetPack,
    Machine,
    cpu_name,
    power_mode,
    this_machine,
)
from mmdet_jetson.errors import UserError
from mmdet_jetson.processes import ProcessFailed

ROOT = Path(__file__).resolve().parents[3]
RELEASE = "# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref, EABI: aarch64\n"


@pytest.fixture
def jetson(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of a Jetson Orin with JetPack 5.1.2."""
    monkeypatch.setattr(machine_files, "output_of", lambda command: "8.5.2-1+cuda11.4")
    monkeypatch.setattr(pythons, "output_of", lambda command: "3.8")
    for name in ("etc", "dev", "proc/device-tree"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "etc/nv_tegra_release").write_text(RELEASE)
    (tmp_path / "dev/nvhost-gpu").touch()
    compatible = b"nvidia,p3737-0000+p3701-0000\0nvidia,tegra234\0"
    (tmp_path / "proc/device-tree/compatible").write_bytes(compatible)
    board = b"NVIDIA Jetson AGX Orin Developer Kit\0"
    (tmp_path / "proc/device-tree/model").write_bytes(board)
    return tmp_path


def test_a_jetson_tells_all_that_an_engine_depends_on(jetson: Path) -> None:
    found = this_machine(jetson)
    assert found.has_gpu
    assert found.sm == 87
    assert found.board == "NVIDIA Jetson AGX Orin Developer Kit"
    assert found.jetpack == JetPack(
        "35.4.1", jetson / "usr/bin/python3", "3.8", "8.5.2-1+cuda11.4", 87
    )


@pytest.mark.parametrize(
    ("content", "cuda"),
    [
        ('{"cuda": {"name": "CUDA SDK", "version": "11.8.20220929"}}', "11.8.20220929"),
        ("{}", ""),
        ("no JSON", ""),
    ],
)
def test_cuda_is_the_one_that_is_installed_not_that_of_tensorrt(
    jetson: Path, content: str, cuda: str
) -> None:
    (jetson / "usr/local/cuda").mkdir(parents=True)
    (jetson / "usr/local/cuda/version.json").write_text(content)
    found = this_machine(jetson).jetpack
    assert found
    assert found.cuda == cuda


def test_device_files_that_are_closed_are_named(
    jetson: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert this_machine(jetson).closed == ()
    monkeypatch.setattr("os.access", lambda file, mode: file.name != "nvhost-gpu")
    assert this_machine(jetson).closed == (str(jetson / "dev/nvhost-gpu"),)


def test_a_pc_is_no_jetson(tmp_path: Path) -> None:
    found = this_machine(tmp_path)
    assert found == Machine(found.architecture, has_gpu=False)
    assert found.architecture in ("amd64", "arm64")


@pytest.mark.parametrize("device", ["nvidia0", "nvidia3"])
def test_a_pc_with_an_nvidia_gpu_has_one(device: str, tmp_path: Path) -> None:
    """Of several GPUs a container may be given any."""
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidiactl").touch()
    assert not this_machine(tmp_path).has_gpu
    (tmp_path / "dev" / device).touch()
    assert this_machine(tmp_path).has_gpu


def test_a_jetson_may_lack_tensorrt(jetson: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(command: list[str]) -> str:
        raise ProcessFailed(command, 1, "no packages found", None)

    monkeypatch.setattr(machine_files, "output_of", fail)
    found = this_machine(jetson)
    assert (found.jetpack, found.l4t) == (None, "35.4.1")


def test_a_jetson_tells_its_power_mode(jetson: Path) -> None:
    """As its profiles do: by number and name, else by number, else not at all."""
    assert power_mode(jetson) == ""
    write_mode(jetson, 2)
    assert power_mode(jetson) == "power mode MODE_30W (2)"
    (jetson / "etc/nvpmodel.conf").unlink()
    assert power_mode(jetson) == "power mode 2"


def test_a_jetson_tells_whether_its_clocks_are_locked(jetson: Path) -> None:
    """After `jetson_clocks` it takes other times than before."""
    write_clocks(jetson, locked=False)
    before = power_mode(jetson)
    write_clocks(jetson, locked=True)
    assert power_mode(jetson) == f"{before}:clocks locked"


def test_any_machine_may_tell_how_its_cpu_is_clocked(tmp_path: Path) -> None:
    assert power_mode(tmp_path) == ""
    governor = tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
    governor.parent.mkdir(parents=True)
    governor.write_text("performance\n")
    assert power_mode(tmp_path) == "governor performance"


def test_the_cores_are_those_that_programs_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("processor\t: 0\nmodel name\t: A CPU\n")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3})
    assert cpu_name(tmp_path) == "A CPU x 1"


@pytest.mark.parametrize(
    ("field", "value"), [("l4t", "35.3.1"), ("tensorrt", "8.5.2-2"), ("sm", 72), ("cuda", "11.8")]
)
def test_no_device_is_handed_an_engine_of_another(jetson: Path, field: str, value: object) -> None:
    here = this_machine(jetson).jetpack
    assert here
    other = JetPack(**{**here.__dict__, field: value})
    identities = [jetpack_environment(ROOT, each).identity for each in (here, other)]
    assert identities[0] != identities[1]


@pytest.mark.parametrize("version", ["3.8", "3.10", "3.12"])
def test_jetpacks_own_python_has_its_locks(jetson: Path, version: str) -> None:
    here = this_machine(jetson).jetpack
    assert here
    environment = jetpack_environment(ROOT, JetPack(**{**here.__dict__, "python_version": version}))
    assert environment.python == version
    packages = "".join(lock.read_text() for lock in (environment.lock, *environment.more_locks))
    assert {"numpy==", "pycuda==", "onnx=="} <= {
        f"{name}==" for name in ("numpy", "pycuda", "onnx") if f"{name}==" in packages
    }


def test_another_python_is_refused(jetson: Path) -> None:
    here = this_machine(jetson).jetpack
    assert here
    with pytest.raises(UserError, match=r"JetPack's Python is 3\.6"):
        jetpack_environment(ROOT, JetPack(**{**here.__dict__, "python_version": "3.6"}))
