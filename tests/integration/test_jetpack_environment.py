"""Environment `deploy` as a Jetson without Docker gets it, as far as a PC goes.

Its packages for aarch64 are unpacked for the Python and the glibc of each JetPack, and pycuda is
compiled by the commands that a device runs, against CUDA's headers and a driver without a GPU.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from fake_jetpack import HEADERS, make_cuda
from needed import absent

from mmdet_jetson.config.settings import read_settings
from mmdet_jetson.environments import toolchain
from mmdet_jetson.environments.packages import _entries, jetpack_environment, python_of
from mmdet_jetson.environments.pythons import installed_python
from mmdet_jetson.environments.this_machine import JetPack

ROOT = Path(__file__).resolve().parents[2]
# JetPack's Python, and of its Ubuntu (20.04, 22.04, 24.04) the glibc and the newest symbols of the
# C++ library (GCC's manual, "ABI Policy and Guidelines").
JETPACKS = {"5": ("3.8", 31, 28), "6": ("3.10", 35, 30), "7": ("3.12", 39, 33)}
# What every Ubuntu has of libraries: glibc's, GCC's and zlib.
SYSTEMS = {
    "ld-linux-aarch64.so.1", "libc.so.6", "libdl.so.2", "libgcc_s.so.1", "libm.so.6",
    "libpthread.so.0", "librt.so.1", "libstdc++.so.6", "libutil.so.1", "libz.so.1",
}  # fmt: skip
INSTALL = ("pip", "install", "--quiet", "--no-deps")


def uv(*arguments: str) -> None:
    """Run uv as the environments do; skip where the index is out of reach."""
    command = [sys.executable, "-m", "uv", *arguments]
    env = {"UV_SYSTEM_CERTS": "1", **os.environ}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    if re.search("error sending request|dns error|the network was disabled", done.stderr):
        absent(f"the package index is out of reach: {done.stderr.strip()}")
    assert not done.returncode, done.stderr


def jetpack_of(python: str, version: str) -> JetPack:
    return JetPack("35.4.1", Path(python), version, "8.5.2-1+cuda11.4", 87, "11.4")


def newest(symbols: bytes, library: bytes) -> int:
    """Give the newest version of a system library whose symbols another asks for."""
    return max(map(int, re.findall(symbols, library)), default=0)


def needed_by(libraries: list[Path]) -> set[str]:
    """Name the shared libraries that others ask the system's loader for."""
    listed = subprocess.run(
        ["readelf", "--dynamic", "--wide", *libraries], capture_output=True, text=True, check=True
    )
    return set(re.findall(r"\(NEEDED\).*\[(.*)\]", listed.stdout))


@pytest.mark.parametrize("jetpack", JETPACKS)
def test_every_package_of_deploy_is_there_for_a_jetson(jetpack: str, tmp_path: Path) -> None:
    """But for pycuda, which is the one that comes as source."""
    version, glibc, cxx = JETPACKS[jetpack]
    environment = jetpack_environment(ROOT, jetpack_of("python3", version))
    entries = [e for lock in (environment.lock, *environment.more_locks) for e in _entries(lock)]
    lock = tmp_path / "packages.lock"
    lock.write_text("".join(entry for entry in entries if not entry.startswith("pycuda==")))
    uv(
        *INSTALL, "--python-platform", f"aarch64-manylinux_2_{glibc}", "--python-version", version,
        "--only-binary", ":all:", "--require-hashes", "--target", str(tmp_path / "packages"),
        "--requirements", str(lock),
    )  # fmt: skip
    libraries = list((tmp_path / "packages").rglob("*.so"))
    tag = f"cpython-{version.replace('.', '')}-aarch64"
    assert {"numpy", "cv2", "onnx", "onnxruntime", "pycocotools", "markupsafe"} <= {
        library.relative_to(tmp_path / "packages").parts[0] for library in libraries
    }
    assert any(tag in library.name for library in libraries)
    bundled = {library.name for library in (tmp_path / "packages").rglob("*.so*")}
    assert {"libc.so.6"} <= needed_by(libraries) - bundled <= SYSTEMS
    for library in libraries:
        content = library.read_bytes()
        assert content[18:20] == b"\xb7\0"  # EM_AARCH64
        assert newest(rb"GLIBC_2\.(\d+)", content) <= glibc, library
        assert newest(rb"GLIBCXX_3\.4\.(\d+)", content) <= cxx, library


def test_pycuda_is_compiled_as_on_a_jetson(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its import reaches the driver, which says that it has no GPU; libcurand is not asked for."""
    settings = msgspec.structs.replace(read_settings(), cache=tmp_path / "cache")
    base = installed_python("3.8", settings)
    if base is None:
        absent("no Python 3.8")
    uv("cache", "clean", "--quiet", "pycuda")  # what the last run of this test compiled
    uv(
        *INSTALL, "--python-version", "3.8", "--only-binary", ":all:", "--target", str(tmp_path / "wheels"),
        *HEADERS["11.8"],
    )  # fmt: skip
    cuda = make_cuda(tmp_path / "cuda", tmp_path / "wheels")
    monkeypatch.setattr(toolchain, "CUDA", cuda)
    python = python_of(jetpack_environment(ROOT, jetpack_of(str(base), "3.8")), settings, print)
    script = "import numpy; from pycuda import driver; print(numpy.__version__); driver.init()"
    env = {**os.environ, "LD_LIBRARY_PATH": str(cuda / "lib64/stubs")}
    done = subprocess.run(
        [str(python), "-c", script], capture_output=True, text=True, check=False, env=env
    )
    assert done.stdout == "1.24.4\n", done.stderr
    assert "cuInit failed: no CUDA-capable device" in done.stderr
    (driver,) = python.parents[1].glob("lib/python3.8/site-packages/pycuda/_driver*.so")
    assert b"libcuda.so.1" in driver.read_bytes()
    assert b"libcurand" not in driver.read_bytes()
