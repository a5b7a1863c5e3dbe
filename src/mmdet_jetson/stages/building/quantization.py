"""An INT8 copy of a graph: convolutions between Quantize and Dequantize nodes, calibrated.

Pictures say how large the values get that each convolution reads.
"""

import logging
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Dict, Iterator, Mapping, Optional, Set

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

    ``outputs``: whether also what a convolution makes is quantized, and the activation behind it.
    Else only what it reads is, as TensorRT and OpenVINO want it: they add the activation to what
    they compute in 8 bits only where nothing stands in between.
    """

    activations: QuantType
    options: Mapping[str, object]
    outputs: bool = False


# A zero point of its own uses all 256 steps for values that are mostly positive.
ASYMMETRIC = Scheme(QuantType.QUInt8, {"WeightSymmetric": True})
# ONNX Runtime has no convolution that reads 8 bits and makes others: without those behind it, it
# computes in FP32, slower than without any quantization.
ON_BOTH_SIDES = replace(ASYMMETRIC, outputs=True)
# All that TensorRT knows: no zero point but 0, and the bias is added in floating point.
SYMMETRIC = Scheme(
    QuantType.QInt8,
    {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
)


def quantize(request: BuildRequest, scheme: Scheme, into: Path) -> Path:
    """Write an INT8 copy of the request's graph to ``into`` and return that.

    The last convolutions stay as they are: behind them there are boxes and scores, and of these 256
    steps are too few.

    Raises:
        StageError: there is no picture to calibrate with, no node that may be lowered, or a range
            that cannot be quantized.
    """
    check_pictures(request)
    model = onnx.load(str(request.onnx))
    lowered = lowered_nodes(model) - last_convolutions(model)
    quantized = {n.name for n in model.graph.node if n.op_type == "Conv"} & lowered
    options = dict(scheme.options)
    if scheme.outputs:
        quantized |= _activations(model, quantized)
    else:
        options["OpTypesToExcludeOutputQuantization"] = ["Conv"]
    log = logging.getLogger()
    level = log.level
    log.setLevel(logging.ERROR)  # it recommends what an exported graph has had
    try:
        with TemporaryDirectory() as own:
            quantize_static(
                # It writes beside what it reads, and inputs may be read-only. A model in memory
                # would do, but ONNX Runtime 1.19 then loses its weights on the way.
                shutil.copy(str(request.onnx), own),
                str(into),
                _Reader(feeds(request, model)),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=scheme.activations,
                weight_type=QuantType.QInt8,
                nodes_to_quantize=sorted(quantized),
                calibrate_method=CalibrationMethod.MinMax,
                extra_options=options,
            )
    except AssertionError as error:  # how onnxruntime.quantization refuses ranges
        raise StageError(
            f"the ranges of values in the network cannot be put into 8 bits: {error}",
            "infinite or NaN values are the usual cause: evaluate the fp32 engine",
        ) from error
    finally:
        log.setLevel(level)
    return into


def check_pictures(request: BuildRequest) -> None:
    """Refuse to calibrate with nothing: TensorRT would end in an assertion."""
    if not request.calibration:
        raise StageError(
            "int8 needs pictures to calibrate with, and there are none",
            "give the dataset training pictures",
        )


def _activations(model: onnx.ModelProto, convolutions: Set[str]) -> Set[str]:
    """Name the activations right behind convolutions: ReLU, or the two nodes of a SiLU.

    What else is multiplied in a network may be places, as in a deformable convolution: those need
    all their bits.
    """
    made = {name for n in model.graph.node if n.name in convolutions for name in n.output}
    behind = [n for n in model.graph.node if made.issuperset(n.input[:1])]
    sigmoids = {n.output[0]: n for n in behind if n.op_type == "Sigmoid"}
    found = {n.name for n in behind if n.op_type in ("Relu", "LeakyRelu")}
    for node in (n for n in behind if n.op_type == "Mul"):
        sigmoid = sigmoids.get(node.input[1])
        if sigmoid is not None and sigmoid.input[0] == node.input[0]:
            found |= {node.name, sigmoid.name}
    return found


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
