"""An engine of one kernel: sessions run on a real GPU where no TensorRT compiles for it."""

from typing import Dict, Mapping, Tuple

import numpy as np
import pytest

from mmdet_jetson.stages.inference.cuda_api import CannotCompile, Cuda

SOURCE = """
__global__ void add(const float *picture, const float *mapping, float *dets, int count)
{
  const int place = blockIdx.x * blockDim.x + threadIdx.x;
  if (place < count) dets[place] = 2.0f * picture[place] + mapping[place % 4];
}
"""
THREADS = 256


def expected(picture: np.ndarray, mapping: np.ndarray) -> np.ndarray:
    """What `KernelEngine` makes of its inputs."""
    values = 2 * picture.ravel() + np.resize(mapping, picture.size)
    return values.reshape(picture.shape).astype(np.float32)


class KernelEngine:
    """`EngineTensors`: the output has the shape of the picture, [1, 3, height, width]."""

    inputs = ["mapping", "picture"]  # noqa: RUF012
    outputs = ["dets"]  # noqa: RUF012

    def __init__(self, cuda: Cuda) -> None:
        try:
            with cuda.active():
                self.kernel = cuda.compile(SOURCE, "add", "PPPi")
        except CannotCompile as error:
            pytest.skip(f"{type(cuda).__name__}: {error}")
        self.shapes: Dict[str, Tuple[int, ...]] = {}

    def dtype(self, name: str) -> "np.dtype[np.generic]":
        return np.dtype(np.float32)

    def set_shape(self, name: str, shape: Tuple[int, ...]) -> bool:
        self.shapes[name] = shape
        return True

    def shape(self, name: str) -> Tuple[int, ...]:
        return self.shapes["picture"]

    def execute(self, addresses: Mapping[str, int], stream: int) -> bool:
        count = int(np.prod(self.shapes["picture"]))
        places = [addresses[name] for name in ("picture", "mapping", "dets")]
        self.kernel((-(-count // THREADS), 1), (THREADS, 1, 1), *places, count)
        return True
