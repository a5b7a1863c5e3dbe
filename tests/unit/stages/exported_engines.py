"""Folders of engines as `describe_engine` reads them."""

import json
from pathlib import Path

from built_engines import engine_job
from fused import CLASSES, PREPROCESSING, SIDE, fused_folder
from passports import passport

from mmdet_jetson.contract.records import encode
from mmdet_jetson.stages.engine import run as build_engine
from mmdet_jetson.stages.inference.passport import PASSPORT, sha256

ROWS = 4
OUTPUTS = {"dets": [1, ROWS, 5], "labels": [1, ROWS], "nms": [1, 3]}
RUNS_ON = {"sm": 87, "tensorrt": "10.3.0"}


def onnxruntime_engine(tmp_path: Path) -> Path:
    """Build an engine of a fused graph that takes a letterboxed picture."""
    onnx = fused_folder(tmp_path / "onnx")
    graph = json.loads((onnx / "graph.json").read_text())
    graph["inputs"] = {"picture": [1, SIDE, SIDE, 3], "mapping": [1, 4]}
    graph["outputs"] = {"dets": [1, 2, 5], "labels": [1, 2], "nms": [1, 3]}
    (onnx / "graph.json").write_text(json.dumps(graph))
    made = engine_job(tmp_path, onnx)
    build_engine(made)
    return made.output


def tensorrt_engine(
    folder: Path,
    *,
    plugin: object = False,
    backend: object = "tensorrt",
    dla: object = None,
    **graph: object,
) -> Path:
    """Write the folder of an engine for a tensor; ``graph`` replaces what graph.json says."""
    folder.mkdir(parents=True)
    content = {
        "graph": "fused",
        "input": "tensor",
        "batch": 1,
        "classes": CLASSES,
        "input_size": [SIDE, SIDE],
        "preprocessing": PREPROCESSING,
        "post_processing": {"keep": ROWS, "nms_pre": ROWS},
        "inputs": {"input": [1, 3, SIDE, SIDE], "mapping": [1, 4]},
        "outputs": OUTPUTS,
        **graph,
    }
    (folder / "graph.json").write_text(json.dumps(content))
    (folder / "engine.plan").write_bytes(b"what TensorRT made")
    if plugin:
        (folder / "plugin.so").write_bytes(b"MMDeploy's")
    digests = {path.name: sha256(path) for path in folder.iterdir()}
    described = encode(passport("orin-jp62", RUNS_ON))
    engine = {"file": "engine.plan", "sha256": digests.pop("engine.plan"), "bytes": 18}
    described.update(backend=backend, engine=engine, files=digests)
    described["settings"] = {} if dla is None else {"dla": dla}
    (folder / PASSPORT).write_text(json.dumps(described))
    return folder
