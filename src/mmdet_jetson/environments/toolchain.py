"""What a package that comes as source needs of a machine to be compiled, and what brings it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from mmdet_jetson.errors import UserError
from mmdet_jetson.processes import ProcessFailed, output_of

CUDA = Path("/usr/local/cuda")
"""Where JetPack puts CUDA; nothing adds its ``bin`` to the PATH."""
NEEDS_CUDA = ("pycuda",)
# Debian's Pythons and relocated ones disagree about which of these is right.
ASK_HEADERS = """
import pathlib, sysconfig
folders = [sysconfig.get_path("include"), sysconfig.get_config_var("INCLUDEPY")]
print(next((h for f in folders if f and (h := pathlib.Path(f, "Python.h")).is_file()), ""))
"""


@dataclass(frozen=True)
class Tool:
    """One thing that compiling needs: where it is, empty where it is not, and its package."""

    what: str
    found: str
    package: str


def tools(package: str, python: Path, version: str) -> list[Tool]:
    """Look for all that compiling ``package`` for a Python (3.8, ...) needs; nothing is changed."""
    found = [
        Tool("C++ compiler (g++)", shutil.which("g++") or shutil.which("c++") or "", "g++"),
        Tool(f"Python.h of Python {version}", _headers(python), f"python{version}-dev"),
    ]
    if package in NEEDS_CUDA:
        nvcc = _nvcc()
        found.append(Tool(f"nvcc in {CUDA}/bin or on the PATH", nvcc, "nvidia-jetpack"))
        include = Path(nvcc).parents[1] / "include" if nvcc else CUDA / "include"
        found += [_header(include / name) for name in ("cuda.h", "cudaProfiler.h")]
    return found


def check_tools(package: str, python: Path, version: str) -> None:
    """Refuse what would fail after minutes.

    Raises:
        UserError: something is missing; its package is named.
    """
    lacking = [tool for tool in tools(package, python, version) if not tool.found]
    if lacking:
        packages = dict.fromkeys(tool.package for tool in lacking)
        raise UserError(
            f"{package} has to be compiled on this machine, which has no "
            + ", no ".join(tool.what for tool in lacking),
            f"sudo apt-get install {' '.join(packages)}",
        )


def cuda_folder() -> str:
    """Give the folder that has nvcc: pycuda takes the first on the PATH for the CUDA to use."""
    nvcc = _nvcc()
    return str(Path(nvcc).parent) if nvcc else ""


def _nvcc() -> str:
    return shutil.which("nvcc", path=CUDA / "bin") or shutil.which("nvcc") or ""


def _header(path: Path) -> Tool:
    return Tool(
        f"{path.name} in {path.parent}", str(path) if path.is_file() else "", "nvidia-jetpack"
    )


def _headers(python: Path) -> str:
    try:
        return output_of([str(python), "-c", ASK_HEADERS])
    except ProcessFailed:
        return ""
