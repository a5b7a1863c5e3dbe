"""The networks in the two graphs of one untrained detector: the proof finds them the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from mmengine import Config
from onnx import numpy_helper
from untrained import PAD, SIZE, base_config, pipeline, run_export, write_checkpoint

from mmdet_jetson.contract.parameters.export import ExportParameters, FusedParameters
from mmdet_jetson.stages.inference.graph import Folded, read_graph
from mmdet_jetson.stages.proving.networks import compare_files

DOCUMENTED = ExportParameters(
    "onnxruntime", "configs/deploy/detection_onnxruntime_static.py", SIZE, None
)
STD = (57.375, 57.12, 58.395)


def rtmdet(folder: Path) -> Config:
    steps = pipeline(True, PAD)
    return base_config("rtmdet/rtmdet_tiny_8xb32-300e_coco.py", steps, folder)


def rgb_rtmdet(folder: Path) -> Config:
    """One that was trained with the channels the other way round, as most of MMDetection's are."""
    config = rtmdet(folder)
    config.model.data_preprocessor.bgr_to_rgb = True
    return config


def yolox(folder: Path) -> Config:
    return base_config("yolox/yolox_tiny_8xb8-300e_coco.py", pipeline(True, PAD), folder)


def swap_channels(onnx_file: Path) -> Path:
    """Let the first convolution take its channels the other way round."""
    model = onnx.load(str(onnx_file))
    name = next(node for node in model.graph.node if node.op_type == "Conv").input[1]
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    swapped = numpy_helper.to_array(tensor)[:, ::-1].copy()
    tensor.CopyFrom(numpy_helper.from_array(swapped, name))
    other = onnx_file.with_name("swapped.onnx")
    onnx.save(model, str(other))
    return other


@pytest.mark.parametrize(
    ("detector", "takes", "folded"),
    [
        (rtmdet, "letterboxed", Folded(STD, flipped=False)),
        (rgb_rtmdet, "image", Folded(STD, flipped=True)),
        (rtmdet, "tensor", None),
        (yolox, "letterboxed", None),
    ],
)
def test_what_was_folded_is_all_that_differs(
    detector: Callable[[Path], Config], takes: str, folded: Folded | None, tmp_path: Path
) -> None:
    checkpoint = write_checkpoint(detector(tmp_path), tmp_path / "checkpoint")
    fused = replace(DOCUMENTED, fused=FusedParameters(takes, 1, "model", 1000, 30))
    folders = [
        run_export(checkpoint, tmp_path / name, parameters)[0]
        for name, parameters in (("documented", DOCUMENTED), ("fused", fused))
    ]
    documented, other = (folder / "end2end.onnx" for folder in folders)

    assert read_graph(folders[1]).folded == folded
    found = compare_files(documented, other, folded)
    assert found.differences == ()
    assert found.nodes > 100
    assert compare_files(documented, swap_channels(other), folded).differences != ()
