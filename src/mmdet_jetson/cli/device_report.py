"""`invoke doctor --report FILE`: one file with all that somebody at a distance needs to know.

It holds what this machine is, what can be imported and why not, and what was made here last. It
holds no environment variables, and of files only those named here. Names of this user, of machines
and of pictures are taken out of it, and addresses: `cleaning`.
"""

import grp
import os
import platform
import re
import shutil
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import msgspec

from mmdet_jetson import __version__
from mmdet_jetson.cli.cleaning import cleaner
from mmdet_jetson.cli.device import has_module, load
from mmdet_jetson.cli.findings import Finding
from mmdet_jetson.cli.last_results import failed_jobs, last_results, tests_of
from mmdet_jetson.config.settings import Settings
from mmdet_jetson.contract.files import write_whole
from mmdet_jetson.contract.nvidia import gpu_files
from mmdet_jetson.environments.commit import git_commit
from mmdet_jetson.environments.packages import environment_folder
from mmdet_jetson.environments.pythons import installed_python
from mmdet_jetson.environments.this_machine import SYSTEM, cpu_name
from mmdet_jetson.errors import UserError
from mmdet_jetson.files import refuse_inside
from mmdet_jetson.planning.stages import TRAIN
from mmdet_jetson.processes import ProcessFailed, output_of, tail
from mmdet_jetson.runtimes.host import HostRuntime

PYTHONS = ("3.8", "3.10", "3.11", "3.12")
MODULES = ("numpy", "cv2", "onnx", "onnxruntime", "pycocotools.mask", "tensorrt", "pycuda.driver")
PACKAGES = re.compile(
    r"nvidia|tensorrt|libnvinfer|libnvonnx|libcud|cuda-|docker|containerd|python3[.\d]*-dev|^g\+\+"
)
FILES = (
    "etc/nv_tegra_release",
    "etc/nv_boot_control.conf",
    "etc/nvpmodel.conf",
    "var/lib/nvpmodel/status",
    "usr/local/cuda/version.json",
    "sys/module/nvidia/version",
    "proc/device-tree/model",
    "proc/device-tree/compatible",
    "proc/meminfo",
    "sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
    "sys/devices/system/cpu/cpu*/cpufreq/scaling_[cm]*_freq",
    "sys/class/devfreq/*/governor",
    "sys/class/devfreq/*/*_freq",
    "sys/class/thermal/thermal_zone*/type",
    "sys/class/thermal/thermal_zone*/temp",
    "sys/class/hwmon/*/oc*_event_cnt",
)
COMMANDS = (
    ("nvpmodel", "-q", "--verbose"),
    ("jetson_clocks", "--show"),
    ("nvidia-smi", "--query-gpu=name,driver_version,memory.total,clocks.sm", "--format=csv"),
    ("g++", "--version"),
    ("/usr/local/cuda/bin/nvcc", "--version"),
    ("docker", "version", "--format", "{{json .Server}}"),
    ("docker", "info", "--format", "{{.Driver}} cgroup {{.CgroupVersion}} {{json .Runtimes}}"),
    ("docker", "images", "--format", "{{.Repository}}:{{.Tag}} {{.Size}}", "mmdet-jetson/*"),
    ("nvidia-ctk", "--version"),
    ("iptables", "--version"),
)
MODULES_OF_KERNEL = ("iptable_raw", "nvgpu", "nvmap", "nvidia", "overlay")
# What the CUDA driver answers: 0 is well, 100 no device, 801 or 999 mostly missing permission.
INIT = "import ctypes; print(ctypes.CDLL('libcuda.so.1').cuInit(0))"
FIRST_OF_PEOPLE = 1000  # as Debian and Ubuntu number groups
BEGINS = b'{\n "written":'
HINT = "name a file that is not there yet, such as report.json"
LONGEST = 20_000  # characters of a file or of an answer


def check_file(file: str, store: Path) -> Path:
    """Give the report's path. A report of before may be replaced, and nothing else.

    Raises:
        UserError: the file cannot be written, something else is there, or it would be in the store.
    """
    if not file:
        raise UserError("--report is empty", HINT)
    path = Path(file).absolute()
    with _refusals(file):
        refuse_inside(store, path, f"--report {file}", "name a file elsewhere")
        there = path.lstat() if os.path.lexists(path) else None
        parent = path.parent.stat() if path.parent.exists() else None
        what = ""
        if parent is None or not stat.S_ISDIR(parent.st_mode):
            what = f"there is no folder {path.parent}"
        elif there and stat.S_ISDIR(there.st_mode):
            what = "that is a folder"
        elif there and not stat.S_ISREG(there.st_mode):
            what = "that is there, and is no ordinary file"
        elif there and not there.st_mode & stat.S_IWUSR:
            what = "that is there, and is not to be written"
        elif there and there.st_size and not path.read_bytes().startswith(BEGINS):
            what = "that is there, and is no report"
        elif not os.access(path.parent, os.W_OK):
            what = f"nothing can be written in {path.parent}"
    if what:
        raise UserError(f"--report {file}: {what}", HINT)
    return path


@contextmanager
def _refusals(file: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"--report {file[:80]}: {error.strerror}", HINT) from error


def write_report(
    file: str, settings: Settings, runtime: HostRuntime, findings: Sequence[Finding]
) -> None:
    """Write the report, all of it or nothing.

    Raises:
        UserError: the file cannot be written.
    """
    path = check_file(file, settings.artifacts)
    parts: dict[str, Callable[[], object]] = {
        "written": lambda: datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "project": lambda: {"version": __version__, "commit": git_commit()},
        "findings": lambda: list(findings),
        "machine": lambda: _machine(runtime),
        "user": _groups,
        "gpu_files": lambda: {str(each): _access(each) for each in gpu_files()},
        "files": lambda: {
            str(each): _text(each) for name in FILES for each in sorted(SYSTEM.glob(name))
        },
        "commands": lambda: {" ".join(command): _said(command) for command in COMMANDS},
        "kernel_modules": lambda: {name: has_module(name) for name in MODULES_OF_KERNEL},
        "packages": _packages,
        "disks": lambda: _disks(settings),
        "pythons": lambda: {each: str(installed_python(each, settings) or "") for each in PYTHONS},
        "environments": lambda: _environments(settings, runtime),
        "results": lambda: last_results(settings.artifacts),
        "failed": lambda: failed_jobs(settings.artifacts),
        "suites": lambda: _suites(settings.artifacts),
    }
    report = msgspec.to_builtins({name: _told(part) for name, part in parts.items()})
    clean = cleaner(_docker_hosts(settings), [*_own_addresses(), *_machines(report["results"])])
    with _refusals(file):
        write_whole(path, msgspec.json.format(msgspec.json.encode(clean(report)), indent=1))


def _told(part: Callable[[], object]) -> object:
    """Tell a part of the report, or why it cannot be told: the others are of use without it."""
    try:
        return part()
    except (OSError, UserError) as error:
        return f"not readable: {error}"


def _docker_hosts(settings: Settings) -> list[str]:
    """Give the addresses of Docker hosts that a failure may name."""
    context = _said(("docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"))
    return [settings.docker_host, *([] if context.startswith("failed") else context.split())]


def _own_addresses() -> list[str]:
    addresses = _said(("hostname", "-I"))
    return [] if addresses.startswith("failed") else addresses.split()


def _machines(results: object) -> list[str]:
    """Give the names of Docker hosts that made a result."""
    made = [each["provenance"] for each in results] if isinstance(results, list) else []
    return [str(each["facts"].get("docker_host", "")) for each in made]


def _suites(artifacts: Path) -> dict[str, object]:
    return {each.name: tests_of(each.read_text()) for each in sorted(artifacts.glob("*.xml"))}


def _machine(runtime: HostRuntime) -> dict[str, object]:
    machine = runtime.machine
    return {
        "architecture": machine.architecture,
        "system": platform.platform(),
        "distribution": platform.freedesktop_os_release().get("PRETTY_NAME", ""),
        "cpu": cpu_name(),
        "l4t": machine.l4t,
        "board": machine.board,
        "jetpack": machine.jetpack and machine.jetpack.identity,
        "gpu": runtime.gpu,
        "cuInit": _said((sys.executable, "-c", INIT)),
    }


def _groups() -> dict[str, object]:
    """Tell the user's groups: the system's by name, those of people only by number."""
    groups = sorted({os.getegid(), *os.getgroups()})
    return {"root": os.geteuid() == 0, "groups": [_group(number) for number in groups]}


def _group(number: int) -> str:
    try:
        name = grp.getgrgid(number).gr_name if number < FIRST_OF_PEOPLE else ""
    except KeyError:
        name = ""
    return f"{number} {name}".strip()


def _access(file: Path) -> str:
    """Tell a file's mode, owner and group, by their numbers."""
    found = file.stat()
    return f"{found.st_mode & 0o777:o} {found.st_uid}:{found.st_gid}"


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace").strip("\0 \n").replace("\0", " ")[:LONGEST]
    except OSError as error:
        return f"not readable: {error.strerror}"


def _said(command: Sequence[str]) -> str:
    try:
        return output_of(command)[:LONGEST]
    except ProcessFailed as failed:
        return f"failed: {failed.message}"


def _packages() -> list[str]:
    listed = _said(("dpkg-query", "-W", "-f", "${binary:Package} ${Version} ${db:Status-Abbrev}\n"))
    return [line for line in listed.splitlines() if PACKAGES.search(line)]


def _disks(settings: Settings) -> dict[str, str]:
    """Tell the free space where packages, results and images go."""
    found = {}
    for folder in (SYSTEM, settings.cache, settings.artifacts, Path("/var/lib/docker")):
        there = next(each for each in (folder, *folder.parents) if each.exists())
        usage = shutil.disk_usage(there)
        found[str(folder)] = f"{usage.free / 1e9:.1f} of {usage.total / 1e9:.1f} GB free"
    return found


def _environments(settings: Settings, runtime: HostRuntime) -> dict[str, object]:
    """Tell of each environment what it is, whether it is built, and what loads there."""
    found: dict[str, object] = {}
    for name, environment in runtime.environments.items():
        folder = environment_folder(environment, settings)
        python = folder / "bin/python"
        found[name] = {
            "identity": environment.identity,
            "folder": str(folder),
            "built": folder.exists(),
            "log": tail(folder.with_suffix(".log"), lines=60),
            "imports": _imports(python) if folder.exists() and name != TRAIN else {},
        }
    jetpack = runtime.machine.jetpack
    if jetpack:
        found["JetPack's own Python"] = {"imports": _imports(jetpack.python)}
    return found


def _imports(python: Path) -> dict[str, str]:
    """Import each module by itself: one that crashes hides no other."""
    found = {module: load(python, module) for module in MODULES}
    return {
        module: said if loaded else f"failed: {said}" for module, (loaded, said) in found.items()
    }
