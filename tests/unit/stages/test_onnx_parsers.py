"""Whether every TensorRT documents what our graphs consist of, and whether the check would notice.

Whole graphs of every head are held against the same tables in environment `train`
(`test_fused_heads.py`, `test_fused_graph.py`); here are the parts around a network.
"""

from dataclasses import replace
from pathlib import Path
from string import Template

import onnx
import pytest
from fused import fused_folder, split_folder
from onnx import parser
from onnx_parsers import PARSERS, complaints

from mmdet_jetson.stages.building import quantization
from mmdet_jetson.stages.building.lower_precision import to_bfloat16, to_half
from mmdet_jetson.stages.building.request import BuildRequest
from mmdet_jetson.stages.conversion import fused_nms, fused_preprocessing
from mmdet_jetson.stages.conversion.fused_nms import Given, NmsLimits, nms_graph
from mmdet_jetson.stages.conversion.fused_preprocessing import preprocessing_graph
from mmdet_jetson.stages.inference.graph import read_graph
from mmdet_jetson.stages.inference.preprocessing import Preprocessing

WITH_UINT8 = [version for version in PARSERS if version != "8.4"]
LIMITS = NmsLimits(0.05, False, 0.65, 0.0, keep=100, candidates=300, rounds=8)
PREPROCESSING = Preprocessing(
    input_size=(64, 64),
    keep_ratio=True,
    pad_value=(114.0, 114.0, 114.0),
    mean=(103.53, 116.28, 123.675),
    std=(57.375, 57.12, 58.395),
    to_rgb=True,
)


@pytest.mark.parametrize("version", PARSERS)
@pytest.mark.parametrize(
    ("limits", "given"),
    [
        (LIMITS, Given(1, 500, 1)),
        (replace(LIMITS, min_size=None, inclusive=True), Given(2, 500, 3, has_factors=True)),
        (replace(LIMITS, votes=True), Given(1, 500, 80, border=0.0)),
    ],
)
def test_nms_is_documented(version: str, limits: NmsLimits, given: Given) -> None:
    assert not complaints(nms_graph(limits, given), version)


@pytest.mark.parametrize("version", WITH_UINT8)
@pytest.mark.parametrize("mode", ["image", "letterboxed"])
@pytest.mark.parametrize("keep_ratio", [True, False])
@pytest.mark.parametrize("pads_normalized", [True, False])
@pytest.mark.parametrize("folded", [True, False])
def test_preprocessing_is_documented(
    version: str, mode: str, keep_ratio: bool, pads_normalized: bool, folded: bool
) -> None:
    asked = replace(PREPROCESSING, keep_ratio=keep_ratio, pads_normalized=pads_normalized)
    assert not complaints(preprocessing_graph(mode, asked, 1, folded), version)


def test_the_graph_of_before_is_caught_where_it_is_not_documented(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Until 2026-11 a fused graph read the size of 8-bit pictures, and so on."""
    image = fused_preprocessing._IMAGE.template.replace("Shape (values)", "Shape (picture)")
    monkeypatch.setattr(fused_preprocessing, "_IMAGE", Template(image))
    longer = "longer = ReduceMax <keepdims = 1> (size)"
    monkeypatch.setattr(
        fused_preprocessing, "_LETTERBOX", fused_preprocessing._LETTERBOX.replace(
            "height_side, width_side = Split <axis = 0> (size)\n  longer = Max (height_side, width_side)",
            longer,
        )
    )  # fmt: skip
    smallest = fused_nms._CLASSES.replace(
        "TopK <axis = 1> (best_negated, best_count)",
        "TopK <axis = 1, largest = 0> (best_numbers, best_count)",
    )
    monkeypatch.setattr(fused_nms, "_CLASSES", smallest)
    before = preprocessing_graph("image", PREPROCESSING, 1, folded=False)
    nms = nms_graph(LIMITS, Given(1, 500, 3))

    reads = ["shape: Shape of UINT8", "shape: Shape reads UINT8"]
    whole = ["longer: ReduceMax of INT32"]
    assert {version: complaints(before, version) for version in WITH_UINT8} == {
        "8.5": [*reads, *whole],
        "8.6": [*reads, *whole],
        "10.3": reads,
        "10.13": reads,
    }
    assert {version: complaints(nms, version) for version in PARSERS} == {
        **{version: [] for version in PARSERS},
        "8.4": ["best_negated_in_order: TopK of the smallest is read as one of the largest"],
    }


# What is caught, in which versions at least and with which words.
CAUGHT = {
    "an 8-bit input": ("uint8[4] x", "float[4] y", "y = Cast <to = 1> (x)", "8.4", "x: an input in UINT8"),
    "8 bits inside": ("float[4] x", "float[4] y", "b = Cast <to = 2> (x) y = Cast <to = 1> (b)", "8.6", "makes UINT8"),
    "too many": ("float[1, 9000] x", "float[1, 3841] y", "y, i = TopK (x, k)", "10.13", "TopK of 3841"),
    "whole numbers": ("int64[9] x", "int64[1] y", "y = ReduceMax (x)", "8.4", "ReduceMax of INT32"),
    "a sort of them": ("int64[9] x", "int64[3] y", "y, i = TopK (x, three)", "8.5", "TopK of INT32"),
    "how many": ("float[9] x, int64[1] n", "float[N] y", "y, i = TopK (x, n)", "8.5", "is no initializer"),
    "a modulo": ("int64[9] x", "int64[9] y", "y = Mod (x, three)", "8.4", "Mod is not supported"),
    "nonzero": ("float[9] x", "int64[1, N] y", "y = NonZero (x)", "8.4", "NonZero is not supported"),
    "nonzero of bool": ("bool[9] x", "int64[1, N] y", "y = NonZero (x)", "10.13", "NonZero of BOOL"),
    "sines of whole": ("int64[9] x", "float[9] y", "z = Cast <to = 6> (x) y = Cast <to = 1> (z)", "", ""),
    "a zero": ("float[4] x, int8[1] z", "float[4] y", "q = QuantizeLinear (x, one, z) y = DequantizeLinear (q, one, z)", "10.3", "a zero point of its own"),
    "a shape": ("int64[2] x", "int64[N, M] y", "y = ConstantOfShape <value = int64[1] {1}> (x)", "8.6", "ConstantOfShape of INT32"),
}  # fmt: skip


@pytest.mark.parametrize("kind", CAUGHT)
def test_what_is_not_documented_is_caught(kind: str) -> None:
    inputs, outputs, nodes, version, reason = CAUGHT[kind]
    text = (
        f'<ir_version: 7, opset_import: ["" : 13]> g ({inputs}) => ({outputs})'
        f"<int64[1] k = {{3841}}, int64[1] three = {{3}}, float[1] one = {{1.0}}> {{ {nodes} }}"
    )
    found = [each for v in PARSERS for each in complaints(parser.parse_model(text), v)]

    assert bool(found) == bool(reason)
    if version:
        assert any(reason in each for each in complaints(parser.parse_model(text), version))


def test_an_opset_of_tomorrow_is_caught() -> None:
    text = '<ir_version: 8, opset_import: ["" : 18]> g (float[4] x) => (float[4] y) { y = Abs (x) }'
    assert complaints(parser.parse_model(text), "8.6") == ["the graph: opset 18"]
    assert not complaints(parser.parse_model(text), "10.3")


def test_the_types_of_lower_precision_are_checked(tmp_path: Path) -> None:
    folder = fused_folder(tmp_path / "onnx")
    model = onnx.load(str(folder / "end2end.onnx"))
    small = to_bfloat16(model)
    assert not [each for v in WITH_UINT8 for each in complaints(to_half(model), v)]
    assert any("BF16" in each for each in complaints(small, "8.6"))
    assert not complaints(small, "10.3")


@pytest.mark.parametrize("version", ["10.3", "10.13"])
def test_a_graph_in_8_bits_is_documented_where_zero_is_zero(tmp_path: Path, version: str) -> None:
    folder = fused_folder(tmp_path / "onnx")
    pictures = split_folder(tmp_path / "training", "train", [0, 1]) / "train"
    request = BuildRequest(
        folder / "end2end.onnx",
        tmp_path,
        "int8",
        read_graph(folder),
        calibration=sorted(pictures.iterdir()),
    )

    def found(scheme: quantization.Scheme) -> list[str]:
        return complaints(
            onnx.load(str(quantization.quantize(request, scheme, tmp_path / "8.onnx"))), version
        )

    assert not found(quantization.SYMMETRIC)
    assert any("makes UINT8" in each for each in found(quantization.ASYMMETRIC))
