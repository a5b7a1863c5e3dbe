"""Stage `model`: take in a detector that is trained already, as a training would have left it.

Nothing is taken on trust: every weight has to be one of the model that the config describes, and
the classes have to be known by name. What an artifact of the store has is taken to the byte.
"""

import json
import shutil
from pathlib import Path
from typing import Dict, Sequence

import mmcv
import mmdet
import mmengine
import torch
from mmengine import Config

from mmdet_jetson.contract.job import Result
from mmdet_jetson.contract.parameters.model import CLASSES, TakenModelParameters
from mmdet_jetson.stages.checkpoints.config_file import copy_modules, read_config
from mmdet_jetson.stages.checkpoints.models import build_model
from mmdet_jetson.stages.checkpoints.weights import KEPT_META, find_weights, save
from mmdet_jetson.stages.job import StageJob, main
from mmdet_jetson.stages.taking.class_names import class_names
from mmdet_jetson.stages.taking.complete_weights import complete_weights
from mmdet_jetson.stages.taking.found import Found, open_checkpoint
from mmdet_jetson.stages.taking.taken_config import ADVICE, as_trained, read_taken

STEPS = 3


def run(job: StageJob[TakenModelParameters]) -> Result:
    """Write ``best.pth``, ``config.py``, the classes and where they are from."""
    job.progress(0, STEPS, "reading the checkpoint")
    found = open_checkpoint(_weights(job))
    job.progress(1, STEPS, "reading its config")
    read = read_taken(job, found)
    named = class_names(found.says, read, job.parameters.classes, found.name)
    config, warnings = as_trained(read, named.names, job.parameters.input_size)
    job.progress(2, STEPS, "comparing the two")
    model = build_model(config, "the config", ADVICE)
    state = complete_weights(model, found)
    _write(job, found, config, state, named.names)
    numbers = sum(value.numel() for value in state.values())
    return Result(
        metrics={"classes": len(named.names), "weights": len(state), "numbers": numbers},
        facts=_facts(found),
        warnings=(*found.remarks, *named.remarks, *warnings),
    )


def _weights(job: StageJob[TakenModelParameters]) -> Path:
    if "checkpoint" in job.inputs:
        return job.inputs["checkpoint"] / "best.pth"
    return find_weights(job.inputs["weights"])


def _write(
    job: StageJob[TakenModelParameters],
    found: Found,
    config: Config,
    state: Dict[str, torch.Tensor],
    classes: Sequence[str],
) -> None:
    folder = job.output
    if _is_ours(job, config):
        for name in ("best.pth", "config.py"):
            shutil.copyfile(job.inputs["checkpoint"] / name, folder / name)
    else:
        config.dump(str(folder / "config.py"))
        meta = {key: found.says[key] for key in KEPT_META if key in found.says}
        meta["dataset_meta"] = {"classes": tuple(classes)}
        save({"meta": meta, "state_dict": state}, folder / "best.pth")
    home = job.inputs.get("config" if job.parameters.config else "checkpoint")
    if home:
        copy_modules(home, folder)
    (folder / CLASSES).write_text(json.dumps(classes) + "\n")
    taken = {"file": found.name, "config": job.parameters.config or "its own config"}
    (folder / "metrics.json").write_text(json.dumps({"taken": taken}, indent=1) + "\n")


def _is_ours(job: StageJob[TakenModelParameters], config: Config) -> bool:
    """Whether an artifact can stay as it is: what was made of it before is then known again."""
    if job.parameters.config is not None or "checkpoint" not in job.inputs:
        return False
    own = read_config(
        job.inputs["checkpoint"] / "config.py", job.inputs["checkpoint"], "its config", ADVICE
    )
    same: bool = own.test_dataloader.dataset.pipeline == config.test_dataloader.dataset.pipeline
    return same


def _facts(found: Found) -> Dict[str, object]:
    trained = {key: found.says.get(key) for key in ("epoch", "mmengine_version", "time")}
    versions = {each.__name__: each.__version__ for each in (torch, mmengine, mmcv, mmdet)}
    said = {f"trained_{key}": value for key, value in trained.items() if _is_plain(value)}
    return {**versions, **said}


def _is_plain(value: object) -> bool:
    return isinstance(value, (str, int))


if __name__ == "__main__":
    main(run, TakenModelParameters)
