"""List layers with floats that are free to be lowered: ``python list_free_layers.py <onnx file>``.

It runs in environment `deploy-rtx`, whose parser makes of a graph what those of TensorRT make of it.
Its networks are strongly typed, so nothing is set: what would be is remembered.
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorrt

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "src"))


class Remembering:
    """A layer that takes a precision."""

    def __init__(self, layer: "tensorrt.ILayer", bound: set[str]) -> None:
        self._layer: tensorrt.ILayer
        self._bound: set[str]
        vars(self).update(_layer=layer, _bound=bound)

    def __getattr__(self, name: str) -> object:
        # In strongly typed networks layers have no precision of their own.
        value: object = None if name == "precision" else getattr(self._layer, name)
        return value

    def __setattr__(self, name: str, value: object) -> None:
        assert name == "precision"
        self._bound.add(self._layer.name)

    def set_output_type(self, index: int, kind: object) -> None:
        assert self._layer.get_output(index).dtype == kind
        self._bound.add(self._layer.name)


class Remembered:
    """A network of such layers."""

    def __init__(self, network: "tensorrt.INetworkDefinition") -> None:
        self.bound: set[str] = set()
        self.num_layers = network.num_layers
        self.layers = [network.get_layer(index) for index in range(network.num_layers)]

    def get_layer(self, index: int) -> Remembering:
        return Remembering(self.layers[index], self.bound)


def main(file: Path) -> None:
    """Print the layers that are bound and those with floats that are free, as JSON."""
    import onnx  # noqa: PLC0415
    import tensorrt_rtx_bindings as trt  # noqa: PLC0415

    from mmdet_jetson.stages.building.compiler import Compiler  # noqa: PLC0415
    from mmdet_jetson.stages.building.lower_precision import lowered_nodes  # noqa: PLC0415
    from mmdet_jetson.stages.building.tensorrt_layers import bind_to_fp32  # noqa: PLC0415

    model = onnx.load(str(file))
    lowered = lowered_nodes(model)
    flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    with TemporaryDirectory() as folder:
        compiler = Compiler(trt, flags, Path(folder) / "log")
        compiler.parse(model)
    network = Remembered(compiler.network)
    bind_to_fp32(trt, network, {node.name for node in model.graph.node} - lowered, lowered)
    free = [
        f"{layer.type.name} {layer.name}"
        for layer in network.layers
        if layer.name not in network.bound
        and layer.name not in lowered
        and layer.type != trt.LayerType.CONSTANT
        and any(layer.get_output(i).dtype == trt.DataType.FLOAT for i in range(layer.num_outputs))
    ]
    made = {layer.name for layer in network.layers}
    print(json.dumps({"bound": sorted(network.bound), "free": free, "lost": list(lowered - made)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
