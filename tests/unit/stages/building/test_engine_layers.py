"""What TensorRT's inspector says of engines, written as its versions write it."""

import pytest
from fused import fused_model

from mmdet_jetson.stages.building.engine_layers import check_layers
from mmdet_jetson.stages.errors import StageError

OLD_FLOAT, OLD_HALF = "Row major linear FP32", "Channel major FP16 format where channel % 8 == 0"
OLD_INT8 = "Thirty-two wide channel vectorized row major Int8 format"


def layer(name: str, read: str, written: str, **rest: str) -> dict[str, object]:
    return {
        "Name": name,
        "LayerType": "PointWiseV2",
        "Inputs": [{"Name": "a", "Dimensions": [1, 4], "Format/Datatype": read}],
        "Outputs": [{"Name": "b", "Dimensions": [1, 4], "Format/Datatype": written}],
        **rest,
    }


@pytest.mark.parametrize(
    "wrong",
    [
        layer("nms/boxes", OLD_HALF, OLD_HALF),
        layer("nms/boxes", OLD_HALF, OLD_FLOAT),
        layer("nms/scores + nms/rows", OLD_FLOAT, OLD_INT8),
        layer("PWN(network/sigmoid)", OLD_HALF, OLD_HALF),
        layer("preprocessing/scale", OLD_FLOAT, OLD_HALF),
        layer("nms/boxes_12", "Half", "Half"),  # a node's second layer
        layer("{ForeignNode[nms/scores...nms/boxes]}", OLD_HALF, OLD_HALF),
        layer("__myl_Mul_myl0_3", "Half", "Half", Metadata="[ONNX Layer: nms/boxes]\x1e"),
        layer("__myl_Mul_myl0_3", "Float", "BFloat16", Metadata="[ONNX Layer: nms/boxes]"),
        layer("__myl_Mul_myl0_3", "FP8", "Float", Metadata="[ONNX Layer: nms/boxes]"),
    ],
)
def test_a_layer_in_a_lower_precision_than_it_may_have_is_named(wrong: dict[str, object]) -> None:
    right = layer("network/conv_0 + network/relu", OLD_HALF, OLD_INT8)
    with pytest.raises(StageError, match="in a lower precision") as caught:
        check_layers([right, wrong], fused_model())
    assert str(wrong["Name"]) in caught.value.message


@pytest.mark.parametrize(
    "right",
    [
        layer("nms/boxes", OLD_FLOAT, OLD_FLOAT),
        layer("nms/boxes", "Float", "Bool"),
        layer("__myl_Mul_myl0_3", "Float", "Int64", Metadata="[ONNX Layer: nms/boxes]\x1e"),
    ],
)
def test_a_layer_in_fp32_is_counted(right: dict[str, object]) -> None:
    seen = check_layers([right], fused_model())
    assert seen.settings == {"exact_layers": 1, "untold_layers": 0}


@pytest.mark.parametrize(
    "mixed",
    [
        layer("network/conv_1 + network/sigmoid", OLD_HALF, OLD_HALF),
        layer("{ForeignNode[network/conv_0...nms/boxes]}", OLD_FLOAT, OLD_HALF),
        layer("nms/boxes", "N/A due to dynamic shapes", OLD_FLOAT),
        layer("__myl_1", "Float", "Half", Metadata="[ONNX Layer: preprocessing/scale]"
              "\x1e[ONNX Layer: network/to_half/input]"),
        layer("preprocessing/scale + input_QuantizeLinear", "Float", "Int8"),
        {"Name": "nms/boxes", "LayerType": "Mul", "Inputs": ["a"], "Outputs": ["b"]},
    ],
)  # fmt: skip
def test_a_layer_of_both_kinds_does_not_tell(mixed: dict[str, object]) -> None:
    seen = check_layers([mixed], fused_model())
    assert seen.settings == {"exact_layers": 0, "untold_layers": 1}


@pytest.mark.parametrize(
    "other",
    [
        layer("network/conv_0", OLD_HALF, OLD_INT8),
        layer("Reformatting CopyNode for Input Tensor 0 to nms/boxes", OLD_HALF, OLD_FLOAT,
              LayerType="Reformat"),
        layer("(Unnamed Layer* 3) [Shuffle]", OLD_HALF, OLD_HALF),
    ],
)  # fmt: skip
def test_what_may_be_lowered_or_is_none_of_the_graph_says_nothing(other: dict[str, object]) -> None:
    seen = check_layers([other], fused_model())
    assert seen.settings == {"exact_layers": 0, "untold_layers": 0}


def test_a_picture_is_in_8_bits_rightly() -> None:
    cast = layer("preprocessing/cast", "Row major linear Int8", OLD_FLOAT)
    cast["Inputs"] = [{"Name": "picture", "Format/Datatype": "Row major linear Int8 format"}]
    assert check_layers([cast], fused_model()).exact_layers == 1
