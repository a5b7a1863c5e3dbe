"""Layers of a network of TensorRT before 10.0, bound to FP32 where flags allow less.

Which layers may be bound is what trtexec finds out before it sets a precision for all layers
(``setLayerPrecisions`` in samples/common/sampleEngines.cpp of TensorRT 8.4 to 8.6).
"""

from types import ModuleType
from typing import TYPE_CHECKING, AbstractSet, List, Set

if TYPE_CHECKING:
    import tensorrt


def bind_to_fp32(
    trt: ModuleType,
    network: "tensorrt.INetworkDefinition",
    exact: AbstractSet[str],
    lowered: AbstractSet[str],
) -> int:
    """Bind what must not be lowered to FP32; return how many layers that are.

    A parser adds layers of its own around a node's, such as those that broadcast. They have other
    names, and belong to the nodes that read them.

    Args:
        trt: the module ``tensorrt``.
        network: what was parsed.
        exact: the nodes of the graph that must be computed in FP32.
        lowered: those that may be lowered.
    """
    bound = 0
    read_exactly: Set[str] = set()
    read: Set[str] = set()
    # From the last layer on, so that the readers of a layer come before it.
    for index in reversed(range(network.num_layers)):
        layer = network.get_layer(index)
        outputs = {tensor.name for tensor in _outputs(layer)}
        is_helper = layer.name not in exact and layer.name not in lowered
        serves_exact = not outputs & read or bool(outputs & read_exactly)
        inputs = {tensor.name for tensor in _inputs(layer)}
        read |= inputs
        if layer.name in exact or (is_helper and serves_exact):
            read_exactly |= inputs
            bound += _bind(trt, layer)
    return bound


def keep_in_half(
    trt: ModuleType, network: "tensorrt.INetworkDefinition", names: AbstractSet[str]
) -> None:
    """Keep layers of these names out of 8 bits, where a flag allows these everywhere."""
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if layer.name in names:
            layer.precision = trt.DataType.HALF


def _bind(trt: ModuleType, layer: "tensorrt.ILayer") -> bool:
    """Compute a layer in FP32, where it computes with numbers of that kind at all.

    One that compares numbers or makes whole ones of them reads FLOAT and writes BOOL or INT32: in
    half precision it would read rounded numbers. So any input or output of that type counts.
    """
    inputs, outputs = _inputs(layer), _outputs(layer)
    if not any(tensor.dtype == trt.DataType.FLOAT for tensor in (*inputs, *outputs)):
        return False
    # A constant is not computed, and shapes are computed on the CPU: neither has a precision.
    if layer.type in {trt.LayerType.CONSTANT, trt.LayerType.SHAPE}:
        return False
    # What reads numbers first and a shape behind them, as TopK does its k, computes with numbers.
    if any(tensor.is_shape_tensor for tensor in (*inputs[:1], *outputs)):
        return False
    # What makes floats of whole numbers is computed in their type, and only what it makes counts.
    whole = {trt.DataType.INT32, trt.DataType.BOOL}
    if layer.precision not in whole or any(each.dtype == trt.DataType.FLOAT for each in inputs):
        layer.precision = trt.DataType.FLOAT
    for index in range(layer.num_outputs):
        output = layer.get_output(index)
        if output is not None and output.dtype == trt.DataType.FLOAT:
            layer.set_output_type(index, trt.DataType.FLOAT)
    return True


def _inputs(layer: "tensorrt.ILayer") -> List["tensorrt.ITensor"]:
    """Give a layer's inputs without those that it may have and does not."""
    inputs = [layer.get_input(index) for index in range(layer.num_inputs)]
    return [tensor for tensor in inputs if tensor is not None]


def _outputs(layer: "tensorrt.ILayer") -> List["tensorrt.ITensor"]:
    outputs = [layer.get_output(index) for index in range(layer.num_outputs)]
    return [tensor for tensor in outputs if tensor is not None]
