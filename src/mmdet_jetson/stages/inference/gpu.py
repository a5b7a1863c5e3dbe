"""Run an engine on an NVIDIA GPU: one context, page-locked buffers and CUDA events, all reused."""

from pathlib import Path
from types import ModuleType
from typing import Dict, Optional, Tuple

import numpy as np

from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.cuda import Cuda, open_cuda
from mmdet_jetson.stages.inference.engine_tensors import EngineTensors, tensors_of
from mmdet_jetson.stages.inference.network import Network


def open_engine(trt: ModuleType, file: Path, dla: Optional[int] = None) -> Network:
    """Load an engine with ``tensorrt`` or ``tensorrt_rtx`` (``trt``), for accelerator ``dla``.

    Raises:
        StageError: there is no GPU, no Python package for CUDA, or the engine does not load.
    """
    cuda = open_cuda()
    runtime = trt.Runtime(trt.Logger(trt.Logger.WARNING))
    if dla is not None:
        runtime.DLA_core = dla
    engine = runtime.deserialize_cuda_engine(file.read_bytes())
    if engine is None:
        raise StageError(
            f"TensorRT {trt.__version__} cannot load {file.name}",
            f"invoke preflight {file.parent} shows how this machine differs from the one that "
            "built it",
        )
    return GpuSession(tensors_of(engine), cuda, keep=(runtime, engine))


class GpuSession:
    """A `Network`. ``milliseconds`` is what the last call took on the GPU, copies left out.

    Args:
        tensors: the engine's inputs and outputs.
        cuda: memory, one stream and two events.
        keep: what has to live as long as the session.
    """

    def __init__(self, tensors: EngineTensors, cuda: Cuda, keep: Tuple[object, ...] = ()) -> None:
        self.tensors, self.cuda, self.keep = tensors, cuda, keep
        self.buffers: Dict[str, Buffer] = {}
        self.milliseconds = 0.0

    def __call__(self, *inputs: np.ndarray) -> Tuple[np.ndarray, ...]:
        """Run once. The outputs are copies: the next call does not change them.

        Raises:
            StageError: an input has a size that the engine does not take, or TensorRT fails.
        """
        for name, values in zip(self.tensors.inputs, inputs):
            self.upload(name, values)
        self.cuda.start_timer()
        return self.run()

    def upload(self, name: str, values: np.ndarray) -> None:
        """Fill an input."""
        self.reserve(name, values.shape).upload(values)

    def reserve(self, name: str, shape: Tuple[int, ...]) -> "Buffer":
        """Give the buffer of an input that has this shape in the next run."""
        if not self.tensors.set_shape(name, shape):
            raise StageError(
                f"this engine does not accept {name} of shape {'x'.join(map(str, shape))}",
                "graph.json beside it lists the accepted sizes; where it accepts any picture, a "
                "side may have 32 pixels or more, and as many as largest_picture in passport.json",
            )
        return self._buffer(name, shape)

    def run(self) -> Tuple[np.ndarray, ...]:
        """Run on inputs that are on the GPU; the timer, which the caller started, stops."""
        tensors, cuda = self.tensors, self.cuda
        outputs = [self._buffer(name, tensors.shape(name)) for name in tensors.outputs]
        addresses = {name: buffer.device for name, buffer in self.buffers.items()}
        if not tensors.execute(addresses, cuda.stream):
            raise StageError("TensorRT failed to run the engine", "read its messages in the log")
        cuda.stop_timer()
        for buffer in outputs:
            cuda.download(buffer.host, buffer.device)
        cuda.synchronize()
        self.milliseconds = cuda.elapsed_milliseconds()
        return tuple(buffer.host.copy() for buffer in outputs)

    def _buffer(self, name: str, shape: Tuple[int, ...]) -> "Buffer":
        buffer = self.buffers.setdefault(name, Buffer(self.cuda))
        return buffer.shaped(shape, self.tensors.dtype(name))


class Buffer:
    """The same tensor in page-locked memory (``host`` has its present shape) and on the GPU."""

    def __init__(self, cuda: Cuda) -> None:
        self.cuda, self.device = cuda, 0
        self.memory: np.ndarray = np.empty(0, np.uint8)
        self.host: np.ndarray = self.memory

    def shaped(self, shape: Tuple[int, ...], dtype: "np.dtype[np.generic]") -> "Buffer":
        """Reuse the memory for a tensor of this shape; it grows when a larger one comes."""
        size = int(np.prod(shape)) * dtype.itemsize
        if self.memory.size < max(size, 1):
            self._free()
            self.memory, self.device = (
                self.cuda.pinned(max(size, 1)),
                self.cuda.allocate(max(size, 1)),
            )
        self.host = self.memory[:size].view(dtype).reshape(shape)
        return self

    def _free(self) -> None:
        """Give back what has become too small, before there is more: both may not fit."""
        if not self.device:
            return
        outgrown, device = self.memory, self.device
        self.memory = self.host = np.empty(0, np.uint8)
        self.device = 0
        # The stream may still copy from one to the other.
        self.cuda.synchronize()
        self.cuda.free(outgrown, device)

    def upload(self, values: np.ndarray) -> None:
        """Copy to the GPU by way of the page-locked memory."""
        np.copyto(self.host, values)
        self.cuda.upload(self.device, self.host)
