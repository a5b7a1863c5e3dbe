import sys
from pathlib import Path

import msgspec
import pytest

from mmdet_jetson.config.settings import Settings
from mmdet_jetson.environments import packages, toolchain
from mmdet_jetson.environments.packages import Environment, jetpack_environment, python_of
from mmdet_jetson.environments.this_machine import JetPack
from mmdet_jetson.environments.toolchain import Tool, check_tools, cuda_folder, tools
from mmdet_jetson.errors import UserError

HEADERS = ("cuda.h", "cudaProfiler.h")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose PATH is `bin`, with a compiler, all of CUDA, and a Python with its headers."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(toolchain, "CUDA", tmp_path / "cuda")
    program(tmp_path / "bin/g++")
    program(tmp_path / "bin/python3", f"echo {tmp_path}/include/Python.h")
    program(tmp_path / "cuda/bin/nvcc")
    (tmp_path / "cuda/include").mkdir()
    for name in HEADERS:
        (tmp_path / "cuda/include" / name).touch()
    return tmp_path


def program(path: Path, script: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def found(machine: Path, package: str = "pycuda") -> list[Tool]:
    return tools(package, machine / "bin/python3", "3.10")


def test_a_jetpack_with_everything_is_not_refused(machine: Path) -> None:
    assert all(tool.found for tool in found(machine))
    check_tools("pycuda", machine / "bin/python3", "3.10")


def test_pycuda_finds_the_cuda_of_jetpack_before_another(machine: Path) -> None:
    """It takes the first nvcc on the PATH; JetPack puts its own on none."""
    program(machine / "bin/nvcc")
    assert cuda_folder() == str(machine / "cuda/bin")
    (machine / "cuda/bin/nvcc").unlink()
    assert cuda_folder() == str(machine / "bin")
    (machine / "bin/nvcc").unlink()
    assert cuda_folder() == ""


@pytest.mark.parametrize(
    ("absent", "what", "package"),
    [
        ("bin/g++", r"C\+\+ compiler", "g++"),
        ("bin/python3", r"Python\.h of Python 3\.10", "python3.10-dev"),
        ("cuda/bin/nvcc", "nvcc in .*/cuda/bin", "nvidia-jetpack"),
        ("cuda/include/cuda.h", r"cuda\.h", "nvidia-jetpack"),
        ("cuda/include/cudaProfiler.h", r"cudaProfiler\.h", "nvidia-jetpack"),
    ],
)
def test_what_lacks_is_named_with_its_package(
    machine: Path, absent: str, what: str, package: str
) -> None:
    (machine / absent).unlink()
    with pytest.raises(UserError, match=f"pycuda has to be compiled.*no {what}") as refused:
        check_tools("pycuda", machine / "bin/python3", "3.10")
    assert refused.value.hint == f"sudo apt-get install {package}"


def test_all_that_lacks_is_named_at_once(machine: Path) -> None:
    for name in ("bin/g++", "bin/python3", "cuda/bin/nvcc"):
        (machine / name).unlink()
    with pytest.raises(UserError) as refused:
        check_tools("pycuda", machine / "bin/python3", "3.10")
    assert refused.value.hint == "sudo apt-get install g++ python3.10-dev nvidia-jetpack"


def test_mmcv_needs_no_cuda(machine: Path) -> None:
    assert [tool.package for tool in found(machine, "mmcv")] == ["g++", "python3.10-dev"]


def test_a_real_python_is_asked_for_its_headers() -> None:
    headers = tools("mmcv", Path(sys.executable), "3.11")[1].found
    assert headers == "" or Path(headers).is_file()
    assert tools("mmcv", Path("/no/such/python"), "3.11")[1].found == ""


def jetpack(machine: Path) -> JetPack:
    return JetPack("36.4.3", machine / "bin/python3", "3.10", "10.3.0", 87, "12.6")


def test_nothing_is_installed_where_pycuda_cannot_be_compiled(
    machine: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Minutes of packages come before it."""
    monkeypatch.setattr(packages.Uv, "command", lambda *_: pytest.fail("something was installed"))
    (machine / "bin/g++").unlink()
    local = msgspec.structs.replace(settings, cache=machine / "cache")
    with pytest.raises(UserError, match="pycuda has to be compiled"):
        python_of(jetpack_environment(settings.root, jetpack(machine)), local, print)


def test_pycuda_comes_after_the_wheels_and_alone(
    machine: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is built with the NumPy, the setuptools and the wheel that are installed by then."""
    commands: list[list[str]] = []
    locks: list[str] = []
    paths: list[str] = []

    def command(_: packages.Uv, words: list[str], extra: dict[str, str]) -> None:
        commands.append(words)
        paths.append(extra["PATH"])
        if words[3] == "venv":
            Path(words[-1]).mkdir(parents=True)
        else:
            locks.append(Path(words[-1]).read_text())

    monkeypatch.setattr(packages.Uv, "command", command)
    local = msgspec.structs.replace(settings, cache=machine / "cache")
    python_of(jetpack_environment(settings.root, jetpack(machine)), local, print)
    assert [" ".join(words[3:5]) for words in commands[1:]] == ["pip sync", "pip install"]
    wheels, source = locks
    assert {"numpy==", "setuptools==", "wheel=="} <= {
        line.partition("==")[0] + "==" for line in wheels.splitlines() if "==" in line
    }
    assert "pycuda==" not in wheels
    assert source.startswith("pycuda==")
    assert {
        "--no-deps",
        "--no-build-isolation",
        "--require-hashes",
        "--config-setting=--global-option=--conf:CUDA_ENABLE_CURAND=False",
    } <= set(commands[-1])
    # uv keeps what it compiles by these settings: another CUDA or NumPy is another one
    assert "--config-setting=made-for=deploy:" in " ".join(commands[-1])
    assert "l4t36.4.3:trt10.3.0:sm87:cuda12.6" in " ".join(commands[-1])
    assert paths[-1].split(":")[0] == str(machine / "cuda/bin")


def test_wheel_still_brings_the_command_that_this_setuptools_lacks(settings: Settings) -> None:
    """`bdist_wheel` left wheel with 0.46, and came to setuptools with 70.1."""
    for lock in (settings.root / "docker").glob("cuda*.lock"):
        found = packages.pins(lock)
        assert int(found["setuptools"].partition(".")[0]) < 70
        assert found["wheel"].startswith("0.45.")


def test_an_environment_without_a_source_package_compiles_nothing(settings: Settings) -> None:
    environment = Environment("deploy", settings.root / "docker/deploy.lock", ("3.12",))
    assert not packages.will_compile(environment, settings)
