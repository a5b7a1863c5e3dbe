"""What is asked of a builder: an engine's job, looked at before anything is compiled."""

import shutil
from pathlib import Path
from typing import List, Optional

import onnx

from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.contract.parameters.engine import EngineParameters
from mmdet_jetson.stages.building.calibration import Calibration, choose
from mmdet_jetson.stages.building.request import PLUGIN, BuildRequest
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.graph import ONNX, read_graph
from mmdet_jetson.stages.job import StageJob

# A documented graph has all of these, a fused one only the last.
COPIED = ("deploy.json", "pipeline.json", "detail.json", "graph.json")


def check_precision(backend: str, precision: str) -> None:
    """Refuse a precision that the backend lacks: it might build in another and not notice."""
    known = BACKENDS[backend].precisions
    if precision not in known:
        raise StageError(
            f"backend {backend!r} does not build engines in {precision}",
            f"set the target's precision to one of: {', '.join(known)}",
        )


def check_model(model: Path) -> None:
    """Refuse a file that is no valid ONNX graph."""
    hint = "run the export again; `invoke verify` finds artifacts that changed on disk"
    if not model.is_file():
        raise StageError(f"there is no {model.name} in {model.parent}", hint)
    try:
        onnx.checker.check_model(str(model))
    except onnx.checker.ValidationError as error:
        reason = str(error).strip().splitlines()[0]
        raise StageError(f"{model.name} is not a valid ONNX file: {reason}", hint) from error


def copy_descriptions(job: StageJob[EngineParameters], source: Path, folder: Path) -> None:
    """Put what belongs to the engine beside it: what the export wrote, and the plugin library."""
    for name in COPIED:
        if (source / name).exists():
            shutil.copyfile(source / name, folder / name)
    if "plugin" in job.inputs:
        shutil.copyfile(next(job.inputs["plugin"].glob("*.so*")), folder / PLUGIN)


def choose_calibration(job: StageJob[EngineParameters]) -> Optional[Calibration]:
    """Choose calibration pictures where the precision needs some."""
    count = job.parameters.calibration_pictures
    if count is None:
        return None
    return choose(job.inputs["training"], job.inputs["validation"], count)


def too_few(calibration: Optional[Calibration], wanted: Optional[int]) -> List[str]:
    """Say so where the training split has fewer pictures than int8 should be calibrated with."""
    if calibration is None or wanted is None or len(calibration.pictures) >= wanted:
        return []
    return [
        f"int8 is calibrated with {len(calibration.pictures)} pictures, which is all of the "
        f"training split, and not with {wanted} (calibration_pictures in targets.toml)"
    ]


def request_for(
    job: StageJob[EngineParameters], source: Path, folder: Path, calibration: Optional[Calibration]
) -> BuildRequest:
    """Say what is to be built.

    The work folder holds what an earlier build left for this one, where there was one.
    """
    reuses = BACKENDS[job.parameters.backend].reuses
    earlier = job.work / reuses
    return BuildRequest(
        onnx=source / ONNX,
        folder=folder,
        precision=job.parameters.precision,
        graph=read_graph(folder),
        calibration=calibration.pictures if calibration else (),
        compute_capabilities=job.parameters.compute_capabilities,
        plugin=folder / PLUGIN if "plugin" in job.inputs else None,
        reused=earlier if reuses and earlier.exists() else None,
        settings=job.parameters.builder,
    )
