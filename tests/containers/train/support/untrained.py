"""Checkpoints of untrained detectors, and exports of them: no dataset, no GPU needed."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Mapping

import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine import Config

from mmdet_jetson.contract.parameters.export import ExportParameters
from mmdet_jetson.stages import export
from mmdet_jetson.stages.job import StageJob

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmdet_jetson.contract.job import Result

Step = Mapping[str, object]

ROOT = Path(__file__).parents[4]
SIZE = (128, 128)
PAD: Step = {"type": "Pad", "size": SIZE, "pad_val": {"img": (114, 114, 114)}}
PACK: Step = {
    "type": "PackDetInputs",
    "meta_keys": ("img_id", "img_path", "ori_shape", "img_shape"),
}


def base_config(base: str, steps: list[Step] | None, folder: Path) -> Config:
    """A flattened config of MMDetection's with one class, as the stage train leaves it."""
    source = folder / "source.py"
    source.write_text(f"_base_ = 'mmdet::{base}'\n")
    config = Config.fromfile(str(source))
    config.model.bbox_head.num_classes = 1
    config.model.backbone.pop("init_cfg", None)
    config.test_dataloader.dataset.metainfo = {"classes": ("balloon",)}
    if steps is not None:
        config.test_dataloader.dataset.pipeline = steps
        config.test_pipeline = steps
    return config


def pipeline(keep_ratio: bool, *pads: Step) -> list[Step]:
    """A test pipeline that resizes to `SIZE`."""
    resize: Step = {"type": "Resize", "scale": SIZE, "keep_ratio": keep_ratio}
    return [{"type": "LoadImageFromFile"}, resize, *pads, PACK]


def write_checkpoint(config: Config, folder: Path) -> Path:
    """A `checkpoint` artifact with random weights, as far as an export reads it."""
    register_all_modules()
    torch.manual_seed(0)
    folder.mkdir()
    model = MODELS.build(Config({"model": config.model}).model)
    torch.save({"state_dict": model.state_dict(), "meta": {}}, str(folder / "best.pth"))
    config.dump(str(folder / "config.py"))
    return folder


def variant(checkpoint: Path, folder: Path, change: Callable[[Config], None]) -> Path:
    """The checkpoint with a changed config: same weights."""
    config = Config.fromfile(str(checkpoint / "config.py"))
    change(config)
    folder.mkdir()
    config.dump(str(folder / "config.py"))
    shutil.copy(checkpoint / "best.pth", folder)
    return folder


def run_export(
    checkpoint: Path, folder: Path, parameters: ExportParameters, config: Path = ROOT
) -> tuple[Path, Result]:
    """Run the stage; give the folder of the `onnx` artifact too."""
    onnx, work = folder / "onnx", folder / "work"
    onnx.mkdir(parents=True)
    work.mkdir()
    job = StageJob(
        parameters=parameters,
        inputs={"checkpoint": checkpoint, "config": config},
        output=onnx,
        work=work,
        evidence="",
        artifacts=(),
        channel=io.StringIO(),
    )
    return onnx, export.run(job)
