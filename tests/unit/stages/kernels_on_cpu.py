"""CUDA C compiled for the CPU by g++: every thread of the grid runs, one after the other."""

import ctypes
import functools
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
# A product is not fused with a sum where this CPU could do that.
OPTIONS = ["-x", "c++", "-O2", "-ffp-contract=off", "-Wall", "-Werror", "-shared", "-fPIC"]
TYPES: dict[str, type[ctypes.c_void_p | ctypes.c_int]] = {"P": ctypes.c_void_p, "i": ctypes.c_int}
# What a kernel uses of CUDA.
CUDA = """
#include <algorithm>
#include <cmath>
#include <cstddef>
using std::max; using std::min;
#define __global__ static
#define __device__ static
struct Place { int x, y, z; };
static Place blockIdx, blockDim, threadIdx;
"""
LAUNCH = """
extern "C" void launch(int grid_x, int grid_y, int block_x, int block_y, %(parameters)s)
{
  blockDim = {block_x, block_y, 1};
  for (blockIdx.y = 0; blockIdx.y < grid_y; ++blockIdx.y)
  for (blockIdx.x = 0; blockIdx.x < grid_x; ++blockIdx.x)
  for (threadIdx.y = 0; threadIdx.y < block_y; ++threadIdx.y)
  for (threadIdx.x = 0; threadIdx.x < block_x; ++threadIdx.x)
    %(name)s(%(names)s);
}
"""


@functools.cache
def compiled(source: str, name: str, arguments: str) -> Callable[..., None]:
    """Give what runs a kernel, called with grid, block and the values of its arguments."""
    parameters = source.partition(f"void {name}(")[2].partition(")")[0]
    names = [parameter.split()[-1].lstrip("*") for parameter in parameters.split(",")]
    assert len(names) == len(arguments)
    function = _built(
        CUDA + source + LAUNCH % {"parameters": parameters, "name": name, "names": ", ".join(names)}
    )
    function.argtypes = [*[ctypes.c_int] * 4, *[TYPES[kind] for kind in arguments]]

    def launch(grid: tuple[int, int], block: tuple[int, int, int], *values: int) -> None:
        assert block[0] * block[1] * block[2] <= 1024  # a GPU's limit
        function(*grid, *block[:2], *values)

    return launch


def _built(text: str) -> "ctypes._NamedFuncPointer":
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "kernel.so"
        subprocess.run(["g++", *OPTIONS, "-o", library, "-"], input=text, text=True, check=True)
        return ctypes.CDLL(str(library)).launch
