"""The inputs and outputs of a TensorRT engine, by name, in either of its two Python APIs.

TensorRT up to 8.4 numbers them ("bindings"), from 8.5 on they have names; 10.0 dropped the numbers.
"""

from typing import TYPE_CHECKING, List, Mapping, Protocol, Tuple

import numpy as np

if TYPE_CHECKING:
    import tensorrt as trt

# By the names of trt.DataType. TensorRT's own `nptype` fails with NumPy 1.24 up to 8.5.
NUMPY_TYPES = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT8": np.int8,
    "INT32": np.int32,
    "INT64": np.int64,
    "BOOL": np.bool_,
    "UINT8": np.uint8,
}


class EngineTensors(Protocol):
    """An engine with its one context."""

    inputs: List[str]
    outputs: List[str]

    def dtype(self, name: str) -> "np.dtype[np.generic]":
        """Give a tensor's type."""

    def set_shape(self, name: str, shape: Tuple[int, ...]) -> bool:
        """Say how large an input is this time; False where the engine takes none of that size."""

    def shape(self, name: str) -> Tuple[int, ...]:
        """Give a tensor's shape, now that all inputs have theirs."""

    def execute(self, addresses: Mapping[str, int], stream: int) -> bool:
        """Start the engine on a stream, with each tensor at its address on the GPU."""


def tensors_of(engine: "trt.ICudaEngine") -> EngineTensors:
    """Choose the API that this TensorRT has."""
    context = engine.create_execution_context()
    if hasattr(context, "execute_async_v3"):
        return NamedTensors(engine, context)
    return NumberedTensors(engine, context)


class NamedTensors:
    """TensorRT 8.5 and later, and TensorRT for RTX."""

    def __init__(self, engine: "trt.ICudaEngine", context: "trt.IExecutionContext") -> None:
        self.engine, self.context = engine, context
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        self.inputs = [n for n in names if engine.get_tensor_mode(n).name == "INPUT"]
        self.outputs = [n for n in names if engine.get_tensor_mode(n).name == "OUTPUT"]

    def dtype(self, name: str) -> "np.dtype[np.generic]":
        """Give a tensor's type."""
        return np.dtype(NUMPY_TYPES[self.engine.get_tensor_dtype(name).name])

    def set_shape(self, name: str, shape: Tuple[int, ...]) -> bool:
        """Say how large an input is this time; False where the engine takes none of that size."""
        # Where the engine takes one size only, there is nothing to set.
        is_fixed = tuple(self.engine.get_tensor_shape(name)) == shape
        return is_fixed or bool(self.context.set_input_shape(name, shape))

    def shape(self, name: str) -> Tuple[int, ...]:
        """Give a tensor's shape, now that all inputs have theirs."""
        return tuple(self.context.get_tensor_shape(name))

    def execute(self, addresses: Mapping[str, int], stream: int) -> bool:
        """Start the engine on a stream, with each tensor at its address on the GPU."""
        for name, address in addresses.items():
            self.context.set_tensor_address(name, address)
        return bool(self.context.execute_async_v3(stream))


class NumberedTensors:
    """TensorRT 8.4 and earlier."""

    def __init__(self, engine: "trt.ICudaEngine", context: "trt.IExecutionContext") -> None:
        self.engine, self.context = engine, context
        self.names: List[str] = [engine.get_binding_name(i) for i in range(engine.num_bindings)]
        self.numbers = {name: index for index, name in enumerate(self.names)}
        self.inputs = [n for n in self.names if engine.binding_is_input(self.numbers[n])]
        self.outputs = [n for n in self.names if n not in self.inputs]

    def dtype(self, name: str) -> "np.dtype[np.generic]":
        """Give a tensor's type."""
        return np.dtype(NUMPY_TYPES[self.engine.get_binding_dtype(self.numbers[name]).name])

    def set_shape(self, name: str, shape: Tuple[int, ...]) -> bool:
        """Say how large an input is this time; False where the engine takes none of that size."""
        number = self.numbers[name]
        is_fixed = tuple(self.engine.get_binding_shape(number)) == shape
        return is_fixed or bool(self.context.set_binding_shape(number, shape))

    def shape(self, name: str) -> Tuple[int, ...]:
        """Give a tensor's shape, now that all inputs have theirs."""
        return tuple(self.context.get_binding_shape(self.numbers[name]))

    def execute(self, addresses: Mapping[str, int], stream: int) -> bool:
        """Start the engine on a stream, with each tensor at its address on the GPU."""
        bindings = [addresses[name] for name in self.names]
        return bool(self.context.execute_async_v2(bindings=bindings, stream_handle=stream))
