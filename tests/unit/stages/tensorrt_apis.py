"""Stand-ins for TensorRT's Python module, each with exactly the attributes its version has.

What exists was read off NVIDIA's wheels of the bindings where there are some (8.6.1, 10.3.0, 10.8.0,
10.13.3, 10.16.0 and 11.4.0: ``unzip``, then ``strings tensorrt.so | grep -x NAME``), and off the source
of the bindings for 8.4 and 8.5 (python/src/infer of NVIDIA/TensorRT), which exist for Jetsons only. An
"engine" is the ONNX file that was parsed, with a record of how the builder was set up.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from types import ModuleType, SimpleNamespace
from typing import Protocol, TypedDict, cast

import onnx
from onnx import TensorProto, numpy_helper
from tensorrt_engines import FakeCuda, NamedEngine, NumberedAndNamedEngine, NumberedEngine
from tensorrt_layers import (
    DeviceType,
    Layer,
    LayerType,
    Network,
    OldLayer,
    Tensor,
    listing,
    shape_tensors,
)

VERSIONS = ("8.4.0.9", "8.5.2.2", "8.6.2.3", "10.3.0.30", "10.13.3.9", "11.4.0.106")
RECORD = b"\0record\0"
NOT_TYPED = "EXPLICIT_BATCH"
TIMINGS = b"timings of this GPU"
Severity = IntEnum("Severity", "INTERNAL_ERROR ERROR WARNING INFO VERBOSE", start=0)
MemoryPool = IntEnum("MemoryPool", "WORKSPACE DLA_MANAGED_SRAM", start=0)
Verbosity = IntEnum("Verbosity", "LAYER_NAMES_ONLY NONE DETAILED", start=0)
Format = IntEnum("Format", "ONELINE JSON", start=0)
LOWER = {"FP16", "INT8", "OBEY_PRECISION_CONSTRAINTS"}


# mypy wants to see the members of an enumeration.
enumeration = cast("Callable[..., type[IntEnum]]", IntEnum)


class Logger(Protocol):
    """As the project's own, which TensorRT calls."""

    def log(self, severity: Severity, message: str) -> None: ...


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


class Config:
    """What 8.6 to 11 have in common; what older ones have besides is in `OldConfig`."""

    builder_optimization_level = 3

    def __init__(self) -> None:
        self._flags: list[str] = ["TF32"]
        self._profiles: list[Profile] = []
        self._workspace = 0
        self._cache: TimingCache | None = None
        self.profiling_verbosity = Verbosity.LAYER_NAMES_ONLY
        self.DLA_core = -1
        self._on_dla: list[str] = []

    num_optimization_profiles = property(lambda self: len(self._profiles))

    def set_memory_pool_limit(self, pool: MemoryPool, size: int) -> None:
        assert pool == MemoryPool.WORKSPACE
        self._workspace = size

    def set_flag(self, flag: IntEnum) -> None:
        self._flags.append(flag.name)

    def clear_flag(self, flag: IntEnum) -> None:
        self._flags.remove(flag.name)

    def can_run_on_DLA(self, layer: Layer) -> bool:  # noqa: N802 - TensorRT's name
        """It computes convolutions, in the precisions that are allowed."""
        floats = [each.dtype.name for each in layer.outputs]
        return "Conv" in layer.name.title() and ("FP16" in self._flags or "HALF" in floats)

    def set_device_type(self, layer: Layer, device: IntEnum) -> None:
        assert device == DeviceType.DLA
        self._on_dla.append(layer.name)

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
    def read_calibration_cache(self) -> bytes | None: ...
    def write_calibration_cache(self, learnt: memoryview) -> None: ...


class OldConfig(Config):
    int8_calibrator: Calibrator | None = None


class OldestConfig(OldConfig):
    """Before 8.6."""

    builder_optimization_level = property()  # as if there were none: reading it fails


class RtxConfig(Config):
    num_compute_capabilities = 0

    def set_compute_capability(self, capability: IntEnum, index: int) -> bool:
        return index < self.num_compute_capabilities


def tensorrt_api(version: str, dla_cores: int = 2) -> ModuleType:
    """Make the module ``tensorrt`` of a version, on a device with so many DLAs."""
    numbers = tuple(map(int, version.split(".")))
    trt = ModuleType("tensorrt")
    has_flags = numbers < (11,)
    flags = "TF32 DEBUG REFIT GPU_FALLBACK" + (f" {' '.join(sorted(LOWER))}" if has_flags else "")
    types = "FLOAT HALF INT8 INT32 BOOL" + ("" if numbers < (8, 5) else " UINT8")
    data_type = enumeration("DataType", types + (" INT64" if numbers >= (10,) else ""), start=0)
    logger = {"WARNING": Severity.WARNING, "__init__": lambda self, level: None}
    configs = {(8, 6): OldestConfig, (11,): OldConfig}
    config = next((kind for before, kind in configs.items() if numbers < before), Config)
    content = {
        "__version__": version,
        "BuilderFlag": enumeration("BuilderFlag", flags, start=0),
        "NetworkDefinitionCreationFlag": enumeration("CreationFlag", _creation(numbers), start=0),
        "DataType": data_type,
        "DeviceType": DeviceType,
        "LayerType": LayerType,
        "LayerInformationFormat": Format,
        "ProfilingVerbosity": Verbosity,
        "MemoryPoolType": MemoryPool,
        "ILogger": type("ILogger", (), {"Severity": Severity, "__init__": lambda self: None}),
        "Logger": type("Logger", (), logger),
        "init_libnvinfer_plugins": lambda logger, namespace: True,
        "Builder": _builder(config, numbers, dla_cores),
        "OnnxParser": _parser(data_type, numbers),
        "Runtime": _runtime(data_type, numbers),
    }
    if has_flags:
        content["IInt8EntropyCalibrator2"] = type("Base", (), {"__init__": lambda self: None})
    vars(trt).update(content)
    return trt


def _creation(numbers: tuple[int, ...]) -> str:
    """Name the flags of networks, as NvInfer.h of 8.6.1, 10.0, 10.13 and 11.0 numbers them."""
    if numbers < (10,):
        return "EXPLICIT_BATCH"
    return "EXPLICIT_BATCH STRONGLY_TYPED" if numbers < (11,) else "STRONGLY_TYPED"


def tensorrt_rtx_api() -> ModuleType:
    """Make the module ``tensorrt_rtx_bindings``: like 11, with a list of GPUs to compile for."""
    trt = tensorrt_api("11.4.0.106")
    vars(trt).update(
        __version__="1.6.0.4",
        Builder=_builder(RtxConfig, (11, 4), 0),
        ComputeCapability=enumeration("ComputeCapability", "SM86 SM89", start=0),
    )
    return trt


def _builder(config: type[Config], numbers: tuple[int, ...], dla_cores: int) -> type:
    class Builder:
        num_DLA_cores = dla_cores  # noqa: N815 - TensorRT's name

        def __init__(self, logger: Logger) -> None:
            self.logger = logger

        def create_network(self, flags: int) -> Network:
            self.flags = flags
            return Network(is_typed=_creation(numbers).split()[flags.bit_length() - 1] != NOT_TYPED)

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
            if network.is_typed and LOWER & set(setup._flags):
                self.logger.log(Severity.ERROR, "Error Code 3: flags in a strongly typed network")
                return None
            record = {
                "creation": self.flags,
                "flags": setup._flags,
                "workspace": setup._workspace,
                "level": getattr(setup, "builder_optimization_level", None),
                "dla": [setup.DLA_core, setup._on_dla],
                "profiles": [profile.shapes for profile in setup._profiles],
                "fp32": [x.name for x in network.layers if x.bound is not None],
                "outputs": [x.name for x in network.layers if getattr(x, "output_types", None)],
                "calibrated": _calibrate(setup, network),
                "timings": setup._cache.content.decode() if setup._cache else None,
                "layers": listing(network, setup._flags, numbers)
                if setup.profiling_verbosity == Verbosity.DETAILED
                else "{}",
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
    if calibrator.read_calibration_cache() is not None:
        return 0
    assert not any(tensor.dtype.name == "UINT8" for tensor in network.inputs), "unconfirmed"
    names = [tensor.name for tensor in network.inputs]
    while (addresses := calibrator.get_batch(names)) is not None:
        for tensor, address in zip(network.inputs, addresses, strict=True):
            assert FakeCuda.blocks[address].any()
            assert FakeCuda.blocks[address].nbytes == 4 * math.prod(tensor.shape)
        count += 1
    calibrator.write_calibration_cache(memoryview(b"ranges"))
    return count


def _parser(data_type: type[IntEnum], numbers: tuple[int, ...]) -> type:
    types = {
        TensorProto.FLOAT: "FLOAT", TensorProto.FLOAT16: "HALF", TensorProto.UINT8: "UINT8",
        TensorProto.INT8: "INT8", TensorProto.INT32: "INT32", TensorProto.BOOL: "BOOL",
        TensorProto.INT64: "INT64" if numbers >= (10,) else "INT32",
    }  # fmt: skip

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
            weights = {each.name: each.data_type for each in model.graph.initializer}
            shapes = shape_tensors(model.graph)

            def tensor(name: str) -> Tensor:
                kind = types[weights.get(name) or kinds[name]]
                return Tensor(name, (), data_type[kind], name in shapes)

            for node in model.graph.node:
                # As the real parser does, constants become layers, and what broadcasts has no name.
                inputs = [tensor(name) if name else None for name in node.input]
                for index, name in enumerate(node.input):
                    if name in weights:
                        self._add(name, LayerType.CONSTANT, [], [tensor(name)])
                    if name in weights and node.op_type in {"Mul", "Greater"}:
                        unnamed = f"(Unnamed Layer* {len(self.network.layers)}) [Shuffle]"
                        wide = replace(tensor(name), name=f"{unnamed}_output")
                        self._add(unnamed, LayerType.SHUFFLE, [tensor(name)], [wide])
                        inputs[index] = wide
                kind = LayerType.SHAPE if node.op_type == "Shape" else LayerType.ELEMENTWISE
                name = node.name or f"node_of_{node.output[0]}"
                self._add(name, kind, inputs, [tensor(name) for name in node.output])
            self.network.content = content
            return True

        def _add(
            self,
            name: str,
            kind: LayerType,
            inputs: Sequence[Tensor | None],
            outputs: Sequence[Tensor],
        ) -> None:
            read, written = list(inputs), list(outputs)
            if numbers >= (11,):
                layer = Layer(name, kind, read, written)
            else:
                layer = OldLayer(name, kind, read, written, is_typed=self.network.is_typed)
            self.network.layers.append(layer)

    return OnnxParser


def _runtime(data_type: type[IntEnum], numbers: tuple[int, ...]) -> type:
    class Runtime:
        DLA_core = -1

        def __init__(self, logger: object) -> None: ...

        def deserialize_cuda_engine(self, content: bytes) -> object:
            if RECORD not in content:
                return None
            model = onnx.load_model_from_string(content.split(RECORD)[0])
            engine = self._engine(model)
            engine.create_engine_inspector = lambda: Inspector(record_of(content)["layers"])
            return engine

        def _engine(self, model: onnx.ModelProto) -> NamedEngine | NumberedEngine:
            if numbers < (8, 5):
                return NumberedEngine(data_type, model)
            if numbers < (10,):
                return NumberedAndNamedEngine(data_type, model)
            return NamedEngine(data_type, model)

    return Runtime


class Inspector:
    """``create_engine_inspector`` of an engine."""

    execution_context: object = None

    def __init__(self, layers: str) -> None:
        self.layers = layers

    def get_engine_information(self, kind: IntEnum) -> str:
        assert kind == Format.JSON
        return self.layers


class Record(TypedDict):
    """How the builder was set up."""

    creation: int
    flags: list[str]
    workspace: int
    profiles: list[dict[str, list[list[int]]]]
    level: int | None
    dla: tuple[int, list[str]]
    fp32: list[str]
    outputs: list[str]
    layers: str
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
