"""Stand-ins for TensorRT's Python module, each with exactly the attributes its version has.

What exists was read off NVIDIA's wheels of the bindings where there are some (8.6.1, 10.3.0, 10.13.3
and 11.4.0: ``unzip``, then ``strings tensorrt.so | grep -x NAME``), and off the API reference for 8.4
and 8.5, which exist for Jetsons only. An "engine" is the ONNX file that was parsed, with a record of
how the builder was set up.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from types import ModuleType, SimpleNamespace
from typing import Protocol, TypedDict, cast

import onnx
from onnx import TensorProto, numpy_helper
from tensorrt_engines import FakeCuda, NamedEngine, NumberedAndNamedEngine, NumberedEngine

VERSIONS = ("8.4.0.9", "8.5.2.2", "8.6.2.3", "10.3.0.30", "10.13.3.9", "11.4.0.106")
RECORD = b"\0record\0"
TIMINGS = b"timings of this GPU"
Severity = IntEnum("Severity", "INTERNAL_ERROR ERROR WARNING INFO VERBOSE", start=0)
MemoryPool = IntEnum("MemoryPool", "WORKSPACE DLA_MANAGED_SRAM", start=0)


# mypy wants to see the members of an enumeration.
enumeration = cast("Callable[..., type[IntEnum]]", IntEnum)


class Logger(Protocol):
    """As the project's own, which TensorRT calls."""

    def log(self, severity: Severity, message: str) -> None: ...


@dataclass
class Tensor:
    name: str
    shape: tuple[int, ...]
    dtype: IntEnum


@dataclass
class Layer:
    name: str
    dtype: IntEnum

    def get_output(self, index: int) -> Tensor:
        return Tensor(self.name, (), self.dtype)


@dataclass
class OldLayer(Layer):
    """Before 11."""

    precision: IntEnum | None = None


@dataclass
class Profile:
    shapes: dict[str, list[list[int]]] = field(default_factory=dict)

    def set_shape(
        self, name: str, smallest: Sequence[int], best: Sequence[int], largest: Sequence[int]
    ) -> None:
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
        self.layers: list[Layer] = []
        self.content = b""

    num_inputs = property(lambda self: len(self.inputs))
    num_layers = property(lambda self: len(self.layers))

    def get_input(self, index: int) -> Tensor:
        return self.inputs[index]

    def get_layer(self, index: int) -> Layer:
        return self.layers[index]


class Config:
    """What 8.4 to 11 have in common; what older ones have besides is in `OldConfig`."""

    def __init__(self) -> None:
        self._flags: list[str] = ["TF32"]
        self._profiles: list[Profile] = []
        self._workspace = 0
        self._cache: TimingCache | None = None

    num_optimization_profiles = property(lambda self: len(self._profiles))

    def set_memory_pool_limit(self, pool: MemoryPool, size: int) -> None:
        assert pool == MemoryPool.WORKSPACE
        self._workspace = size

    def set_flag(self, flag: IntEnum) -> None:
        self._flags.append(flag.name)

    def clear_flag(self, flag: IntEnum) -> None:
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


class Calibrator(Protocol):
    """As the project's own, which TensorRT asks for pictures."""

    def get_batch_size(self) -> int: ...
    def get_batch(self, names: Sequence[str]) -> list[int] | None: ...
    def read_calibration_cache(self) -> None: ...
    def write_calibration_cache(self, learnt: memoryview) -> None: ...


class OldConfig(Config):
    int8_calibrator: Calibrator | None = None
    calibration_profile: Profile | None = None

    def set_calibration_profile(self, profile: Profile) -> bool:
        self.calibration_profile = profile
        return True


class RtxConfig(Config):
    num_compute_capabilities = 0

    def set_compute_capability(self, capability: IntEnum, index: int) -> bool:
        return index < self.num_compute_capabilities


def tensorrt_api(version: str) -> ModuleType:
    """Make the module ``tensorrt`` of a version."""
    numbers = tuple(map(int, version.split(".")))
    trt = ModuleType("tensorrt")
    is_typed = numbers >= (11,)
    flags = "TF32 DEBUG REFIT" + ("" if is_typed else " FP16 INT8 OBEY_PRECISION_CONSTRAINTS")
    creation = "STRONGLY_TYPED" if is_typed else "EXPLICIT_BATCH"
    types = "FLOAT HALF INT8 INT32 BOOL" + ("" if numbers < (8, 5) else " UINT8")
    data_type = enumeration("DataType", types + (" INT64" if numbers >= (10,) else ""), start=0)
    logger = {"WARNING": Severity.WARNING, "__init__": lambda self, level: None}
    content = {
        "__version__": version,
        "BuilderFlag": enumeration("BuilderFlag", flags, start=0),
        "NetworkDefinitionCreationFlag": enumeration("CreationFlag", creation, start=0),
        "DataType": data_type,
        "MemoryPoolType": MemoryPool,
        "ILogger": type("ILogger", (), {"Severity": Severity, "__init__": lambda self: None}),
        "Logger": type("Logger", (), logger),
        "init_libnvinfer_plugins": lambda logger, namespace: True,
        "Builder": _builder(Config if is_typed else OldConfig),
        "OnnxParser": _parser(data_type, numbers),
        "Runtime": _runtime(data_type, numbers),
    }
    if not is_typed:
        content["IInt8EntropyCalibrator2"] = type("Base", (), {"__init__": lambda self: None})
    vars(trt).update(content)
    return trt


def tensorrt_rtx_api() -> ModuleType:
    """Make the module ``tensorrt_rtx_bindings``: like 11, with a list of GPUs to compile for."""
    trt = tensorrt_api("11.4.0.106")
    vars(trt).update(
        __version__="1.6.0.4",
        Builder=_builder(RtxConfig),
        ComputeCapability=enumeration("ComputeCapability", "SM86 SM89", start=0),
    )
    return trt


def _builder(config: type[Config]) -> type:
    class Builder:
        def __init__(self, logger: Logger) -> None:
            self.logger = logger

        def create_network(self, flags: int) -> Network:
            self.flags = flags
            return Network()

        def create_builder_config(self) -> Config:
            return config()

        def create_optimization_profile(self) -> Profile:
            return Profile()

        def build_serialized_network(self, network: Network, setup: Config) -> bytes | None:
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
                "timings": setup._cache.content.decode() if setup._cache else None,
            }
            return network.content + RECORD + json.dumps(record).encode()

    return Builder


def _calibrate(setup: Config, network: Network) -> int:
    """Ask for all calibration pictures, as a builder of old does, and count them."""
    calibrator = setup.int8_calibrator if isinstance(setup, OldConfig) else None
    if calibrator is None:
        return 0
    count = 0
    assert calibrator.get_batch_size() == 1
    calibrator.read_calibration_cache()
    names = [tensor.name for tensor in network.inputs]
    while (addresses := calibrator.get_batch(names)) is not None:
        assert any(FakeCuda.blocks[address].any() for address in addresses)
        count += 1
    calibrator.write_calibration_cache(memoryview(b"ranges"))
    return count


def _parser(data_type: type[IntEnum], numbers: tuple[int, ...]) -> type:
    types = {
        TensorProto.FLOAT: "FLOAT", TensorProto.FLOAT16: "HALF", TensorProto.UINT8: "UINT8",
        TensorProto.INT8: "INT8", TensorProto.INT32: "INT32", TensorProto.BOOL: "BOOL",
        TensorProto.INT64: "INT64" if numbers >= (10,) else "INT32",
    }  # fmt: skip

    layer = Layer if numbers >= (11,) else OldLayer

    class OnnxParser:
        def __init__(self, network: Network, logger: Logger) -> None:
            self.network = network
            self.errors: list[str] = []

        num_errors = property(lambda self: len(self.errors))

        def get_error(self, index: int) -> SimpleNamespace:
            return SimpleNamespace(desc=lambda: self.errors[index])

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
                if not hasattr(data_type, name):
                    self.errors.append(f"Unsupported type of input {value.name}: {name}")
                    return False
                shape = tuple(d.dim_value or -1 for d in value.type.tensor_type.shape.dim)
                self.network.inputs.append(Tensor(value.name, shape, data_type[name]))
            for node in model.graph.node:
                dtype = data_type[types[kinds[node.output[0]]]]
                self.network.layers.append(layer(node.name, dtype))
            self.network.content = content
            return True

    return OnnxParser


def _runtime(data_type: type[IntEnum], numbers: tuple[int, ...]) -> type:
    class Runtime:
        def __init__(self, logger: object) -> None: ...

        def deserialize_cuda_engine(self, content: bytes) -> object:
            if RECORD not in content:
                return None
            model = onnx.load_model_from_string(content.split(RECORD)[0])
            if numbers < (8, 5):
                return NumberedEngine(data_type, model)
            if numbers < (10,):
                return NumberedAndNamedEngine(data_type, model)
            return NamedEngine(data_type, model)

    return Runtime


class Record(TypedDict):
    """How the builder was set up."""

    creation: int
    flags: list[str]
    workspace: int
    profiles: list[dict[str, list[list[int]]]]
    fp32: list[str]
    calibrated: int
    timings: str


def record_of(engine: bytes) -> Record:
    """Read how the builder was set up."""
    record: Record = json.loads(engine.split(RECORD)[1])
    return record


def graph_of(engine: bytes) -> onnx.GraphProto:
    """Read the graph that the builder was given."""
    return onnx.load_model_from_string(engine.split(RECORD)[0]).graph


def types_of(graph: onnx.GraphProto) -> set[str]:
    """Give the types of a graph's weights."""
    return {numpy_helper.to_array(weight).dtype.name for weight in graph.initializer}
