"""A config fitted to one process without a GPU and without a network."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmdet.registry import VISBACKENDS
from mmengine import Config
from mmengine.visualization import LocalVisBackend

from mmdet_jetson.stages.training.adaptation import adapt
from mmdet_jetson.stages.training.config_loading import load_config

DEMO = Path(__file__).parents[3] / "configs/train/rtmdet_tiny_demo.py"
AMP = {
    "type": "AmpOptimWrapper",
    "loss_scale": "dynamic",
    "dtype": "float16",
    "accumulative_counts": 2,
    "optimizer": {"type": "SGD", "lr": 0.1},
}


@VISBACKENDS.register_module()
class OwnBackend(LocalVisBackend):  # type: ignore[misc]  # MMEngine has no types
    """A visualizer's backend as a module of the user's registers it."""


@pytest.fixture
def demo() -> Config:
    return load_config(DEMO)


def test_mixed_precision_becomes_full_precision_on_a_cpu(demo: Config) -> None:
    demo.optim_wrapper = AMP
    (warning,) = adapt(demo, "cpu")
    assert "AmpOptimWrapper), which needs a GPU" in warning
    assert demo.optim_wrapper == {
        "type": "OptimWrapper",
        "accumulative_counts": 2,
        "optimizer": {"type": "SGD", "lr": 0.1},
    }


def test_mixed_precision_stays_on_a_gpu(demo: Config) -> None:
    demo.optim_wrapper = AMP
    assert adapt(demo, "cuda") == []
    assert demo.optim_wrapper == AMP


def test_a_usual_config_needs_no_warning(demo: Config) -> None:
    before = demo.to_dict()
    assert adapt(demo, "cpu") == []
    assert demo.to_dict() == {**before, "launcher": "none"}


@pytest.mark.parametrize(
    ("backends", "kept", "left_out"),
    [
        (
            ["LocalVisBackend", "TensorboardVisBackend", "WandbVisBackend"],
            ["LocalVisBackend"],
            "WandbVisBackend",
        ),
        (
            ["WandbVisBackend", "MLflowVisBackend"],
            ["LocalVisBackend"],
            "MLflowVisBackend, WandbVisBackend",
        ),
        (["OwnBackend", "WandbVisBackend"], ["OwnBackend"], "WandbVisBackend"),
    ],
)
def test_figures_stay_on_this_machine(
    demo: Config, backends: list[str], kept: list[str], left_out: str
) -> None:
    demo.visualizer.vis_backends = [{"type": kind} for kind in backends]
    (warning,) = adapt(demo, "cpu")
    assert warning.startswith(f"the visualizer goes without {left_out}: ")
    assert [each["type"] for each in demo.visualizer.vis_backends] == kept


def test_tensorboards_files_are_written_anyway_so_that_nothing_is_said(demo: Config) -> None:
    demo.visualizer.vis_backends = [{"type": "TensorboardVisBackend"}]
    assert adapt(demo, "cpu") == []
    assert [each["type"] for each in demo.visualizer.vis_backends] == ["LocalVisBackend"]


def test_a_pipeline_that_never_flips_is_packed(demo: Config) -> None:
    steps = demo.train_dataloader.dataset.pipeline
    adapt(demo, "cpu")
    assert "meta_keys" not in steps[-1]
    steps[:] = [step for step in steps if step.type != "RandomFlip"]
    adapt(demo, "cpu")
    assert "flip" not in steps[-1].meta_keys


@pytest.mark.parametrize(
    ("option", "value", "instead"),
    [
        ("prefix", "mine", "named as CocoMetric names them (coco/bbox_mAP)"),
        ("metric_items", ["mAP_50"], "all of CocoMetric's figures"),
        ("iou_thrs", [0.5], "COCO's own IoU thresholds, 0.50 to 0.95"),
        ("format_only", True, "figures, which a file of detections alone does not give"),
        ("outfile_prefix", "/tmp/x", "detections are kept by the evaluation of the checkpoint"),
        ("file_client_args", {"backend": "petrel"}, "annotations in its dataset, which are files"),
        ("proposal_nums", (100,), "COCO's AP, which is of 100 detections in a picture"),
        ("proposal_nums", (1, 10, 50), "COCO's AP, which is of 100 detections in a picture"),
        ("proposal_nums", (1, 10, 50, 100), "COCO's AP, which is of 100 detections in a picture"),
        ("proposal_nums", 100, "COCO's AP, which is of 100 detections in a picture"),
    ],
)
def test_a_training_is_judged_as_everything_else_is_and_says_so(
    demo: Config, option: str, value: object, instead: str
) -> None:
    demo.val_evaluator[option] = value
    (warning,) = adapt(demo, "cpu")
    assert warning.startswith(f"{option} of val_evaluator in the training config is not used: ")
    assert warning.endswith(instead)
    assert option not in demo.val_evaluator


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("proposal_nums", (100, 1, 10)),
        ("proposal_nums", (100, 300, 1000)),
        ("file_client_args", {"backend": "disk"}),
        ("metric_items", None),
        ("classwise", True),
    ],
)
def test_what_judges_alike_stays_without_a_word(demo: Config, option: str, value: object) -> None:
    demo.val_evaluator[option] = value
    before = demo.to_dict()
    assert adapt(demo, "cpu") == []
    assert demo.to_dict() == {**before, "launcher": "none"}


def test_what_both_evaluators_ask_for_is_one_warning(demo: Config) -> None:
    demo.val_evaluator.prefix = demo.test_evaluator.prefix = "mine"
    (warning,) = adapt(demo, "cpu")
    assert warning.startswith("prefix of val_evaluator and test_evaluator in the training config")
    assert not {"prefix"} & {*demo.val_evaluator, *demo.test_evaluator}
