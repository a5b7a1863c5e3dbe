"""Stand-ins for the layers of TensorRT's networks, and for what its inspector says of an engine.

Layers refuse what the real ones refuse, or what makes a build fail.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import onnx

LayerType = IntEnum("LayerType", "CONSTANT SHAPE SHUFFLE ELEMENTWISE", start=0)
DeviceType = IntEnum("DeviceType", "GPU DLA", start=0)
# Inputs that say how large something gets; of a Resize they are of another kind.
SIZES = {"Reshape": (1,), "Expand": (1,), "Slice": (1, 2), "ConstantOfShape": (0,)}
# How the inspector calls types, up to 8.6 and from 10 on.
OLD_NAMES = {"FLOAT": "FP32", "HALF": "FP16", "INT8": "Int8", "UINT8": "UInt8"}
NEW_NAMES = {"FLOAT": "Float", "HALF": "Half", "INT8": "Int8", "UINT8": "UInt8", "INT64": "Int64"}


@dataclass
class Tensor:
    name: str
    shape: tuple[int, ...]
    dtype: IntEnum
    is_shape_tensor: bool = False


@dataclass(slots=True)
class Layer:
    """From 11 on: it has no precision to set."""

    name: str
    type: LayerType
    inputs: list[Tensor | None]
    outputs: list[Tensor]

    @property
    def num_inputs(self) -> int:
        return len(self.inputs)

    @property
    def num_outputs(self) -> int:
        return len(self.outputs)

    def get_input(self, index: int) -> Tensor | None:
        return self.inputs[index]

    def get_output(self, index: int) -> Tensor:
        return self.outputs[index]

    @property
    def bound(self) -> IntEnum | None:
        return None


class OldLayer(Layer):
    """Before 11: strongly typed networks refuse to have a precision set."""

    def __init__(
        self,
        name: str,
        type: LayerType,
        inputs: list[Tensor | None],
        outputs: list[Tensor],
        *,
        is_typed: bool,
    ) -> None:
        super().__init__(name, type, inputs, outputs)
        self.is_typed = is_typed
        self._precision: IntEnum | None = None
        self.output_types: dict[int, IntEnum] = {}

    @property
    def precision(self) -> IntEnum | None:
        """What it is computed in by itself, or else what was set."""
        if self._precision is not None or not self.inputs or self.inputs[0] is None:
            return self._precision
        return self.inputs[0].dtype

    @precision.setter
    def precision(self, kind: IntEnum) -> None:
        assert not self.is_typed, "setPrecision is not allowed in a strongly typed network"
        tensors = [each for each in (*self.inputs, *self.outputs) if each is not None]
        read = [each for each in self.inputs[:1] if each is not None]
        is_shape = any(each.is_shape_tensor for each in (*read, *self.outputs))
        assert not is_shape, f"{self.name} computes shapes"
        assert self.type not in {LayerType.CONSTANT, LayerType.SHAPE}, self.name
        assert any(each.dtype.name == "FLOAT" for each in tensors), f"{self.name} has no floats"
        is_whole = all(each and each.dtype.name in {"INT32", "BOOL"} for each in self.inputs)
        assert not is_whole, f"{self.name} reads whole numbers"
        self._precision = kind

    def set_output_type(self, index: int, kind: IntEnum) -> None:
        assert not self.is_typed, "setOutputType is not allowed in a strongly typed network"
        assert self.outputs[index].dtype.name == "FLOAT", f"{self.name} computes no floats"
        self.output_types[index] = kind

    @property
    def bound(self) -> IntEnum | None:
        return self._precision


@dataclass
class Network:
    is_typed: bool = False
    inputs: list[Tensor] = field(default_factory=list)
    layers: list[Layer] = field(default_factory=list)
    content: bytes = b""

    num_inputs = property(lambda self: len(self.inputs))
    num_layers = property(lambda self: len(self.layers))

    def get_input(self, index: int) -> Tensor:
        return self.inputs[index]

    def get_layer(self, index: int) -> Layer:
        return self.layers[index]


def shape_tensors(graph: onnx.GraphProto) -> set[str]:
    """Name what says how large something is, from `Shape` to where a size is read."""
    made_by = {name: node for node in graph.node for name in node.output}
    todo = [
        node.input[index]
        for node in graph.node
        for index in SIZES.get(node.op_type, ())
        if index < len(node.input)
    ]
    found = {name for name, node in made_by.items() if node.op_type == "Shape"}
    while todo:
        name = todo.pop()
        if name in made_by and name not in found:
            found.add(name)
            todo += made_by[name].input
    return found


def listing(network: Network, flags: list[str], version: tuple[int, ...]) -> str:
    """Say what the inspector says of an engine in which everything is lowered that may be."""
    layers = []
    for layer in network.layers:
        if layer.type == LayerType.CONSTANT:
            continue
        is_bound = getattr(layer.bound, "name", "") == "FLOAT" or getattr(layer, "output_types", {})
        is_free = not is_bound and not network.is_typed
        computed = (*layer.inputs[:1], *layer.outputs)
        is_shape = any(each and each.is_shape_tensor for each in computed)
        halves = "FP16" in flags and is_free and not is_shape
        sides: dict[str, Sequence[Tensor | None]] = {
            "Inputs": layer.inputs,
            "Outputs": layer.outputs,
        }
        layers.append(
            {
                "Name": layer.name,
                "LayerType": "kgen" if version >= (10,) else "PointWiseV2",
                **{
                    side: [_described(each, version, halves=halves) for each in tensors if each]
                    for side, tensors in sides.items()
                },
                "Metadata": f"[ONNX Layer: {layer.name}]\x1e" if version >= (8, 6) else "",
            }
        )
    # As TensorRT writes it: with control characters inside of strings.
    return json.dumps({"Layers": layers, "Bindings": []}).replace("\\u001e", "\x1e")


def _described(tensor: Tensor, version: tuple[int, ...], *, halves: bool) -> dict[str, object]:
    kind = "HALF" if halves and tensor.dtype.name == "FLOAT" else tensor.dtype.name
    new, old = NEW_NAMES.get(kind, kind), OLD_NAMES.get(kind, kind)
    described = new if version >= (10,) else f"Row major linear {old}"
    return {"Name": tensor.name, "Dimensions": [], "Format/Datatype": described}
