"""A graph in the types of its precision, for builders that compute in the types they find."""

from pathlib import Path
from tempfile import TemporaryDirectory

import onnx

from mmdet_jetson.stages.building.lower_precision import to_bfloat16, to_half
from mmdet_jetson.stages.building.quantization import Scheme, quantize
from mmdet_jetson.stages.building.request import BuildRequest


def typed_graph(request: BuildRequest, scheme: Scheme) -> onnx.ModelProto:
    """Give the request's graph, lowered to its precision: fp32, fp16, bf16, or int8 by ``scheme``.

    Raises:
        StageError: the graph cannot be lowered, or not be calibrated.
    """
    if request.precision == "int8":
        with TemporaryDirectory() as scratch:
            return onnx.load(str(quantize(request, scheme, Path(scratch) / "int8.onnx")))
    model = onnx.load(str(request.onnx))
    if request.precision == "fp16":
        return to_half(model)
    return to_bfloat16(model) if request.precision == "bf16" else model
