"""Run an engine on an NVIDIA GPU: one context, page-locked buffers and CUDA events, all reused."""

from pathlib import Path
from types import ModuleType
from typing import Callable, Dict, Mapping, Sequence, Tuple

import numpy as np

from mmdet_jetson.contract.parameters.engine import SMALLEST_SIDE
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.buffers import Buffer
from mmdet_jetson.stages.inference.cuda import open_cuda
from mmdet_jetson.stages.inference.cuda_api import Cuda
from mmdet_jetson.stages.inference.cuda_graph import Replaying
from mmdet_jetson.stages.inference.engine_tensors import EngineTensors, tensors_of
from mmdet_jetson.stages.inference.graph import Graph
from mmdet_jetson.stages.inference.network import Network, in_order
from mmdet_jetson.stages.inference.passport import CUDA_GRAPH, DLA, LARGEST, MAPPED_MEMORY


def open_engine(
    trt: ModuleType, file: Path, graph: Graph, settings: Mapping[str, object]
) -> Network:
    """Load an engine of ``graph`` with ``tensorrt`` or ``tensorrt_rtx`` (``trt``).

    ``settings`` are its passport's.

    Raises:
        StageError: there is no GPU, no Python package for CUDA, or the engine does not load.
    """
    cuda = open_cuda()
    with cuda.active():
        logger = trt.Logger(trt.Logger.WARNING)
        runtime = trt.Runtime(logger)
        if settings.get(DLA) is not None:
            runtime.DLA_core = settings[DLA]  # else it is computed by the first
        engine = runtime.deserialize_cuda_engine(file.read_bytes())
        if engine is None:
            raise StageError(
                f"TensorRT {trt.__version__} cannot load {file.name}",
                f"invoke preflight {file.parent} shows how this machine differs from the one that "
                "built it",
            )
        tensors = tensors_of(engine)
    return GpuSession(
        tensors,
        cuda,
        inputs=in_order(graph.inputs, tensors.inputs, file.name),
        outputs=in_order(graph.outputs, tensors.outputs, file.name),
        cuda_graph=bool(settings.get(CUDA_GRAPH)),
        # Where the GPU has memory of its own, each access would go through the bus.
        mapped=bool(settings.get(MAPPED_MEMORY)) and cuda.integrated,
        largest=settings.get(LARGEST),
        keep=(logger, runtime, engine),
    )


class GpuSession:
    """A `Network`, which any thread may call.

    ``milliseconds`` is what the last call took on the GPU, copies left out; in a session with CUDA
    graphs they are part of it.

    Args:
        tensors: the engine's inputs and outputs.
        cuda: memory, one stream and two events.
        inputs: the names of the inputs in the order in which they are given.
        outputs: the names of the outputs in the order in which they are returned.
        cuda_graph: whether calls with the same shapes are captured and replayed.
        mapped: whether tensors lie in memory that host and GPU share.
        largest: how long a side of a picture may be, where the engine takes any; None where not.
        keep: what has to live as long as the session.
    """

    def __init__(
        self,
        tensors: EngineTensors,
        cuda: Cuda,
        inputs: Sequence[str],
        outputs: Sequence[str],
        *,
        cuda_graph: bool = False,
        mapped: bool = False,
        largest: object = None,
        keep: Tuple[object, ...] = (),
    ) -> None:
        self.tensors, self.cuda, self.keep = tensors, cuda, keep
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        self.mapped, self.largest = mapped, largest
        self.replaying = Replaying(cuda) if cuda_graph else None
        self.buffers: Dict[str, Buffer] = {}
        self.milliseconds = 0.0

    def __call__(self, *inputs: np.ndarray) -> Tuple[np.ndarray, ...]:
        """Run once. The outputs are copies: the next call does not change them.

        Raises:
            StageError: an input has a size that the engine does not take, or TensorRT fails.
        """
        with self.cuda.active():
            named = zip(self.inputs, inputs)
            return self.run([self.reserve(n, values.shape).fill(values) for n, values in named])

    def reserve(self, name: str, shape: Tuple[int, ...]) -> Buffer:
        """Give the buffer of an input that has this shape in the next run."""
        if not self.tensors.set_shape(name, shape):
            raise StageError(
                f"this engine does not accept {name} of shape {'x'.join(map(str, shape))}",
                f"a side of a picture may have {SMALLEST_SIDE} to {self.largest} pixels: "
                "largest_picture of its target in targets.toml"
                if self.largest
                else "graph.json beside it lists the accepted sizes",
            )
        return self._buffer(name, shape)

    def run(
        self, uploads: Sequence[Buffer], prepare: Callable[[], None] = lambda: None
    ) -> Tuple[np.ndarray, ...]:
        """Upload buffers that were filled, ``prepare`` on the stream, run the engine and download.

        ``prepare`` depends on nothing but the shapes and the addresses of all buffers.
        """
        cuda = self.cuda
        outputs = [self._buffer(name, self.tensors.shape(name)) for name in self.outputs]
        if self.replaying is None:
            self._send(uploads, prepare, outputs, timed=True)
        else:
            buffers = (*uploads, *self.buffers.values())
            key = tuple((buffer.device, buffer.host.shape) for buffer in buffers)
            cuda.start_timer()
            self.replaying(key, lambda: self._send(uploads, prepare, outputs, timed=False))
            cuda.stop_timer()
        cuda.synchronize()
        self.milliseconds = cuda.elapsed_milliseconds()
        return tuple(buffer.host.copy() for buffer in outputs)

    def _send(
        self,
        uploads: Sequence[Buffer],
        prepare: Callable[[], None],
        outputs: Sequence[Buffer],
        timed: bool,
    ) -> None:
        """Send all steps to the stream."""
        addresses = {name: buffer.device for name, buffer in self.buffers.items()}
        for buffer in uploads:
            buffer.upload()
        if timed:
            self.cuda.start_timer()
        prepare()
        if not self.tensors.execute(addresses, self.cuda.stream):
            raise StageError("TensorRT failed to run the engine", "read its messages in the log")
        if timed:
            self.cuda.stop_timer()
        for buffer in outputs:
            buffer.download()

    def _buffer(self, name: str, shape: Tuple[int, ...]) -> Buffer:
        buffer = self.buffers.setdefault(name, Buffer(self.cuda, self.mapped))
        return buffer.shaped(shape, self.tensors.dtype(name))
