"""An INT8 copy of a graph: convolutions between Quantize and Dequantize nodes, calibrated.

Pictures say how large the values get that each convolution reads.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, Mapping, Optional

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from mmdet_jetson.stages.building.lower_precision import last_convolutions, lowered_nodes
from mmdet_jetson.stages.building.request import BuildRequest
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.feeding import Feeding
from mmdet_jetson.stages.inference.graph import preprocessing_of
from mmdet_jetson.stages.inference.preprocessing import read_picture


@dataclass(frozen=True)
class Scheme:
    """How a backend wants values in 8 bits.

    ``keeps_last``: the convolutions that no other one follows stay as they are.
    """

    activations: QuantType
    options: Mapping[str, bool]
    keeps_last: bool = False


# A zero point of its own uses all 256 steps for values that are mostly positive.
ASYMMETRIC = Scheme(QuantType.QUInt8, {"WeightSymmetric": True})
# All that TensorRT knows: no zero point but 0, and the bias is added in floating point.
SYMMETRIC = Scheme(
    QuantType.QInt8,
    {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
)


def quantize(request: BuildRequest, scheme: Scheme, into: Path) -> Path:
    """Write an INT8 copy of the request's graph to ``into`` and return that.

    Raises:
        StageError: there is no picture to calibrate with, no node that may be lowered, or a range
            that cannot be quantized.
    """
    if not request.calibration:
        raise StageError(
            "int8 needs pictures to calibrate with, and there are none",
            "give the dataset training pictures",
        )
    model = onnx.load(str(request.onnx))
    lowered = lowered_nodes(model) - (last_convolutions(model) if scheme.keeps_last else set())
    convolutions = [n.name for n in model.graph.node if n.op_type == "Conv" and n.name in lowered]
    log = logging.getLogger()
    level = log.level
    log.setLevel(logging.ERROR)  # it recommends what an exported graph has had
    try:
        quantize_static(
            str(request.onnx),
            str(into),
            _Reader(feeds(request, model)),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=scheme.activations,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=convolutions,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options=dict(scheme.options),
        )
    except AssertionError as error:  # how onnxruntime.quantization refuses ranges
        raise StageError(
            f"the ranges of values in the network cannot be put into 8 bits: {error}",
            "infinite or NaN values are the usual cause: evaluate the fp32 engine",
        ) from error
    finally:
        log.setLevel(level)
    return into


def feeds(
    request: BuildRequest, model: onnx.ModelProto, *, same_size: bool = False
) -> Iterator[Dict[str, np.ndarray]]:
    """Yield the inputs of the graph, by name, for each calibration picture.

    ``same_size``: give all pictures the network's size, also where the graph takes any. What the
    graph then computes is the same: a picture of that size is not scaled again. Only what is padded
    after normalising is off by what the nearest colour of 8 bits is.
    """
    graph = request.graph
    feeding = Feeding(preprocessing_of(request.onnx.parent, graph), graph.input, graph.batch)
    names = [value.name for value in model.graph.input]
    for path in request.calibration:
        picture = read_picture(path)
        if same_size:
            picture = feeding.preprocessing.resize(picture)
        yield dict(zip(names, feeding(picture)))


class _Reader(CalibrationDataReader):  # type: ignore[misc] # onnxruntime has no types
    def __init__(self, inputs: Iterator[Dict[str, np.ndarray]]) -> None:
        self.inputs = inputs

    def get_next(self) -> Optional[Dict[str, np.ndarray]]:
        return next(self.inputs, None)
