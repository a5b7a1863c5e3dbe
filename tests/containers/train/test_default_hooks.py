"""The hooks that a training cannot be without, and options of its checkpoints that are not a config's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from mmdet.registry import HOOKS
from mmengine import Config
from mmengine.hooks import CheckpointHook
from trainings import PARAMETERS, metrics_of, train_job

from mmdet_jetson.stages import train
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.training.adaptation import adapt
from mmdet_jetson.stages.training.config_loading import load_config
from mmdet_jetson.stages.training.default_hooks import (
    OWN,
    check_checkpoint_hook,
    set_checkpoint_hook,
)

DEMO = Path(__file__).parents[3] / "configs/train/rtmdet_tiny_demo.py"
AP = "coco/bbox_mAP"


@HOOKS.register_module()
class OwnCheckpoints(CheckpointHook):  # type: ignore[misc]  # MMEngine has no types
    """A hook as a module of the user's registers it."""


@pytest.fixture
def demo() -> Config:
    return load_config(DEMO)


def settled(config: Config) -> dict[str, object]:
    """The checkpoint hook that a training is built with, once it can be."""
    check_checkpoint_hook(config)
    set_checkpoint_hook(config)
    hook = dict(config.default_hooks.checkpoint)
    HOOKS.build(dict(hook))
    return hook


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("type", "OwnCheckpoints"),
        ("by_epoch", False),
        ("save_last", False),
        ("save_best", "coco/bbox_mAP_50"),
        ("save_best", [AP, "coco/bbox_mAP_50"]),
        ("rule", "less"),
        ("rule", ["less"]),
        ("greater_keys", ["loss"]),
        ("less_keys", [AP]),
        ("save_optimizer", False),
        ("save_param_scheduler", False),
        ("filename_tmpl", "ep{}.pth"),
        ("out_dir", "/tmp/elsewhere"),
        ("file_client_args", {"backend": "petrel"}),
        ("backend_args", {"backend": "petrel"}),
        ("published_keys", ["state_dict"]),
    ],
)
def test_what_is_not_the_config_s_to_choose_is_said(
    demo: Config, option: str, value: object
) -> None:
    demo.default_hooks.checkpoint[option] = value
    (warning,) = adapt(demo, "cpu")
    assert warning.startswith(f"{option} of the checkpoint hook in the training config is not used")
    assert OWN[option].instead in warning
    interval = 1 if option == "by_epoch" else 4
    assert settled(demo) == {
        "type": "CheckpointHook",
        "by_epoch": True,
        "save_last": True,
        "save_best": AP,
        "rule": "greater",
        "interval": interval,
        "max_keep_ckpts": 2,
    }


@pytest.mark.parametrize(
    "options",
    [
        {"save_best": "auto"},
        {"save_best": [AP], "rule": ["greater"]},
        {"save_best": None, "out_dir": None, "filename_tmpl": "epoch_{}.pth"},
        {"file_client_args": {"backend": "disk"}, "save_last": True, "by_epoch": True},
        {"interval": -1},
        {"priority": "LOW"},
    ],
)
def test_what_changes_nothing_needs_no_warning(demo: Config, options: dict[str, object]) -> None:
    demo.default_hooks.checkpoint.update(options)
    assert adapt(demo, "cpu") == []
    settled(demo)


def test_a_hook_of_one_s_own_takes_its_options_along(demo: Config) -> None:
    demo.default_hooks.checkpoint.update(type="OwnCheckpoints", colour="red")
    assert len(adapt(demo, "cpu")) == 1
    assert "colour" not in settled(demo)


def test_an_interval_of_0_is_never(demo: Config) -> None:
    """With a number of checkpoints to keep, MMEngine divides by it."""
    demo.default_hooks.checkpoint.update(interval=0, max_keep_ckpts=2)
    assert adapt(demo, "cpu") == []
    assert settled(demo)["interval"] == -1


def test_only_one_hook_says_what_is_best(demo: Config) -> None:
    second = {"type": "CheckpointHook", "interval": 1, "save_best": AP, "rule": "less"}
    demo.custom_hooks = [second, {"type": "EMAHook"}]
    (warning,) = adapt(demo, "cpu")
    assert "the CheckpointHook in custom_hooks of the training config is left out" in warning
    assert demo.custom_hooks == [{"type": "EMAHook"}]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"intervall": 1}, "has an option intervall, which CheckpointHook does not know"),
        ({"interval": "4"}, "interval of the checkpoint hook in the training config is '4'"),
        ({"max_keep_ckpts": 1.5}, "max_keep_ckpts of the checkpoint hook in the training config"),
    ],
)
def test_what_would_fail_when_an_epoch_is_saved_is_refused(
    demo: Config, options: dict[str, object], message: str
) -> None:
    demo.default_hooks.checkpoint.update(options)
    adapt(demo, "cpu")
    with pytest.raises(StageError) as caught:
        check_checkpoint_hook(demo)
    assert message in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("hooks", [None, {}])
def test_without_hooks_of_its_own_a_config_has_mmengine_s(demo: Config, hooks: object) -> None:
    demo.default_hooks = hooks
    assert adapt(demo, "cpu") == []
    assert settled(demo)["interval"] == 1


def test_hooks_that_are_left_out_are_not_missed(dataset: Path, tmp_path: Path) -> None:
    """But for two, of which one keeps the best and the other the figures."""
    names = ("checkpoint", "runtime_info", "visualization", "timer", "logger", "sampler_seed")
    hooks = ", ".join(f"{name}=None" for name in names)
    (tmp_path / "mine.py").write_text(f"_base_ = {str(DEMO)!r}\ndefault_hooks = dict({hooks})\n")
    job = train_job(
        tmp_path / "job", dataset, replace(PARAMETERS, config="mine.py"), config=tmp_path
    )
    result = train.run(job)
    kept = [each for each in result.warnings if "is not left out" in each]
    assert [each.split()[2] for each in kept] == ["checkpoint", "runtime_info"]
    assert len(metrics_of(job)["curves"]["train"]) == 1
    assert (job.output / "best.pth").is_file()
