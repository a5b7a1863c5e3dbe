"""What this machine can do, and the command that mends what is missing."""

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from mmdet_jetson.cli.device import examine_device
from mmdet_jetson.cli.findings import Finding
from mmdet_jetson.config.settings import Settings
from mmdet_jetson.environments.packages import Environment, environment_folder, will_compile
from mmdet_jetson.environments.pythons import installed_python
from mmdet_jetson.environments.toolchain import tools
from mmdet_jetson.fetching.locations import Location
from mmdet_jetson.planning.stages import TRAIN
from mmdet_jetson.processes import ProcessFailed, output_of
from mmdet_jetson.runtimes.host import HostRuntime
from mmdet_jetson.slurm.cluster import Cluster, SlurmError

NEEDED_GB = 8  # environments 3.2, wheels and build 1, the demo's store and jobs; rounded up
NEEDED_ON_DEVICE_GB = (
    3  # environment `deploy` 0.4, its build 1, an engine's export, store and jobs; rounded up
)
NVIDIA_SMI = (
    "GPU",
    ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
    "training uses the CPU; install NVIDIA's driver to use a GPU",
)
TOOLS = (
    (
        "Docker",
        ["docker", "version", "--format", "{{.Server.Version}}"],
        "apt-get install docker.io (the host runtime needs none)",
    ),
    (
        "git",
        ["git", "--version"],
        "apt-get install git (artifacts then name the commit they come from)",
    ),
)


def examine(settings: Settings, runtime: HostRuntime) -> list[Finding]:
    """Look at the machine without changing it."""
    trains = _trains(runtime)
    needed = NEEDED_GB if trains else NEEDED_ON_DEVICE_GB
    used = [each for name, each in runtime.environments.items() if trains or name != TRAIN]
    parts: list[tuple[str, Callable[[], Iterable[Finding]]]] = [
        ("environments", lambda: _environments(settings, runtime)),
        ("compilers", lambda: (found for each in used for found in _sources(each, settings))),
        ("device", lambda: examine_device(runtime.machine)),
        ("cache folder", lambda: [_disk("cache", settings.cache, needed)]),
        ("store folder", lambda: [_disk("store", settings.artifacts, needed)]),
        ("memory", lambda: [_memory()]),
        ("mirrors", lambda: _mirrors(settings)),
        ("GPU", lambda: [_jetsons_gpu(runtime) if runtime.machine.l4t else _tool(*NVIDIA_SMI)]),
        ("tools", lambda: [_tool(*tool) for tool in TOOLS]),
        ("Slurm", _slurm),
    ]
    return [finding for what, part in parts for finding in _looked(what, part)]


def _looked(what: str, part: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """Look at one part; what cannot be read, as another user's folder, is a finding itself."""
    try:
        return list(part())
    except OSError as error:
        detail = f"cannot read {error.filename}: {error.strerror}"
        return [Finding(what, False, detail, "check who owns it, and which variable names it")]


def _environments(settings: Settings, runtime: HostRuntime) -> Iterator[Finding]:
    yield Finding("Python of Invoke", True, f"{sys.version.split()[0]} at {sys.executable}")
    for name, environment in runtime.environments.items():
        if name == TRAIN and not _trains(runtime):
            detail = "for x86-64 only: `invoke pack` on a PC makes what --onnx takes here"
            yield Finding(f"environment {name}", True, detail)
            continue
        folder = environment_folder(environment, settings)
        if folder.exists():
            yield Finding(f"environment {environment.name}", True, f"built at {folder}")
            continue
        python = installed_python(environment.python, settings)
        detail = f"not built yet; Python {environment.python} at {python}"
        if python:
            yield Finding(f"environment {environment.name}", True, detail)
        else:
            yield Finding(
                f"environment {environment.name}",
                False,
                f"not built yet, and no Python {environment.python} here; uv will try to fetch it",
                f"pyenv install {environment.python}",
                needed=False,
            )


def _trains(runtime: HostRuntime) -> bool:
    """Whether environment `train` can be here: MMDeploy has no packages for another machine."""
    return runtime.machine.architecture == "amd64"


def _sources(environment: Environment, settings: Settings) -> Iterator[Finding]:
    """Look for what the environment's package that comes as source is compiled with."""
    if environment_folder(environment, settings).exists():
        return
    if not will_compile(environment, settings):
        return
    jetpack = environment.jetpack
    python = jetpack.python if jetpack else installed_python(environment.python, settings)
    if python is None:
        return
    for tool in tools(environment.compiled, python, environment.python):
        detail = tool.found or f"not found; {environment.compiled} has to be compiled once"
        mend = f"sudo apt-get install {tool.package}"
        yield Finding(tool.what, bool(tool.found), detail, mend)


def _disk(what: str, folder: Path, needed: int) -> Finding:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    variable = "MMDET_JETSON_CACHE" if what == "cache" else "MMDET_JETSON_ARTIFACTS"
    move = f"move it with {variable}"
    usage = shutil.disk_usage(existing)
    if not existing.is_dir():
        return Finding(f"{what} folder", False, f"{existing} is a file, not a folder", move)
    if not usage.total:
        return Finding(f"{what} folder", False, f"{existing} is on no disk: it has no size", move)
    if not os.access(existing, os.W_OK):
        path = shlex.quote(str(folder))
        own = f"sudo mkdir -p {path} && sudo chown $USER {path}"
        return Finding(f"{what} folder", False, f"{folder} cannot be written", f"{own}, or {move}")
    return Finding(
        f"{what} folder",
        usage.free / 1e9 >= needed,
        f"{usage.free / 1e9:.0f} GB free at {folder}",
        f"free {needed} GB, or {move}",
    )


def _memory() -> Finding:
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return Finding(
        "memory", gigabytes >= 4, f"{gigabytes:.0f} GB, {os.cpu_count()} cores",
        "lower train.batch_size and train.workers", needed=False,
    )  # fmt: skip


def _mirrors(settings: Settings) -> Iterator[Finding]:
    for mirror in settings.mirrors:
        folder = Location(mirror).path
        if folder is None:
            yield Finding("mirror", True, f"{Location(mirror)} (not asked)")
            continue
        yield Finding("mirror", folder.is_dir(), mirror, "correct MMDET_JETSON_MIRRORS")


def _jetsons_gpu(runtime: HostRuntime) -> Finding:
    """Ask the CUDA driver: not every Jetson has nvidia-smi."""
    gpu = runtime.gpu
    if gpu is None:
        hint = "mend what stands above about its device files, else reinstall nvidia-l4t-cuda"
        return Finding("GPU", False, "the CUDA driver finds none", hint)
    detail = f"{gpu.name}, compute capability {gpu.sm}, driver {gpu.driver}, CUDA {gpu.cuda}"
    return Finding("GPU", True, detail)


def _slurm() -> Iterator[Finding]:
    """Look whether Slurm answers, where this is a login node of a site."""
    if not shutil.which("sbatch"):
        return
    try:
        listed = ", ".join(Cluster().partitions())
        yield Finding("Slurm", bool(listed), f"partitions {listed}", "ask the site", needed=False)
    except SlurmError as error:
        yield Finding("Slurm", False, error.message, error.hint, needed=False)


def _tool(what: str, command: list[str], mend: str) -> Finding:
    try:
        return Finding(what, True, output_of(command).splitlines()[0], needed=False)
    except (ProcessFailed, IndexError):
        return Finding(what, False, "not found, or it does not respond", mend, needed=False)
