"""Stand-ins for TensorRT's Python module, each with exactly the attributes its version has.

What exists was read off NVIDIA's wheels of the bindings where there are some (8.6.1, 10.3.0, 10.8.0,
10.13.3, 10.16.0 and 11.4.0: ``unzip``, then ``strings tensorrt.so | grep -x NAME``), and off the source
of the bindings for 8.4 and 8.5 (python/src/infer of NVIDIA/TensorRT), which exist for Jetsons only. An
"engine" is the ONNX file that was parsed, with a record of how the builder was set up.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import IntEnum
from types import ModuleType, SimpleNamespace
from typing import TypedDict, cast

import onnx
from onnx import TensorProto, numpy_helper
from tensorrt_builders import (
    LOWER,
    RECORD,
    Config,
    Format,
    Logger,
    MemoryPool,
    OldConfig,
    OldestConfig,
    RtxConfig,
    Severity,
    Verbosity,
    builder_of,
    creation_flags,
)
from tensorrt_engines import NamedEngine, NumberedAndNamedEngine, NumberedEngine
from tensorrt_layers import (
    DeviceType,
    Layer,
    LayerType,
    Network,
    OldLayer,
    Tensor,
    shape_tensors,
)

VERSIONS = (
    "8.4.0.9", "8.5.2.2", "8.6.2.3", "10.3.0.30", "10.13.3.9", "10.16.0.72", "11.4.0.106",
)  # fmt: skip
# mypy wants to see the members of an enumeration.
enumeration = cast("Callable[..., type[IntEnum]]", IntEnum)


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
        "NetworkDefinitionCreationFlag": enumeration(
            "CreationFlag", creation_flags(numbers), start=0
        ),
        "DataType": data_type,
        "DeviceType": DeviceType,
        "LayerType": LayerType,
        "LayerInformationFormat": Format,
        "ProfilingVerbosity": Verbosity,
        "MemoryPoolType": MemoryPool,
        "ILogger": type("ILogger", (), {"Severity": Severity, "__init__": lambda self: None}),
        "Logger": type("Logger", (), logger),
        "init_libnvinfer_plugins": lambda logger, namespace: True,
        "Builder": builder_of(config, numbers, dla_cores),
        "OnnxParser": _parser(data_type, numbers),
        "Runtime": _runtime(data_type, numbers),
    }
    if has_flags:
        content["IInt8EntropyCalibrator2"] = type("Base", (), {"__init__": lambda self: None})
    vars(trt).update(content)
    return trt


def tensorrt_rtx_api() -> ModuleType:
    """Make the module ``tensorrt_rtx_bindings``: like 11, with a list of GPUs to compile for."""
    trt = tensorrt_api("11.4.0.106")
    vars(trt).update(
        __version__="1.6.0.4",
        Builder=builder_of(RtxConfig, (11, 4), 0),
        ComputeCapability=enumeration("ComputeCapability", "SM86 SM89", start=0),
    )
    return trt


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
        opened_for = -1

        def __init__(self, logger: object) -> None: ...

        def deserialize_cuda_engine(self, content: bytes) -> object:
            if RECORD not in content:
                return None
            Runtime.opened_for = self.DLA_core
            model = onnx.load_model_from_string(content.split(RECORD)[0])
            engine = self._engine(model)
            layers = record_of(content)["layers"]
            vars(engine).update(create_engine_inspector=lambda: Inspector(layers))
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
    core: int
    on_dla: list[str]
    fp32: list[str]
    fp16: list[str]
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
