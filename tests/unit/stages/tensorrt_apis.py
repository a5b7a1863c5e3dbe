"""Stand-ins for TensorRT's Python module, each with exactly the attributes its version has.

What exists was read off NVIDIA's wheels of the bindings where there are some (8.6.1, 10.3.0, 10.13.3
and 11.4.0: ``unzip``, then ``strings tensorrt.so | grep -x NAME``), and off the API reference for 8.4
and 8.5, which exist for Jetsons only. An "engine" is the ONNX file that was parsed, with a record of
how the builder was set up.
"""

import json
from dataclasses import dataclass, field
from enum import IntEnum
from types import ModuleType
from typing import Any

import onnx
from onnx import TensorProto, numpy_helper
from tensorrt_engines import FakeCuda, NamedEngine, NumberedAndNamedEngine, NumberedEngine

VERSIONS = ("8.4.0.9", "8.5.2.2", "8.6.2.3", "10.3.0.30", "10.13.3.9", "11.4.0.106")
RECORD = b"\0record\0"
TIMINGS = b"timings of this GPU"
Severity = IntEnum("Severity", "INTERNAL_ERROR ERROR WARNING INFO VERBOSE", start=0)
MemoryPool = IntEnum("MemoryPool", "WORKSPACE DLA_MANAGED_SRAM", start=0)


@dataclass
class Tensor:
    name: str
    shape: tuple[int, ...]
    dtype: Any


@dataclass
class Profile:
    shapes: dict[str, list[list[int]]] = field(default_factory=dict)

    def set_shape(self, name: str, smallest: Any, best: Any, largest: Any) -> None:
        self.shapes[name] = [list(smallest), list(best), list(largest)]


@dataclass
class TimingCache:
    """``content`` is what it started from; a device refuses timings but its own."""

    content: bytes

    def serialize(self) -> bytes:
        return TIMINGS


class Network:
    def __init__(self) -> None:
        self.inputs: list[Tensor] = []
        self.layers: list[Any] = []
        self.content = b""

    num_inputs = property(lambda self: len(self.inputs))
    num_layers = property(lambda self: len(self.layers))

    def get_input(self, index: int) -> Tensor:
        return self.inputs[index]

    def get_layer(self, index: int) -> Any:
        return self.layers[index]


class Config:
    """What 8.4 to 11 have in common; what older ones have besides is in `OldConfig`."""

    def __init__(self) -> None:
        self._flags: list[str] = ["TF32"]
        self._profiles: list[Profile] = []
        self._workspace = 0
        self._cache: TimingCache | None = None

    num_optimization_profiles = property(lambda self: len(self._profiles))

    def set_memory_pool_limit(self, pool: Any, size: int) -> None:
        assert pool == MemoryPool.WORKSPACE
        self._workspace = size

    def set_flag(self, flag: Any) -> None:
        self._flags.append(flag.name)

    def clear_flag(self, flag: Any) -> None:
        self._flags.remove(flag.name)

    def add_optimization_profile(self, profile: Profile) -> int:
        self._profiles.append(profile)
        return 0

    def create_timing_cache(self, content: bytes) -> TimingCache | None:
        is_one = content == b"" or content.startswith(b"timings")
        return TimingCache(content) if is_one else None

    def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool:
        if cache.content not in (b"", TIMINGS) and not ignore_mismatch:
            return False
        self._cache = cache
        return True

    def get_timing_cache(self) -> TimingCache | None:
        return self._cache


class OldConfig(Config):
    int8_calibrator: Any = None
    calibration_profile: Profile | None = None

    def set_calibration_profile(self, profile: Profile) -> bool:
        self.calibration_profile = profile
        return True


def tensorrt_api(version: str) -> ModuleType:
    """Make the module ``tensorrt`` of a version."""
    numbers = tuple(map(int, version.split(".")))
    trt: Any = ModuleType("tensorrt")
    is_typed = numbers >= (11,)
    flags = "TF32 DEBUG REFIT" + ("" if is_typed else " FP16 INT8 OBEY_PRECISION_CONSTRAINTS")
    creation = "STRONGLY_TYPED" if is_typed else "EXPLICIT_BATCH"
    types = "FLOAT HALF INT8 INT32 BOOL" + ("" if numbers < (8, 5) else " UINT8")
    trt.__version__ = version
    trt.BuilderFlag = IntEnum("BuilderFlag", flags, start=0)
    trt.NetworkDefinitionCreationFlag = IntEnum("CreationFlag", creation, start=0)
    trt.DataType = IntEnum("DataType", types + (" INT64" if numbers >= (10,) else ""), start=0)
    trt.MemoryPoolType = MemoryPool
    trt.ILogger = type("ILogger", (), {"Severity": Severity, "__init__": lambda self: None})
    trt.Logger = type(
        "Logger", (), {"WARNING": Severity.WARNING, "__init__": lambda self, level: None}
    )
    trt.init_libnvinfer_plugins = lambda logger, namespace: True
    if not is_typed:
        trt.IInt8EntropyCalibrator2 = type("Calibrator", (), {"__init__": lambda self: None})
    trt.Builder = _builder(trt, Config if is_typed else OldConfig)
    trt.OnnxParser = _parser(trt, numbers)
    trt.Runtime = _runtime(trt, numbers)
    return trt


def _builder(trt: Any, config: type[Config]) -> type:
    class Builder:
        def __init__(self, logger: Any) -> None:
            self.logger = logger

        def create_network(self, flags: int) -> Network:
            self.flags = flags
            return Network()

        def create_builder_config(self) -> Config:
            return config()

        def create_optimization_profile(self) -> Profile:
            return Profile()

        def build_serialized_network(self, network: Network, setup: Any) -> bytes | None:
            self.logger.log(Severity.VERBOSE, "tactics")
            self.logger.log(Severity.INFO, "compiling")
            if b"too large" in network.content:
                self.logger.log(Severity.ERROR, "Error Code 2: out of memory\ndetails")
                return None
            record = {
                "creation": self.flags,
                "flags": setup._flags,
                "workspace": setup._workspace,
                "profiles": [profile.shapes for profile in setup._profiles],
                "fp32": [
                    x.name for x in network.layers if getattr(x, "precision", None) is not None
                ],
                "calibrated": _calibrate(setup, network),
                "timings": setup._cache.content.decode(),
            }
            return network.content + RECORD + json.dumps(record).encode()

    return Builder


def _calibrate(setup: Any, network: Network) -> int:
    """Ask for all calibration pictures, as a builder of old does, and count them."""
    calibrator, count = getattr(setup, "int8_calibrator", None), 0
    if calibrator is None:
        return 0
    assert calibrator.get_batch_size() == 1
    assert calibrator.read_calibration_cache() is None
    names = [tensor.name for tensor in network.inputs]
    while (addresses := calibrator.get_batch(names)) is not None:
        assert any(FakeCuda.blocks[address].any() for address in addresses)
        count += 1
    calibrator.write_calibration_cache(memoryview(b"ranges"))
    return count


def _parser(trt: Any, numbers: tuple[int, ...]) -> type:
    types = {
        TensorProto.FLOAT: "FLOAT", TensorProto.FLOAT16: "HALF", TensorProto.UINT8: "UINT8",
        TensorProto.INT8: "INT8", TensorProto.INT32: "INT32", TensorProto.BOOL: "BOOL",
        TensorProto.INT64: "INT64" if numbers >= (10,) else "INT32",
    }  # fmt: skip

    class Layer:
        def __init__(self, name: str, dtype: Any) -> None:
            self.name, self.dtype = name, dtype
            if numbers < (11,):
                self.precision = None

        def get_output(self, index: int) -> Tensor:
            return Tensor(self.name, (), self.dtype)

    class OnnxParser:
        def __init__(self, network: Network, logger: Any) -> None:
            self.network, self.errors = network, []

        num_errors = property(lambda self: len(self.errors))

        def get_error(self, index: int) -> Any:
            return type("ParserError", (), {"desc": lambda _: self.errors[index]})()

        def parse(self, content: bytes) -> bool:
            model = onnx.load_model_from_string(content)
            custom = [node.op_type for node in model.graph.node if node.domain]
            if custom:
                self.errors.append(f"No importer registered for op: {custom[0]}\nthe graph ...")
                return False
            graph = onnx.shape_inference.infer_shapes(model).graph
            inferred = (*graph.value_info, *graph.input, *graph.output)
            kinds = {value.name: value.type.tensor_type.elem_type for value in inferred}
            for value in model.graph.input:
                name = types[kinds[value.name]]
                if not hasattr(trt.DataType, name):
                    self.errors.append(f"Unsupported type of input {value.name}: {name}")
                    return False
                shape = tuple(d.dim_value or -1 for d in value.type.tensor_type.shape.dim)
                self.network.inputs.append(Tensor(value.name, shape, trt.DataType[name]))
            for node in model.graph.node:
                dtype = trt.DataType[types[kinds[node.output[0]]]]
                self.network.layers.append(Layer(node.name, dtype))
            self.network.content = content
            return True

    return OnnxParser


def _runtime(trt: Any, numbers: tuple[int, ...]) -> type:
    class Runtime:
        def __init__(self, logger: Any) -> None: ...

        def deserialize_cuda_engine(self, content: bytes) -> Any:
            if RECORD not in content:
                return None
            model = onnx.load_model_from_string(content.split(RECORD)[0])
            if numbers < (8, 5):
                return NumberedEngine(trt, model)
            engine = NamedEngine(trt, model)
            return NumberedAndNamedEngine(trt, model) if numbers < (10,) else engine

    return Runtime


def record_of(engine: bytes) -> dict[str, Any]:
    """Read how the builder was set up."""
    record: dict[str, Any] = json.loads(engine.split(RECORD)[1])
    return record


def graph_of(engine: bytes) -> onnx.GraphProto:
    """Read the graph that the builder was given."""
    return onnx.load_model_from_string(engine.split(RECORD)[0]).graph


def types_of(graph: onnx.GraphProto) -> set[Any]:
    """Give the types of a graph's weights."""
    return {numpy_helper.to_array(weight).dtype.name for weight in graph.initializer}
