"""Environments on the host runtime: locked packages in a content-addressed folder of the cache.

An environment's folder is named by what is in it (lock file, Python, machine), shared between
clones, and appears only when complete: it is built under a temporary name and renamed.
"""

import hashlib
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mmdet_jetson.config.settings import Settings, Variant
from mmdet_jetson.environments.pythons import find_python
from mmdet_jetson.environments.this_machine import JetPack
from mmdet_jetson.environments.toolchain import check_tools, cuda_folder
from mmdet_jetson.errors import UserError
from mmdet_jetson.locks import hold
from mmdet_jetson.processes import ProcessFailed, run_logged, tail

Say = Callable[[str], None]
X86 = "x86_64"
# Image bases for running engines have no libcurand, and nothing of ours draws random numbers.
WITHOUT_CURAND = "--config-setting=--global-option=--conf:CUDA_ENABLE_CURAND=False"


@dataclass(frozen=True)
class Environment:
    """A pinned set of packages: its lock file and the Pythons it runs on, best first."""

    name: str
    lock: Path
    pythons: tuple[str, ...]
    compiled: str = ""  # the one package that is built from source, after the others
    index: str = ""  # uv's name of the wheel index for PyTorch's CUDA builds
    more_locks: tuple[Path, ...] = ()
    jetpack: JetPack | None = None  # its Python is the one to use, with the packages in it
    machine: str = ""  # the only kind of machine that there are packages for; empty for any

    @property
    def identity(self) -> str:
        """What a cache key needs to know: lock digest, Python and platform."""
        locks = b"".join(lock.read_bytes() for lock in (self.lock, *self.more_locks))
        machine = self.machine or platform.machine()
        identity = f"{self.name}:{lock_digest(locks)}:py{self.python}:{machine}"
        return f"{identity}:{self.jetpack.identity}" if self.jetpack else identity

    @property
    def python(self) -> str:
        """The version to use: the one that runs us where it fits, since it is surely there."""
        ours = f"{sys.version_info.major}.{sys.version_info.minor}"
        return ours if ours in self.pythons else self.pythons[0]


def lock_digest(locks: bytes) -> str:
    """What an environment's identity has of its lock files."""
    return hashlib.sha256(locks).hexdigest()[:16]


def train_environment(root: Path, variant: Variant) -> Environment:
    """The documented stack, on the CPU or with CUDA 11.3.

    It has packages for one kind of machine, so a Jetson knows the keys of what is made on a PC.
    """
    name = "train" if variant == "cpu" else f"train-{variant}"
    index = "" if variant == "cpu" else variant
    return Environment(name, root / f"docker/{name}.lock", ("3.8",), "mmcv", index, machine=X86)


def device_environment(root: Path, name: str) -> Environment:
    """What builds and runs engines on this machine: ``deploy``, or it and a backend's library."""
    return Environment(name, root / f"docker/{name}.lock", ("3.12", "3.11"))


def jetpack_environment(root: Path, jetpack: JetPack) -> Environment:
    """Environment `deploy` on a Jetson: JetPack's Python and TensorRT, and pycuda.

    Raises:
        UserError: there is no lock for JetPack's Python.
    """
    suffix = {"3.8": "-py38", "3.10": "-py310", "3.12": ""}.get(jetpack.python_version)
    if suffix is None:
        raise UserError(
            f"JetPack's Python is {jetpack.python_version}; packages are pinned for 3.8, 3.10 and "
            "3.12",
            "use a JetPack from 5.0.1 to 7",
        )
    lock, cuda = (root / f"docker/{name}{suffix}.lock" for name in ("deploy", "cuda"))
    return Environment(
        "deploy", lock, (jetpack.python_version,), "pycuda", more_locks=(cuda,), jetpack=jetpack
    )


def environment_folder(environment: Environment, settings: Settings) -> Path:
    """Where the environment is, or would be."""
    key = hashlib.sha256(environment.identity.encode()).hexdigest()[:16]
    return settings.cache / "environments" / f"{environment.name}-{key}"


def python_of(environment: Environment, settings: Settings, say: Say) -> Path:
    """Return the environment's Python, building the environment first where it is missing.

    Raises:
        UserError: no Python of that version, nothing to compile with, or a package that cannot be
            fetched.
    """
    folder = environment_folder(environment, settings)
    if not folder.exists():
        lock = folder.with_suffix(".lock")
        with hold(
            lock, lambda: say(f"waiting: another run is building environment {environment.name}")
        ) as held:
            if not folder.exists():
                log = folder.with_suffix(".log")
                uv = Uv(log, settings, held.fileno())
                _build(environment, folder, settings, uv, say)
                log.unlink(missing_ok=True)
    return folder / "bin/python"


def _build(environment: Environment, folder: Path, settings: Settings, uv: "Uv", say: Say) -> None:
    jetpack = environment.jetpack
    base = jetpack.python if jetpack else find_python(environment.python, settings, say)
    if will_compile(environment, settings):
        check_tools(environment.compiled, base, environment.python)
    uv.log.unlink(missing_ok=True)
    building = folder.with_name(f".{folder.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    packages = ["--system-site-packages"] if jetpack else []  # TensorRT's module is one of them
    uv.run("venv", "--relocatable", "--no-project", *packages, "--python", str(base), str(building))
    say(f"installing the packages of {environment.lock.name}")
    _install(environment, building, uv, settings, say)
    building.rename(folder)


def will_compile(environment: Environment, settings: Settings) -> bool:
    """Whether building the environment has to compile its package: mmcv's wheel is kept."""
    if environment.compiled != "mmcv":
        return bool(environment.compiled)
    return not wheel_folder(environment.lock, "mmcv", environment.python, settings).exists()


def _install(
    environment: Environment, building: Path, uv: "Uv", settings: Settings, say: Say
) -> None:
    entries = [e for lock in (environment.lock, *environment.more_locks) for e in _entries(lock)]
    compiled = [entry for entry in entries if _name(entry) == environment.compiled]
    lock = building / "packages.lock"
    lock.write_text("".join(entry for entry in entries if entry not in compiled))
    backend = ["--torch-backend", environment.index] if environment.index else []
    python = building / "bin/python"
    uv.run(
        "pip", "sync", "--python", str(python), "--require-hashes", "--compile-bytecode",
        "--no-build-isolation", *backend, str(lock),
    )  # fmt: skip
    for entry in compiled:
        if environment.jetpack:
            _add_pycuda(entry, environment, building, uv, say)
        else:
            _add_mmcv(entry, environment, uv, settings, python=python, say=say)


def _add_pycuda(entry: str, environment: Environment, building: Path, uv: "Uv", say: Say) -> None:
    """Compile pycuda against this machine's CUDA and the NumPy that is installed."""
    say("compiling pycuda for this machine's CUDA (a few minutes)")
    lock = building / "pycuda.lock"
    lock.write_text(entry)
    # uv keeps what it compiles, and knows neither CUDA nor NumPy; but a setting is one of its keys.
    made_for = f"--config-setting=made-for={environment.identity}"
    uv.run(
        "pip", "install", "--python", str(building / "bin/python"), "--no-deps",
        "--require-hashes", "--no-build-isolation", WITHOUT_CURAND, made_for,
        "--compile-bytecode", "--requirements", str(lock),
        first_on_path=cuda_folder(),
    )  # fmt: skip


def _add_mmcv(
    entry: str, environment: Environment, uv: "Uv", settings: Settings, *, python: Path, say: Say
) -> None:
    """Install mmcv's wheel, which is compiled once against the torch that is installed."""
    wheels = wheel_folder(environment.lock, "mmcv", environment.python, settings)
    with hold(wheels.with_suffix(".lock")):
        if not wheels.exists():
            say("compiling mmcv, once on this machine (about 5 minutes on 2 cores)")
            _compile_mmcv(entry, python, wheels, uv)
    (wheel,) = wheels.glob("*.whl")
    uv.run("pip", "install", "--python", str(python), "--no-deps", "--compile-bytecode", str(wheel))


def wheel_folder(lock: Path, name: str, python: str, settings: Settings) -> Path:
    """Where the wheel that this machine compiles from a lock's entry is kept, or would be."""
    entries = _entries(lock)
    entry, torch = (next(e for e in entries if _name(e) == each) for each in (name, "torch"))
    origin = f"{entry}{torch}{python}{platform.machine()}"
    key = hashlib.sha256(origin.encode()).hexdigest()[:16]
    return settings.cache / "wheels" / f"{name}-{key}"


def pins(lock: Path) -> dict[str, str]:
    """The version of each package in a lock file; "1.0 or 2.0" where it depends on the Python."""
    return pins_in(lock.read_text())


def pins_in(lock: str) -> dict[str, str]:
    """The same of what a lock file holds, or held."""
    found: dict[str, list[str]] = {}
    for entry in _entries_in(lock):
        version = re.split(r"[ ;\\]", entry.split("==", maxsplit=1)[1])[0]
        found.setdefault(_name(entry), []).append(version)
    return {name: " or ".join(versions) for name, versions in found.items()}


def _compile_mmcv(entry: str, python: Path, wheels: Path, uv: "Uv") -> None:
    building = wheels.with_name(f".{wheels.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    lock = building / "source.lock"
    lock.write_text(entry)
    uv.command(
        [
            str(python), "-m", "pip", "wheel", "--no-deps", "--no-build-isolation",
            "--require-hashes", "--disable-pip-version-check", "-r", str(lock),
            "-w", str(building),
        ],
        {"MMCV_WITH_OPS": "1", "MAX_JOBS": str(os.cpu_count() or 2)},
    )  # fmt: skip
    lock.unlink()
    building.rename(wheels)


def _entries(lock: Path) -> list[str]:
    """Split a lock file into its entries: pin, marker and hashes.

    A package may have several, for different Pythons.
    """
    return _entries_in(lock.read_text())


def _entries_in(lock: str) -> list[str]:
    parts = re.split(r"(?m)^(?=[A-Za-z0-9])", lock)
    return [part for part in parts if "==" in part]


def _name(entry: str) -> str:
    return entry.split("==", maxsplit=1)[0]


class Uv:
    """uv, and the pip it prepares, with one log and one way to fail.

    What it starts inherits ``lock``, a file descriptor: when we are killed, an installer that goes
    on keeps the next run out of the folder that it still writes to.
    """

    def __init__(self, log: Path, settings: Settings, lock: int) -> None:
        self.log, self.lock = log, lock
        # The machine's own certificates: a company's proxy has its authority among them.
        certificates = {"UV_SYSTEM_CERTS": "1"}
        self.env = {**certificates, **os.environ, "UV_NO_PROGRESS": "1", "VIRTUAL_ENV": ""}
        if settings.offline:
            self.env |= {"UV_OFFLINE": "1", "PIP_NO_INDEX": "1"}

    def run(self, *arguments: str, first_on_path: str = "") -> None:
        """Run one uv command; programs that it starts are searched in a folder of ours first."""
        path = os.pathsep.join(filter(None, (first_on_path, self.env.get("PATH", os.defpath))))
        self.command([sys.executable, "-m", "uv", *arguments], {"PATH": path})

    def command(self, command: list[str], extra: dict[str, str] | None = None) -> None:
        """Run one command; on failure the message holds its last line and the log's path."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        env = {**self.env, **(extra or {})}
        code = run_logged(command, self.log, env=env, cwd=self.log.parent, keep_open=[self.lock])
        if code:
            raise ProcessFailed(command, code, tail(self.log), self.log)
