"""What this machine can do, and the command that mends what is missing."""

import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmdet_jetson.config.settings import Settings
from mmdet_jetson.environments.packages import Environment, environment_folder
from mmdet_jetson.environments.pythons import installed_python
from mmdet_jetson.fetching.locations import Location
from mmdet_jetson.processes import ProcessFailed, output_of
from mmdet_jetson.runtimes.host import HostRuntime

NEEDED_GB = 8  # environments 3.2, wheels and build 1, the demo's store and jobs; rounded up
TOOLS = (
    (
        "GPU",
        ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
        "training uses the CPU; install NVIDIA's driver to use a GPU",
    ),
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


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. ``needed`` tells whether `invoke demo` fails without it."""

    what: str
    good: bool
    detail: str
    mend: str = ""
    needed: bool = True


def examine(settings: Settings, runtime: HostRuntime) -> list[Finding]:
    """Look at the machine without changing it."""
    return [
        *_environments(settings, runtime),
        _compiler(runtime.environments["train"], settings),
        _disk("cache", settings.cache),
        _disk("store", settings.artifacts),
        _memory(),
        *_mirrors(settings),
        *(_tool(what, command, mend) for what, command, mend in TOOLS),
    ]


def _environments(settings: Settings, runtime: HostRuntime) -> Iterator[Finding]:
    yield Finding("Python of Invoke", True, f"{sys.version.split()[0]} at {sys.executable}")
    for environment in runtime.environments.values():
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


def _compiler(environment: Environment, settings: Settings) -> Finding:
    found = shutil.which("g++") or shutil.which("c++")
    built = environment_folder(environment, settings).exists()
    detail = found or (
        "none, and none is needed any more" if built else "none; mmcv needs one once"
    )
    return Finding("C++ compiler", bool(found) or built, detail, "apt-get install g++")


def _disk(what: str, folder: Path) -> Finding:
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
        usage.free / 1e9 >= NEEDED_GB,
        f"{usage.free / 1e9:.0f} GB free at {folder}",
        f"free {NEEDED_GB} GB, or {move}",
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


def _tool(what: str, command: list[str], mend: str) -> Finding:
    try:
        return Finding(what, True, output_of(command).splitlines()[0], needed=False)
    except (ProcessFailed, IndexError):
        return Finding(what, False, "not found, or it does not respond", mend, needed=False)
