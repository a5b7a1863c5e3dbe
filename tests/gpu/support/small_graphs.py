"""Exports of a small fused graph in each input mode, and engines that are built from them."""

import io
import json
from pathlib import Path
from typing import Dict, List

import cv2
import onnx
from fused import fused_folder, fused_model
from on_gpu import noise
from onnx import TensorProto, helper, numpy_helper

from mmdet_jetson.contract.parameters.engine import EngineParameters
from mmdet_jetson.stages import engine
from mmdet_jetson.stages.job import StageJob

MODES = ("letterboxed", "tensor")


def export(folder: Path, mode: str) -> Path:
    """Write an `onnx` artifact whose graph has this input mode."""
    made = fused_folder(folder)
    description = made / "graph.json"
    content = json.loads(description.read_text())
    model = model_with_doubts()
    if mode == "tensor":
        model = without_preprocessing(model)
        # The values that calibration and comparison see, too: about -2 to 2.
        content["preprocessing"].update(mean=[114.0] * 3, std=[57.0] * 3)
    onnx.save(model, str(made / "end2end.onnx"))
    description.write_text(json.dumps({**content, "input": mode}))
    return made


def model_with_doubts() -> onnx.ModelProto:
    """A small fused graph whose scores are neither 0 nor 1, so that a small error shows."""
    model = fused_model()
    last = next(each for each in model.graph.initializer if each.name == "weights_1")
    weights = numpy_helper.to_array(last) / 8
    last.CopyFrom(numpy_helper.from_array(weights, last.name))
    return model


def without_preprocessing(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph without what prepares the picture."""
    graph = model.graph
    kept = [node for node in graph.node if not node.name.startswith("preprocessing/")]
    side = graph.input[0].type.tensor_type.shape.dim[1].dim_value
    prepared = next(node for node in kept if node.op_type == "Conv").input[0]
    picture = helper.make_tensor_value_info(prepared, TensorProto.FLOAT, [1, 3, side, side])
    inputs = [picture, *graph.input[1:]]
    del graph.node[:], graph.input[:]
    graph.node.extend(kept)
    graph.input.extend(inputs)
    used = {name for node in kept for name in node.input}
    constants = [each for each in graph.initializer if each.name in used]
    del graph.initializer[:]
    graph.initializer.extend(constants)
    onnx.checker.check_model(model, full_check=True)
    return model


def build(folder: Path, source: Path, backend: str, precision: str, sm: int) -> Path:
    """Build an `engine` artifact of an `onnx` one, with the stage itself."""
    lists_gpus = backend == "tensorrt_rtx"
    parameters = EngineParameters(
        target="here",
        backend=backend,
        precision=precision,
        compute_capabilities=(sm,) if lists_gpus else (),
        calibration_pictures=4 if precision == "int8" else None,
    )
    inputs = {
        "onnx": source,
        "training": pictures(folder / "training", "train", 4),
        "validation": pictures(folder / "validation", "val", 1),
    }
    made = folder / "engine"
    made.mkdir()
    engine.run(StageJob(parameters, inputs, made, folder, channel=io.StringIO()))
    return made


def pictures(dataset: Path, split: str, count: int) -> Path:
    """Write one split of a `dataset` artifact."""
    (dataset / split).mkdir(parents=True)
    images: List[Dict[str, object]] = []
    for number in range(count):
        width, height = 80 + number, 48 if split == "train" else 47
        cv2.imwrite(str(dataset / split / f"{number}.png"), noise(width, height))
        images.append({"id": number, "file_name": f"{number}.png"})
    (dataset / f"{split}.json").write_text(json.dumps({"images": images}))
    return dataset
