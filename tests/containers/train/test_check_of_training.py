"""What a training would refuse of its config, asked by the check that comes before it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Mapping

import pytest
from trainings import CLASSES, PARAMETERS, ROOT, SIDE

from mmdet_jetson.contract.parameters.check import CheckParameters
from mmdet_jetson.contract.parameters.train import ModelParameters, TrainingParts
from mmdet_jetson.stages import check
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.job import StageJob

MASKED = "dict(type='LoadAnnotations', with_bbox=True, with_mask=True)"
WRAPPED = "times=2, dataset={{_base_.train_dataloader.dataset}}"
NONE = TrainingParts({}, has_weights=False)


def run(folder: Path, dataset: Path, config: str, parts: TrainingParts = NONE) -> None:
    """Check the demo's config with more in it, for no export."""
    for name in ("output", "work"):
        (folder / name).mkdir()
    (folder / "config.py").write_text(f"_base_ = '{ROOT}/{PARAMETERS.config}'\n{config}\n")
    model = ModelParameters("config.py", {}, CLASSES, (SIDE, SIDE))
    told = CheckParameters("cpu", model, parts, {})
    inputs = {"dataset": dataset, "config": folder}
    check.run(StageJob(told, inputs, folder / "output", folder / "work", channel=io.StringIO()))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("load_from = 'coco.pth'", "starts from coco.pth (load_from)"),
        ("custom_hooks = [dict(type='NoHook')]", "a hook in custom_hooks of the training config"),
        ("default_hooks = dict(logger=dict(type='Logger'))", "the hook logger in default_hooks"),
        ("optim_wrapper = dict(optimizer=dict(type='AdanW'))", "is a AdanW, which is not"),
        ("train_cfg = dict(type='EpochBasedLoop')", "train_cfg of the training config is a Epoch"),
        (
            f"train_dataloader = dict(dataset=dict(pipeline=[{MASKED}]))",
            "loads masks (with_mask), but a training here learns boxes only",
        ),
        (
            "optim_wrapper = dict(constructor='LearningRateDecayOptimWrapperConstructr')",
            "the constructor of optim_wrapper of the training config is a LearningRateDecay",
        ),
        (
            "train_dataloader = dict(batch_sampler=dict(_delete_=True, type='AspectRatioSampler'))",
            "the batch_sampler in train_dataloader of the training config is a AspectRatioS",
        ),
        (
            "train_dataloader = dict(collate_fn=dict(type='pseudo_colate'))",
            "the collate_fn in train_dataloader of the training config is a pseudo_colate",
        ),
        (
            f"train_dataloader = dict(dataset=dict(_delete_=True, type='RepeatDatset', {WRAPPED}))",
            "a dataset in train_dataloader of the training config is a RepeatDatset",
        ),
        (
            "visualizer = dict(vis_backends=[dict(type='LocalVizBackend')])",
            "a backend of the visualizer of the training config is a LocalVizBackend",
        ),
        (
            "visualizer = dict(vis_backends=dict(_delete_=True, type='LocalVisBackend'))",
            "a backend of the visualizer of the training config is 'type' and no dictionary",
        ),
        (
            "custom_hooks = ['EMAHook']",
            "a hook in custom_hooks of the training config is 'EMAHook'",
        ),
        (
            "val_evaluator = dict(metric=['bbox', 'boxes'])",
            "config.py cannot be used: KeyError: CocoMetric: metric should be one of 'bbox', 's",
        ),
        ("val_evaluator = dict(colour=1)", "CocoMetric: __init__() got an unexpected keyword"),
        ("train_cfg = dict(val_interval=0)", "train_cfg.val_interval of the training config is 0"),
        (
            "train_cfg = dict(dynamic_intervals=[(4, 0)])",
            "an interval in train_cfg.dynamic_intervals of the training config is 0, which is no",
        ),
        ("train_cfg = dict(max_epochs=0)", "train_cfg.max_epochs of the training config is 0"),
        ("train_cfg = dict(max_epochs=1.5)", "train_cfg.max_epochs of the training config is 1.5"),
        (
            "train_dataloader = dict(batch_size=0)",
            "train_dataloader.batch_size of the training config is 0, which is no whole number",
        ),
        (
            "train_dataloader = dict(sampler=dict(type='InfiniteSampler'))",
            "is a InfiniteSampler, which gives pictures without end: an epoch of it is never over",
        ),
        (
            "default_hooks = dict(checkpoint=dict(intervall=1))",
            "has an option intervall, which CheckpointHook does not know",
        ),
    ],
)
def test_what_a_training_refuses_is_refused_before(
    tmp_path: Path, dataset: Path, config: str, message: str
) -> None:
    with pytest.raises(StageError) as caught:
        run(tmp_path, dataset, config)
    assert message in caught.value.message
    assert caught.value.hint


def test_with_weights_to_start_from_others_may_be_named(tmp_path: Path, dataset: Path) -> None:
    run(tmp_path, dataset, "load_from = 'coco.pth'", TrainingParts({}, has_weights=True))


@pytest.mark.parametrize(
    ("config", "override"),
    [
        ("custom_hooks = [dict(type='NoHook')]", {"custom_hooks": []}),
        (
            f"train_dataloader = dict(dataset=dict(pipeline=[{MASKED}]))",
            {"train_dataloader.dataset.pipeline.0.with_mask": False},
        ),
    ],
)
def test_an_override_mends_what_the_file_says(
    tmp_path: Path, dataset: Path, config: str, override: Mapping[str, object]
) -> None:
    run(tmp_path, dataset, config, TrainingParts(override, has_weights=False))


@pytest.mark.parametrize(
    "config",
    [
        "val_cfg = None",
        "test_cfg = test_dataloader = test_evaluator = None",
        "default_hooks = dict(visualization=None, runtime_info=None, checkpoint=None)",
        "train_cfg = dict(max_epochs=8.0)",
        f"train_dataloader = dict(dataset=dict(_delete_=True, type='RepeatDataset', {WRAPPED}))",
        "train_dataloader = dict(dataset=dict(_delete_=True, type='ConcatDataset', "
        "datasets=[{{_base_.train_dataloader.dataset}}]))",
        "val_evaluator = dict(metric=('bbox', 'proposal'), classwise=True)",
        "visualizer = dict(vis_backends=[dict(type='TensorboardVisBackend')])",
        "optim_wrapper = dict(constructor='DefaultOptimWrapperConstructor')",
    ],
)
def test_what_trains_well_is_not_refused(tmp_path: Path, dataset: Path, config: str) -> None:
    run(tmp_path, dataset, config)


def test_a_misspelt_part_in_an_override_is_refused(tmp_path: Path, dataset: Path) -> None:
    parts = TrainingParts({"optim_wrapper.optimizer.type": "AdanW"}, has_weights=False)
    with pytest.raises(StageError, match="is a AdanW, which is not registered"):
        run(tmp_path, dataset, "", parts)


def test_the_key_of_a_number_is_looked_for(tmp_path: Path, dataset: Path) -> None:
    parts = TrainingParts({"optim_wrapper.optimizer.lrr": None}, has_weights=False)
    with pytest.raises(StageError, match='no "lrr"; the nearest is "lr"'):
        run(tmp_path, dataset, "", parts)


def test_an_override_without_effect_is_refused(tmp_path: Path, dataset: Path) -> None:
    parts = TrainingParts({"train_dataloader.dataset.ann_file": "x.json"}, has_weights=False)
    with pytest.raises(StageError, match="would change nothing"):
        run(tmp_path, dataset, "", parts)


ENDS_EARLY = "param_scheduler = [dict(type='OneCycleLR', eta_max=0.01, total_steps=2)]"


def test_a_schedule_that_ends_early_is_refused(tmp_path: Path, dataset: Path) -> None:
    with pytest.raises(StageError, match="total_steps of the OneCycleLR"):
        run(tmp_path, dataset, ENDS_EARLY)


def test_a_number_may_mend_a_schedule(tmp_path: Path, dataset: Path) -> None:
    parts = TrainingParts({"param_scheduler.0.total_steps": None}, has_weights=False)
    run(tmp_path, dataset, ENDS_EARLY, parts)
