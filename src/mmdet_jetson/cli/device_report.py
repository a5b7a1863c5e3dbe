"""`invoke doctor --report FILE`: one file with all that somebody at a distance needs to know.

It holds what this machine is, what can be imported and why not, and what was made here last. It
holds no environment variables, no names of people or hosts, and of files only those named here;
the user's own folder is written as ``~``, and addresses without their user and password.
"""

import platform
import re
import shutil
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

import msgspec

from mmdet_jetson import __version__
from mmdet_jetson.cli.device import has_module, load
from mmdet_jetson.cli.findings import Finding
from mmdet_jetson.cli.last_results import failed_jobs, last_results
from mmdet_jetson.config.settings import Settings
from mmdet_jetson.contract.files import write_whole
from mmdet_jetson.contract.nvidia import gpu_files
from mmdet_jetson.environments.commit import git_commit
from mmdet_jetson.environments.packages import environment_folder
from mmdet_jetson.environments.pythons import installed_python
from mmdet_jetson.environments.this_machine import SYSTEM, cpu_name
from mmdet_jetson.errors import UserError
from mmdet_jetson.files import disk_errors
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
LONGEST = 20_000  # characters of a file or of an answer


def write_report(
    file: str, settings: Settings, runtime: HostRuntime, findings: Sequence[Finding]
) -> None:
    """Write the report, all of it or nothing.

    Raises:
        UserError: the file cannot be written.
    """
    path = Path(file).absolute()
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else f"cannot be: there is no folder {path.parent}"
        raise UserError(f"--report {file}: that {what}", "name a file, such as report.json")
    report = {
        "written": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "project": {"version": __version__, "commit": git_commit()},
        "findings": list(findings),
        "machine": _machine(runtime),
        "user": _groups(),
        "gpu_files": {str(each): _access(each) for each in gpu_files()},
        "files": {str(each): _text(each) for name in FILES for each in sorted(SYSTEM.glob(name))},
        "commands": {" ".join(command): _said(command) for command in COMMANDS},
        "kernel_modules": {name: has_module(name) for name in MODULES_OF_KERNEL},
        "packages": _packages(),
        "disks": _disks(settings),
        "pythons": {each: str(installed_python(each, settings) or "") for each in PYTHONS},
        "environments": _environments(settings, runtime),
        "results": last_results(settings.artifacts),
        "failed": failed_jobs(settings.artifacts),
        "suites": {each.name: _text(each) for each in sorted(settings.artifacts.glob("*.xml"))},
    }
    with disk_errors(path):
        write_whole(path, _without_secrets(msgspec.json.encode(report)))


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
    """Tell the user's groups by number and name; not who it is."""
    names = _said(("id", "-Gn"))
    return {"root": _said(("id", "-u")) == "0", "groups": f"{_said(('id', '-G'))}: {names}"}


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


def _without_secrets(report: bytes) -> bytes:
    text = re.sub(r"://[^/@\s\"]+@", "://", report.decode())
    home = str(Path.home())
    if home != "/":
        text = re.sub(re.escape(home) + r"(?![\w.-])", "~", text)
    return msgspec.json.format(text.encode(), indent=1)
