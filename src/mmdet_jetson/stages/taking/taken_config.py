"""The config of a model that was trained elsewhere, made such as a training here leaves it."""

import difflib
import traceback
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import mmdet
from mmengine import Config, ConfigDict
from mmengine.dataset import Compose

from mmdet_jetson.contract.parameters.base import Size
from mmdet_jetson.contract.parameters.model import PACKAGE, TakenModelParameters
from mmdet_jetson.stages.checkpoints.config_file import SCOPE, read_config, unscoped
from mmdet_jetson.stages.errors import StageError, reason_of
from mmdet_jetson.stages.job import StageJob
from mmdet_jetson.stages.taking.found import Found
from mmdet_jetson.stages.taking.literal_config import NAME_IT, literal_config
from mmdet_jetson.stages.training import mmdet_config
from mmdet_jetson.stages.training.adaptation import adapt_model
from mmdet_jetson.stages.training.boxes_only import mask_heads
from mmdet_jetson.stages.training.input_size import input_size, set_input_size
from mmdet_jetson.stages.training.starting_point import take_named_weights

ADVICE = "compare it with the config that the checkpoint was trained with"
# What of a config detects, and is taken; the rest is how it was trained.
DETECTING = ("default_scope", "custom_imports", "model", "env_cfg", "visualizer")
CONFIGS = Path(mmdet.__file__).parent / ".mim/configs"


def read_taken(job: StageJob[TakenModelParameters], found: Found) -> Config:
    """Read the config: one of MMDetection's, the user's, an artifact's, or the checkpoint's own.

    Raises:
        StageError: there is none, or none of a detector of MMDetection.
    """
    config = _read(job, found)
    scope = config.get("default_scope") or SCOPE
    if scope != SCOPE:
        raise StageError(
            f"the config is one of {scope}'s (default_scope), and engines are made of "
            "MMDetection's models",
            f"train one of MMDetection's, or name the config of the same model in {SCOPE}",
        )
    if not isinstance(config.get("model"), dict):
        raise StageError("the config has no model", ADVICE)
    config.default_scope = SCOPE
    return config


def _read(job: StageJob[TakenModelParameters], found: Found) -> Config:
    named = job.parameters.config
    if named is None and "checkpoint" in job.inputs:
        folder = job.inputs["checkpoint"]
        return read_config(folder / "config.py", folder, "the checkpoint's config.py", ADVICE)
    if named is None:
        if found.config is None:
            raise StageError(f"nothing says which config {found.name} was trained with", NAME_IT)
        return unscoped(literal_config(found.config, found.name))
    name = f"the config {named}"
    if PACKAGE in named:
        path = _package_config(named, job.work)
        return read_config(path, path.parent, name, ADVICE)
    folder = job.inputs["config"]
    return read_config(folder / named, folder, name, ADVICE)


def _package_config(named: str, work: Path) -> Path:
    """Write a config that stands on one of MMDetection's own."""
    place = named.partition(PACKAGE)[2]
    if not (CONFIGS / place).is_file():
        known = [path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("*.py")]
        near = difflib.get_close_matches(place, known, n=1, cutoff=0)
        raise StageError(
            f"MMDetection {mmdet.__version__} has no config {named}", f"did you mean {near[0]}?"
        )
    path = work / "config.py"
    path.write_text(f"_base_ = {named!r}\n")
    return path


def as_trained(config: Config, classes: Sequence[str], size: Size) -> Tuple[Config, List[str]]:
    """Return the config as a training here leaves it, for these classes and this input size.

    Raises:
        StageError: it is none of a detector of boxes, or its test pipeline is none of an engine.
    """
    for head in mask_heads(config):
        raise StageError(
            f"the config is one for instance segmentation ({head} of its model), and engines "
            "detect boxes",
            "use the same detector for boxes, such as rtmdet_tiny for rtmdet-ins_tiny",
        )
    taken = Config({key: config[key] for key in DETECTING if config.get(key) is not None})
    take_named_weights(taken)
    mmdet_config.set_class_count(taken, len(classes))
    _set_data(taken, _test_pipeline(config), classes)
    before = input_size(taken)
    taken = set_input_size(taken, size)
    adapt_model(taken)
    try:
        Compose(taken.test_dataloader.dataset.pipeline)
    except Exception as error:  # each transform raises its own
        traceback.print_exc()
        raise StageError(
            f"the test pipeline of the config cannot be used: {reason_of(error)}", ADVICE
        ) from error
    taken.test_pipeline = taken.test_dataloader.dataset.pipeline
    return unscoped(taken), _other_size(before, size)


def _other_size(before: Size, size: Size) -> List[str]:
    if before == tuple(size):
        return []
    return [
        f"the model was trained for pictures of {before[0]}x{before[1]}, as its test pipeline "
        f"says, and input_size is {size[0]}x{size[1]}: it may detect worse than it could"
    ]


def _test_pipeline(config: Config) -> List[ConfigDict]:
    """The steps that the model was tested with."""
    for dataset in mmdet_config.innermost_of(config, "test_dataloader", "val_dataloader"):
        pipeline: Optional[List[ConfigDict]] = dataset.get("pipeline")
        if pipeline:
            return pipeline
    if not config.get("test_pipeline"):
        raise StageError(
            "the config has no test pipeline (test_dataloader.dataset.pipeline), so nothing says "
            "how pictures are prepared",
            ADVICE,
        )
    return list(config.test_pipeline)


def _set_data(config: Config, pipeline: Sequence[ConfigDict], classes: Sequence[str]) -> None:
    """Give both dataloaders the place where a checkpoint's data lie, as a training's have it."""
    for part in ("val", "test"):
        config[f"{part}_dataloader"] = ConfigDict(
            batch_size=1,
            num_workers=0,
            persistent_workers=False,
            drop_last=False,
            sampler={"type": "DefaultSampler", "shuffle": False},
            dataset={
                "type": "CocoDataset",
                "data_root": "dataset/",
                "ann_file": "val.json",
                "data_prefix": {"img": "val/"},
                "metainfo": {"classes": tuple(classes)},
                "test_mode": True,
                "pipeline": [dict(step) for step in pipeline],
            },
        )
        ann_file = "dataset/val.json"
        config[f"{part}_evaluator"] = ConfigDict(
            type="CocoMetric", metric="bbox", ann_file=ann_file
        )
    config.val_cfg, config.test_cfg = ConfigDict(type="ValLoop"), ConfigDict(type="TestLoop")
