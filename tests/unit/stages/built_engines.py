"""Small networks with fixed detections, and the artifact folders around them."""

from __future__ import annotations  # read by Python 3.8, too

import json
from pathlib import Path
from typing import Mapping, Sequence, TypeVar, cast  # noqa: UP035 - Python 3.8

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mmdet_jetson.contract.parameters.base import Parameters
from mmdet_jetson.contract.parameters.engine import EngineParameters
from mmdet_jetson.stages.engine import run as build_engine
from mmdet_jetson.stages.inference.pipeline_json import Transform
from mmdet_jetson.stages.job import StageJob

P = TypeVar("P", bound=Parameters)
Rows = Sequence[Sequence[float]]

# x1, y1, x2, y2, score in pixels of the network's input; the last row only fills up.
DETS: Rows = [[8, 8, 24, 24, 0.5], [32, 16, 48, 48, 0.9], [0, 0, 0, 0, 0]]
LABELS = [1, 0, -1]
CLASSES = ["balloon", "kite"]
MEAN, STD = [103.53, 116.28, 123.675], [57.375, 57.12, 58.395]


def fixed_network(
    path: Path,
    dets: Rows = DETS,
    labels: Sequence[int] = LABELS,
    side: int = 64,
    extra: Sequence[onnx.NodeProto] = (),
) -> None:
    """Write a network that finds the same whatever it sees, but computes on what it sees."""
    one = helper.make_node("ReduceMean", ["input"], ["mean"], keepdims=0)
    nodes = [
        one,
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["fixed_dets", "nothing"], ["dets"]),
        helper.make_node("Identity", ["fixed_labels"], ["labels"]),
        *extra,
    ]
    constants = {
        "zero": np.float32(0),
        "fixed_dets": np.array(dets, np.float32).reshape(1, -1, 5),
        "fixed_labels": np.array([labels], np.int64),
    }
    rows = len(labels)
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, side, side])],
        [
            helper.make_tensor_value_info("dets", TensorProto.FLOAT, [1, rows, 5]),
            helper.make_tensor_value_info("labels", TensorProto.INT64, [1, rows]),
        ],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()],
    )
    opsets = [helper.make_opsetid("", 11), helper.make_opsetid("mmdeploy", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=7)
    onnx.save(model, str(path))


def transforms(side: int = 64, keep_ratio: bool = True, to_rgb: bool = False) -> list[Transform]:
    """Give the transforms as MMDeploy 1.0.0 writes them for RTMDet."""
    steps = [
        {"type": "LoadImageFromFile", "file_client_args": {"backend": "disk"}},
        {"type": "Resize", "keep_ratio": keep_ratio, "size": [side, side]},
        {"type": "Pad", "size": [side, side], "pad_val": {"img": [114, 114, 114]}},
        {"type": "Normalize", "to_rgb": to_rgb, "mean": MEAN, "std": STD},
        {"type": "Pad", "size_divisor": 1},
        {"type": "DefaultFormatBundle"},
        {"type": "Collect", "keys": ["img"], "meta_keys": ["img_shape"]},
    ]
    return cast("list[Transform]", steps)


def onnx_folder(
    folder: Path, side: int = 64, dets: Rows = DETS, labels: Sequence[int] = LABELS
) -> Path:
    """Write an `onnx` artifact of the documented kind."""
    folder.mkdir()
    fixed_network(folder / "end2end.onnx", dets, labels, side)
    task = {"module": "Transform", "transforms": transforms(side)}
    contents = {
        "pipeline": {"pipeline": {"tasks": [task, {"module": "Net"}]}},
        "graph": {
            "graph": "documented",
            "input_size": [side, side],
            "classes": CLASSES,
            "inputs": {"input": [1, 3, side, side]},
            "outputs": {"dets": [1, len(labels), 5], "labels": [1, len(labels)]},
        },
        "deploy": {},
        "detail": {},
    }
    for name, content in contents.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def dataset_folder(folder: Path, pictures: int = 3, size: tuple[int, int] = (128, 96)) -> Path:
    """Write the validation half of a `dataset` artifact; its truth is what the network finds."""
    (folder / "val").mkdir(parents=True)
    width, height = size
    scale = max(size) / 64
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for number in range(1, pictures + 1):
        name = f"{number}.png"
        picture = np.full((height, width, 3), 20 * number, np.uint8)
        cv2.imwrite(str(folder / "val" / name), picture)
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        for (x1, y1, x2, y2, _), label in zip(DETS[:2], LABELS[:2]):  # noqa: B905 - Python 3.8 too
            box = [scale * value for value in (x1, y1, x2 - x1, y2 - y1)]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": label + 1,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
    categories = [{"id": index, "name": name} for index, name in enumerate(CLASSES, start=1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "val.json").write_text(json.dumps(content))
    return folder


def job(
    tmp_path: Path, parameters: P, inputs: Mapping[str, Path], output: str, evidence: str = ""
) -> StageJob[P]:
    """Give a job whose output is a fresh folder of that name."""
    made = tmp_path / output
    made.mkdir()
    channel = (tmp_path / f"{output}.progress").open("w")
    return StageJob(parameters, inputs, made, tmp_path / "work", evidence, channel=channel)


def engine_job(
    tmp_path: Path,
    onnx: Path,
    precision: str = "fp32",
    backend: str = "onnxruntime",
    calibration_pictures: int | None = None,
    **more: Path,
) -> StageJob[EngineParameters]:
    """Give a job that builds an engine; ``more`` are its other inputs."""
    parameters = EngineParameters("pc", backend, precision, (), calibration_pictures)
    return job(tmp_path, parameters, {"onnx": onnx, **more}, "engine")


def engine_folder(tmp_path: Path, dets: Rows = DETS, labels: Sequence[int] = LABELS) -> Path:
    """Build an `engine` artifact."""
    made = engine_job(tmp_path, onnx_folder(tmp_path / "onnx", dets=dets, labels=labels))
    build_engine(made)
    return made.output
