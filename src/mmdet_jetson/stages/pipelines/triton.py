"""A model of a Triton model repository: ``MODEL/config.pbtxt`` and ``MODEL/1/model.plan``.

The fields are those of ``model_config.proto`` of triton-inference-server/common.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import List, Sequence

from mmdet_jetson.stages.building.request import PLUGIN
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.graph import GRAPH
from mmdet_jetson.stages.pipelines.described_engine import DescribedEngine, Tensor

CONFIG, VERSION, LABELS = "config.pbtxt", "1", "labels.txt"
# What a client has to do to a picture stands here; Triton looks at neither.
FOR_CLIENTS = (GRAPH, "pipeline.json")


@dataclass(frozen=True)
class _Served:
    """How Triton calls a backend and its file, and on what it runs a model."""

    platform: str
    file: str
    kind: str


SERVED = {
    "tensorrt": _Served("tensorrt_plan", "model.plan", "KIND_GPU"),
    "onnxruntime": _Served("onnxruntime_onnx", "model.onnx", "KIND_CPU"),
}


def write(engine: DescribedEngine, folder: Path) -> Sequence[str]:
    """Write a model that is called after the engine's target.

    Raises:
        StageError: Triton has no backend for such an engine, or it needs a plugin.
    """
    check(engine)
    served = SERVED[engine.passport.backend]
    model = folder / engine.passport.target
    (model / VERSION).mkdir(parents=True)
    shutil.copyfile(engine.file, model / VERSION / served.file)
    for name in FOR_CLIENTS:
        if (engine.folder / name).exists():
            shutil.copyfile(engine.folder / name, model / name)
    (model / LABELS).write_text("".join(f"{each}\n" for each in engine.graph.classes), "utf-8")
    (model / CONFIG).write_text(config(engine, served), encoding="utf-8")
    return ()


def check(engine: DescribedEngine) -> None:
    """Refuse what Triton cannot load."""
    passport = engine.passport
    if passport.backend not in SERVED:
        raise StageError(
            f"Triton has no backend that opens engines of {passport.backend!r}",
            f"export a target whose backend is {' or '.join(SERVED)}",
        )
    if PLUGIN in passport.files:
        raise StageError(
            f"the engine for {passport.target} needs MMDeploy's plugin library, which Triton does "
            "not load",
            'set graph = "fused" for the target in targets.toml, then '
            f"invoke engine --target {passport.target}",
        )


def config(engine: DescribedEngine, served: _Served) -> str:
    """Give the text of ``config.pbtxt``.

    ``max_batch_size`` is 0, so shapes are whole: with any other number Triton asks for a first
    dimension of any size, and our graphs have a fixed batch. No output has a ``label_filename``:
    Triton reads that where an output has a score for each class, and ``labels`` has class numbers.
    """
    passport = engine.passport
    facts = ", ".join(f"{name} {value}" for name, value in passport.runs_on.items())
    built = f"; built for a device with {facts}" if facts else ""
    return "\n".join(
        [
            f"# The engine of {passport.target} in {passport.precision}{built}.",
            f"name: {json.dumps(passport.target)}",
            f"backend: {json.dumps(passport.backend)}",
            f"platform: {json.dumps(served.platform)}",
            "max_batch_size: 0",
            *(line for tensor in engine.inputs for line in _tensor("input", tensor)),
            *(line for tensor in engine.outputs for line in _tensor("output", tensor)),
            f"instance_group [ {{ count: 1 kind: {served.kind}{_secondary(engine)} }} ]",
            "version_policy { latest { num_versions: 1 } }",
            "",
        ]
    )


def _secondary(engine: DescribedEngine) -> str:
    if engine.dla is None:
        return ""
    return f" secondary_devices [ {{ kind: KIND_NVDLA device_id: {engine.dla} }} ]"


def _tensor(kind: str, tensor: Tensor) -> List[str]:
    return [
        f"{kind} {{",
        f"  name: {json.dumps(tensor.name)}",
        f"  data_type: TYPE_{tensor.type}",
        f"  dims: {list(tensor.shape)}",
        "}",
    ]
