"""Stand-ins for what runs engines: memory on a GPU, and the two APIs of TensorRT's engines.

An engine computes what its ONNX file says, in ONNX Runtime, on the memory of `FakeCuda`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from itertools import count
from threading import RLock
from typing import ClassVar

import numpy as np
import onnx
import onnxruntime as ort
from kernels_on_cpu import compiled

from mmdet_jetson.stages.inference.cuda_api import Kernel, Submit
from mmdet_jetson.stages.inference.engine_tensors import NUMPY_TYPES

TensorMode = IntEnum("TensorMode", "NONE INPUT OUTPUT", start=0)


class FakeCuda:
    """Memory that is found by its address, as `inference.cuda.Cuda` gives it."""

    blocks: ClassVar[dict[int, np.ndarray]] = {}
    addresses: ClassVar[Iterator[int]] = count(1000)
    integrated = True

    def __init__(self) -> None:
        self.stream, self.allocated, self.timed, self.captured = 1, 0, 0, 0
        self.lock, self.users = RLock(), 0

    @contextmanager
    def active(self) -> Iterator[None]:
        with self.lock:
            self.users += 1
            yield
            self.users -= 1

    def pinned(self, size: int) -> np.ndarray:
        assert self.users
        return np.zeros(size, np.uint8)

    def mapped(self, size: int) -> tuple[np.ndarray, int]:
        host, address = np.zeros(size, np.uint8), self.allocate(size)
        self.blocks[address] = host
        return host, address

    def capture(self, submit: Submit) -> "FakeGraph":
        self.captured += 1
        return FakeGraph(submit)

    def allocate(self, size: int) -> int:
        assert self.users
        self.allocated += 1
        address = next(self.addresses)
        self.blocks[address] = np.zeros(size, np.uint8)
        return address

    def free(self, host: np.ndarray, device: int) -> None:
        del self.blocks[device]

    def upload(self, device: int, host: np.ndarray) -> None:
        assert self.users
        self.blocks[device][: host.nbytes] = host.reshape(-1).view(np.uint8)

    def download(self, host: np.ndarray, device: int) -> None:
        host.reshape(-1).view(np.uint8)[:] = self.blocks[device][: host.nbytes]

    def start_timer(self) -> None:
        self.timed += 1

    def stop_timer(self) -> None:
        self.timed += 1

    def synchronize(self) -> None: ...

    def elapsed_milliseconds(self) -> float:
        return 1.5

    def compile(self, source: str, name: str, arguments: str) -> Kernel:
        """Compile for this CPU; the kernel works on the memory behind each address."""
        function = compiled(source, name, arguments)

        def launch(grid: tuple[int, int], block: tuple[int, int, int], *values: int) -> None:
            assert self.timed % 2 == 1  # the timer runs
            kinds = zip(values, arguments, strict=True)
            function(grid, block, *(self._memory(v) if kind == "P" else v for v, kind in kinds))

        return launch

    def _memory(self, address: int) -> int:
        return int(self.blocks[address].ctypes.data)


class FakeGraph:
    """What was captured; nothing of it is done before it is launched."""

    def __init__(self, submit: Submit) -> None:
        self.launch = submit

    def free(self) -> None: ...


class NamedEngine:
    """TensorRT 8.5 and later. No builder promises an order: here it is always that of the graph,
    the other way round.
    """

    def __init__(self, data_type: type[IntEnum], model: onnx.ModelProto) -> None:
        self._data_type = data_type
        self._session = ort.InferenceSession(model.SerializeToString())
        self._inputs: list[str] = [value.name for value in self._session.get_inputs()][::-1]
        self._outputs: list[str] = [value.name for value in self._session.get_outputs()][::-1]
        self._names = [*self._inputs, *self._outputs]

    num_io_tensors = property(lambda self: len(self._names))

    def get_tensor_name(self, index: int) -> str:
        return self._names[index]

    def get_tensor_mode(self, name: str) -> TensorMode:
        return TensorMode.INPUT if name in self._inputs else TensorMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> IntEnum:
        return self._data_type[_TYPES[_value(self._session, name).type]]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        shape = _value(self._session, name).shape
        return tuple(size if isinstance(size, int) else -1 for size in shape)

    def create_execution_context(self) -> "NamedContext | NumberedContext":
        return NamedContext(self)


class NumberedEngine:
    """TensorRT 8.4 and earlier, and what 8.5 and 8.6 still have."""

    def __init__(self, data_type: type[IntEnum], model: onnx.ModelProto) -> None:
        self._named = NamedEngine(data_type, model)

    num_bindings = property(lambda self: self._named.num_io_tensors)

    def get_binding_name(self, index: int) -> str:
        return self._named.get_tensor_name(index)

    def binding_is_input(self, index: int) -> bool:
        return self.get_binding_name(index) in self._named._inputs

    def get_binding_dtype(self, index: int) -> IntEnum:
        return self._named.get_tensor_dtype(self.get_binding_name(index))

    def get_binding_shape(self, index: int) -> tuple[int, ...]:
        return self._named.get_tensor_shape(self.get_binding_name(index))

    def create_execution_context(self) -> "NamedContext | NumberedContext":
        return NumberedContext(self._named)


class NumberedAndNamedEngine(NamedEngine, NumberedEngine):
    """TensorRT 8.5 and 8.6."""


class NamedContext:
    def __init__(self, engine: NamedEngine) -> None:
        self._engine = engine
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        """As TensorRT does, refuse what differs from a fixed side."""
        known = self._engine.get_tensor_shape(name)
        sides = zip(shape, known, strict=False)
        if len(shape) != len(known) or any(fixed not in (-1, size) for size, fixed in sides):
            return False
        self._shapes[name] = shape
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._shapes.get(name) or _value(self._engine._session, name).shape)

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        return _execute(self._engine, self._addresses, self.get_tensor_shape)


class NumberedContext:
    def __init__(self, engine: NamedEngine) -> None:
        self._named = NamedContext(engine)
        self._engine = engine

    def set_binding_shape(self, index: int, shape: tuple[int, ...]) -> bool:
        return self._named.set_input_shape(self._engine._names[index], shape)

    def get_binding_shape(self, index: int) -> tuple[int, ...]:
        return self._named.get_tensor_shape(self._engine._names[index])

    def execute_async_v2(self, bindings: list[int], stream_handle: int) -> bool:
        addresses = dict(zip(self._engine._names, bindings, strict=True))
        return _execute(self._engine, addresses, self._named.get_tensor_shape)


_TYPES = {
    "tensor(float)": "FLOAT", "tensor(uint8)": "UINT8", "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
}  # fmt: skip


def _value(session: ort.InferenceSession, name: str) -> ort.NodeArg:
    return next(v for v in (*session.get_inputs(), *session.get_outputs()) if v.name == name)


def _execute(
    engine: NamedEngine, addresses: dict[str, int], shape: Callable[[str], tuple[int, ...]]
) -> bool:
    def memory(name: str) -> np.ndarray:
        dtype = np.dtype(NUMPY_TYPES[engine.get_tensor_dtype(name).name])
        size = int(np.prod(shape(name))) * dtype.itemsize
        block = FakeCuda.blocks[addresses[name]][:size]
        values: np.ndarray = block.view(dtype).reshape(shape(name))
        return values

    found = engine._session.run(engine._outputs, {name: memory(name) for name in engine._inputs})
    for name, values in zip(engine._outputs, found, strict=True):
        memory(name)[...] = values
    return True
