"""What the tests on a GPU share."""

import ctypes
import subprocess
from contextlib import contextmanager
from typing import Callable, Iterator

import numpy as np

POINTER_MEMORY_TYPE, HOST, DEVICE = 2, 1, 2  # CUpointer_attribute and CUmemorytype of cuda.h


@contextmanager
def driver() -> Iterator[ctypes.CDLL]:
    """The CUDA driver, with the GPU's primary context on this thread."""
    library, context = ctypes.CDLL("libcuda.so.1"), ctypes.c_void_p()
    assert library.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0) == 0
    assert library.cuCtxPushCurrent_v2(context) == 0
    try:
        yield library
    finally:
        library.cuCtxPopCurrent_v2(ctypes.byref(context))
        library.cuDevicePrimaryCtxRelease_v2(0)


def kind_of_memory(address: int) -> int:
    """What CUDA says an address is; 0 where it knows nothing of it."""
    kind = ctypes.c_uint()
    with driver() as library:
        known = library.cuPointerGetAttribute(
            ctypes.byref(kind), POINTER_MEMORY_TYPE, ctypes.c_uint64(address)
        )
    return kind.value if known == 0 else 0


Program = Callable[..., "subprocess.CompletedProcess[str]"]


def noise(width: int, height: int) -> np.ndarray:
    """A picture: uint8 [height, width, 3]."""
    return np.random.default_rng(width + height).integers(0, 256, (height, width, 3), np.uint8)
