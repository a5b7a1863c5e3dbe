"""The memory of one tensor, on the host and on the GPU, reused from call to call."""

from typing import Callable, Tuple
from weakref import finalize

import numpy as np

from mmdet_jetson.stages.inference.cuda_api import Cuda


class Buffer:
    """The same tensor in page-locked memory (``host`` has its present shape) and on the GPU.

    With ``mapped`` both are one: nothing is copied, and the GPU works on the host's memory.
    """

    def __init__(self, cuda: Cuda, mapped: bool = False) -> None:
        self.cuda, self.mapped, self.device = cuda, mapped, 0
        self.memory: np.ndarray = np.empty(0, np.uint8)
        self.host: np.ndarray = self.memory
        self.give_back: Callable[[], object] = lambda: None

    def shaped(self, shape: Tuple[int, ...], dtype: "np.dtype[np.generic]") -> "Buffer":
        """Reuse the memory for a tensor of this shape; it grows when a larger one comes."""
        size = int(np.prod(shape)) * dtype.itemsize
        if self.memory.size < max(size, 1):
            self._grow(max(size, 1))
        self.host = self.memory[:size].view(dtype).reshape(shape)
        return self

    def _grow(self, size: int) -> None:
        """Give back what has become too small before there is more: both may not fit."""
        self.memory = self.host = np.empty(0, np.uint8)
        self.give_back()
        if self.mapped:
            self.memory, self.device = self.cuda.mapped(size)
        else:
            self.memory, self.device = self.cuda.pinned(size), self.cuda.allocate(size)
        # Also when nothing refers to this any more, or the process ends.
        self.give_back = finalize(self, _free, self.cuda, self.memory, self.device)

    def fill(self, values: np.ndarray) -> "Buffer":
        """Write to the host's memory."""
        np.copyto(self.host, values)
        return self

    def upload(self) -> None:
        """Send what the host's memory holds to the GPU."""
        if not self.mapped:
            self.cuda.upload(self.device, self.host)

    def download(self) -> None:
        """Get what the GPU's memory holds."""
        if not self.mapped:
            self.cuda.download(self.host, self.device)


def _free(cuda: Cuda, memory: np.ndarray, device: int) -> None:
    with cuda.active():
        # The stream may still copy from one to the other.
        cuda.synchronize()
        cuda.free(memory, device)
