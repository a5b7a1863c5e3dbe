import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from jetson_power import ORIN_NANO_SUPER, write_mode

from mmdet_jetson.cli import device, doctor
from mmdet_jetson.cli.device import examine_device, has_module, load
from mmdet_jetson.cli.findings import Finding
from mmdet_jetson.config.settings import Settings
from mmdet_jetson.contract.nvidia import Gpu
from mmdet_jetson.environments.this_machine import JetPack, Machine
from mmdet_jetson.processes import ProcessFailed
from mmdet_jetson.processes import output_of as output_of_program
from mmdet_jetson.runtimes.host import HostRuntime

Docker = Callable[..., None]


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """The files of a Jetson with JetPack 6."""
    for name in ("dev/nvmap", "dev/nvgpu/igpu0/ctrl", "dev/dri/renderD128"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch) -> Docker:
    """Say which version of Docker there is, none for "", and which runtimes it knows."""

    def answer(version: str, *runtimes: str) -> None:
        def answered(command: list[str]) -> str:
            if command[0] != "docker":
                return output_of_program(command)
            if not version:
                raise ProcessFailed(command, 127, "No such file or directory: 'docker'", None)
            names = ", ".join(f'"{name}": {{}}' for name in runtimes)
            return version if command[1] == "version" else f"{{{names}}}"

        monkeypatch.setattr(device, "output_of", answered)

    answer("")
    return answer


def program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def jetson(tmp_path: Path, python: str | None = "echo 10.3.0") -> Machine:
    jetpack = None
    if python is not None:
        found = program(tmp_path / "python3", python)
        jetpack = JetPack("36.4.3", found, "3.10", "10.3.0.30-1+cuda12.5", 87, "12.6")
    return Machine("arm64", has_gpu=True, l4t="36.4.3", board="Orin NX", jetpack=jetpack)


def look(machine: Machine, system: Path) -> dict[str, Finding]:
    return {finding.what: finding for finding in examine_device(machine, system)}


def test_a_jetson_with_everything(system: Path, docker: Docker) -> None:
    docker("27.5.1", "runc", "nvidia")
    found = look(jetson(system), system)
    assert all(finding.good for finding in found.values())
    assert found["JetPack"].detail == (
        "L4T 36.4.3 (JetPack 6.2) on Orin NX: TensorRT 10.3.0.30-1+cuda12.5, CUDA 12.6, "
        "Python 3.10, compute capability 87"
    )
    assert (
        found["GPU's device files"].detail == "3, and what CUDA needs of them is open to this user"
    )
    assert "network of containers" not in found


def test_the_strongest_power_mode_is_the_boards_own(
    system: Path, docker: Docker, tmp_path: Path
) -> None:
    write_mode(system, 0, ORIN_NANO_SUPER)
    said = look(jetson(tmp_path), system)["power mode"].detail
    assert said == "15W (0); before timing: sudo nvpmodel -m 2, sudo jetson_clocks"


def test_a_pc_without_a_gpu_hears_nothing_of_this(tmp_path: Path, docker: Docker) -> None:
    docker("28.1.0", "runc")
    assert look(Machine("amd64", has_gpu=False), tmp_path) == {}


def test_the_groups_that_open_the_gpu_are_named(
    system: Path, docker: Docker, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = (str(system / "dev/nvmap"),)
    monkeypatch.setattr(device, "how_to_open", lambda files: f"usermod for {files}")
    found = look(replace(jetson(system), closed=closed), system)["GPU's device files"]
    assert not found.good
    assert found.needed
    assert "dev/nvmap" in found.detail
    assert found.mend == f"usermod for {closed}"


def test_a_jetson_without_device_files_is_told(tmp_path: Path, docker: Docker) -> None:
    found = look(jetson(tmp_path), tmp_path)["GPU's device files"]
    assert not found.good
    assert found.detail == "none is there"


def test_a_jetson_without_tensorrt(system: Path, docker: Docker) -> None:
    found = look(jetson(system, python=None), system)["JetPack"]
    assert not found.good
    assert "python3-libnvinfer" in found.mend


def test_a_tensorrt_that_does_not_load_says_why(system: Path, docker: Docker) -> None:
    python = "echo 'ImportError: libnvdla_compiler.so: cannot open' >&2; exit 1"
    found = look(jetson(system, python), system)["JetPack"]
    assert not found.good
    assert "does not load: ImportError: libnvdla_compiler.so: cannot open" in found.detail


def test_docker_without_nvidias_runtime(system: Path, docker: Docker) -> None:
    docker("27.5.1", "runc")
    found = look(jetson(system), system)["NVIDIA's container runtime"]
    assert (found.good, found.needed) == (False, False)
    assert "nvidia-ctk runtime configure" in found.mend


@pytest.mark.parametrize(("has", "listed"), [(True, "modules.dep"), (True, "modules.builtin")])
def test_docker_28_needs_a_module(system: Path, docker: Docker, has: bool, listed: str) -> None:
    docker("28.0.1", "nvidia")
    assert not look(jetson(system), system)["network of containers"].good
    modules = system / "lib/modules" / platform.release()
    modules.mkdir(parents=True)
    (modules / listed).write_text("kernel/net/ipv4/netfilter/iptable_raw.ko:\n")
    assert look(jetson(system), system)["network of containers"].good
    assert not has_module("iptable_ra", system)


def test_an_import_that_fails_keeps_its_causes(tmp_path: Path) -> None:
    python = Path(sys.executable)
    assert load(python, "json") == (True, "2.0.9")
    assert load(python, "array") == (True, "loads")
    good, said = load(python, "no_such_module")
    assert (good, said) == (False, "ModuleNotFoundError: No module named 'no_such_module'")
    (tmp_path / "both.py").write_text(
        "try:\n    import one\nexcept ImportError as error:\n    raise OSError('no two') from error\n"
    )
    script = f'PYTHONPATH={tmp_path} exec {python} "$@"'
    good, said = load(program(tmp_path / "python", script), "both")
    assert (good, said) == (
        False,
        "OSError: no two; because of ModuleNotFoundError: No module named 'one'",
    )


def test_a_jetson_is_not_asked_for_what_trains(
    system: Path, settings: Settings, docker: Docker, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = HostRuntime(settings)
    runtime.machine = jetson(system)
    found = {each.what: each for each in doctor.examine(settings, runtime)}
    assert found["environment train"].good
    assert "--onnx" in found["environment train"].detail
    free = SimpleNamespace(total=10**12, free=10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    found = {each.what: each for each in doctor.examine(settings, runtime)}
    assert found["cache folder"].mend.startswith("free 3 GB")


@pytest.mark.parametrize(
    ("gpu", "detail"),
    [
        (None, "the CUDA driver finds none"),
        (Gpu("Orin", "", 87, "540.4.0", "12.6"), "Orin, compute capability 87, driver 540.4.0"),
    ],
)
def test_a_jetsons_gpu_is_asked_for_without_nvidia_smi(
    system: Path, settings: Settings, docker: Docker, gpu: Gpu | None, detail: str
) -> None:
    runtime = HostRuntime(settings)
    runtime.machine, runtime.gpu = jetson(system), gpu
    (found,) = [each for each in doctor.examine(settings, runtime) if each.what == "GPU"]
    assert found.good == bool(gpu)
    assert found.detail.startswith(detail)
