"""Constants of fused graphs, where TensorRT 8 may drop that they are FP32."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from mmdet_jetson.stages.conversion.fused_nms import Given, NmsLimits, nms_graph
from mmdet_jetson.stages.conversion.fused_preprocessing import preprocessing_graph
from mmdet_jetson.stages.inference.preprocessing import Preprocessing

TRAINED = Preprocessing(
    input_size=(64, 64),
    keep_ratio=True,
    pad_value=(114.0, 114.0, 114.0),
    mean=(103.53, 116.28, 123.675),
    std=(57.375, 57.12, 58.395),
    to_rgb=False,
)
LIMITS = NmsLimits(
    score_threshold=0.05,
    inclusive=False,
    iou_threshold=0.6,
    min_size=0.0,
    keep=100,
    candidates=300,
    rounds=4,
    votes=True,
)


@pytest.mark.parametrize(
    "model",
    [
        preprocessing_graph("image", TRAINED, 1, False),
        preprocessing_graph("letterboxed", TRAINED, 1, True),
        nms_graph(LIMITS, Given(batch=1, boxes=400, classes=1)),
        nms_graph(LIMITS, Given(batch=2, boxes=400, classes=3, has_factors=True, border=0.0)),
    ],
    ids=["image", "letterboxed", "nms", "nms of several classes"],
)
def test_no_constant_gets_infinite_in_half_precision(model: onnx.ModelProto) -> None:
    constants = [numpy_helper.to_array(each) for each in model.graph.initializer]
    floats = [values for values in constants if values.dtype == np.float32]
    assert floats
    with np.errstate(over="ignore"):
        assert all(np.isfinite(values.astype(np.float16)).all() for values in floats)
