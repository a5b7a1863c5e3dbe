"""What a JetPack brings that pycuda is compiled with: nvcc's folder, CUDA's headers, a driver."""

import re
import subprocess
from pathlib import Path

# CUDA's headers are wheels of the index: the nearest to each JetPack's CUDA that there is.
HEADERS = {
    "11.8": ("nvidia-cuda-runtime-cu11==11.8.89", "nvidia-cuda-profiler-api-cu11==11.8.86"),
    "12.6": ("nvidia-cuda-runtime-cu12==12.6.77", "nvidia-cuda-profiler-api-cu12==12.6.77"),
    "13.0": ("nvidia-cuda-runtime==13.0.96", "nvidia-cuda-profiler-api==13.0.85"),
}
NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE of cuda.h
NAMED = """
int cuGetErrorString(int error, const char **text) { *text = "no CUDA-capable device"; return 0; }
int cuGetErrorName(int error, const char **text) { *text = "CUDA_ERROR_NO_DEVICE"; return 0; }
"""


def make_cuda(folder: Path, unpacked: Path) -> Path:
    """Lay out ``unpacked`` wheels as a JetPack's /usr/local/cuda, with a driver that has no GPU.

    Every function that its headers name is there and answers that there is no device.
    """
    include, stubs = folder / "include", folder / "lib64/stubs"
    include.mkdir(parents=True)
    stubs.mkdir(parents=True)
    for header in unpacked.glob("nvidia/*/include/**/*"):
        _, _, name = str(header).partition("/include/")
        if header.is_dir():
            (include / name).mkdir(exist_ok=True)
        else:
            (include / name).write_bytes(header.read_bytes())
    nvcc = folder / "bin/nvcc"  # pycuda's setup asks only where it is
    nvcc.parent.mkdir()
    nvcc.write_text("#!/bin/sh\nexit 1\n")
    nvcc.chmod(0o755)
    declared = "".join((include / name).read_text() for name in ("cuda.h", "cudaProfiler.h"))
    names = sorted(set(re.findall(r"\bcu[A-Z]\w*", declared)) - set(re.findall(r"cu\w+", NAMED)))
    source = folder / "driver.c"
    lines = [f"int {name}(void) {{ return {NO_DEVICE}; }}\n" for name in names]
    source.write_text("".join([NAMED, *lines]))
    library = stubs / "libcuda.so.1"
    subprocess.run(
        ["g++", "-xc", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", str(source),
         "-o", str(library)],
        check=True,
    )  # fmt: skip
    (stubs / "libcuda.so").symlink_to("libcuda.so.1")
    return folder
