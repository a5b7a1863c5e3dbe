"""Changes to MMDetection configs: the documented balloon config, then each change on its own."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Optional, Tuple

import pytest
from json_values import at
from mmengine import Config, ConfigDict

from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.training import mmdet_config
from mmdet_jetson.stages.training.config_loading import load_config
from mmdet_jetson.stages.training.input_size import input_size, set_input_size
from mmdet_jetson.stages.training.schedule import set_epochs

ROOT = Path(__file__).parents[3]
BALLOON = ROOT / "configs/train/rtmdet_tiny_1xb12-40e_balloon.py"
BASE_LR = 12 * 0.004 / 256

DOCUMENTED: dict[str, object] = {
    "train_cfg.type": "EpochBasedTrainLoop",
    "train_cfg.max_epochs": 40,
    "train_cfg.val_interval": 10,
    "train_cfg.dynamic_intervals": None,
    "train_dataloader.batch_size": 12,
    "train_dataloader.dataset.type": "CocoDataset",
    "train_dataloader.dataset.data_root": "dataset/",
    "train_dataloader.dataset.ann_file": "train.json",
    "train_dataloader.dataset.data_prefix": {"img": "train/"},
    "train_dataloader.dataset.metainfo": {"classes": ("balloon",)},
    "val_dataloader.dataset.ann_file": "val.json",
    "val_dataloader.dataset.data_prefix": {"img": "val/"},
    "val_dataloader.dataset.metainfo": {"classes": ("balloon",)},
    "test_dataloader.dataset.ann_file": "val.json",
    "val_evaluator.type": "CocoMetric",
    "val_evaluator.metric": "bbox",
    "val_evaluator.ann_file": "dataset/val.json",
    "test_evaluator.ann_file": "dataset/val.json",
    "optim_wrapper.optimizer": {"type": "AdamW", "lr": BASE_LR, "weight_decay": 0.05},
    "model.type": "RTMDet",
    "model.backbone.deepen_factor": 0.167,
    "model.backbone.widen_factor": 0.375,
    "model.backbone.frozen_stages": 4,
    "model.bbox_head.type": "RTMDetSepBNHead",
    "model.bbox_head.num_classes": 1,
    "model.test_cfg.score_thr": 0.001,
    "model.test_cfg.nms": {"type": "nms", "iou_threshold": 0.65},
    "model.test_cfg.max_per_img": 300,
    "param_scheduler.0": {
        "type": "LinearLR",
        "start_factor": 1e-5,
        "by_epoch": False,
        "begin": 0,
        "end": 30,
    },
    "param_scheduler.1": {
        "type": "CosineAnnealingLR",
        "eta_min": BASE_LR * 0.05,
        "begin": 20,
        "end": 40,
        "T_max": 20,
        "by_epoch": True,
        "convert_to_iter_based": True,
    },
    "default_hooks.checkpoint.interval": 10,
    "default_hooks.checkpoint.max_keep_ckpts": 2,
    "default_hooks.checkpoint.save_best": "coco/bbox_mAP",
    "custom_hooks.0": {
        "type": "EMAHook",
        "ema_type": "ExpMomentumEMA",
        "momentum": 0.0002,
        "update_buffers": True,
        "priority": 49,
    },
    "custom_hooks.1.type": "PipelineSwitchHook",
    "custom_hooks.1.switch_epoch": 35,
}
# A transform's name and the key and the value of its size, if it has one.
SizedStep = Tuple[str, Optional[Tuple[str, Tuple[int, int]]]]
TRAINING_STEPS: list[SizedStep] = [
    ("LoadImageFromFile", None),
    ("LoadAnnotations", None),
    ("CachedMosaic", ("img_scale", (640, 640))),
    ("RandomResize", ("scale", (1280, 1280))),
    ("RandomCrop", ("crop_size", (640, 640))),
    ("YOLOXHSVRandomAug", None),
    ("RandomFlip", None),
    ("Pad", ("size", (640, 640))),
    ("CachedMixUp", ("img_scale", (640, 640))),
    ("PackDetInputs", None),
]
LAST_STEPS: list[SizedStep] = [
    ("LoadImageFromFile", None),
    ("LoadAnnotations", None),
    ("RandomResize", ("scale", (640, 640))),
    ("RandomCrop", ("crop_size", (640, 640))),
    ("YOLOXHSVRandomAug", None),
    ("RandomFlip", None),
    ("Pad", ("size", (640, 640))),
    ("PackDetInputs", None),
]


@pytest.fixture(scope="module")
def loaded() -> Config:
    return load_config(BALLOON)


@pytest.fixture
def balloon(loaded: Config) -> Config:
    return deepcopy(loaded)


def steps(pipeline: list[ConfigDict]) -> list[SizedStep]:
    keys = ("img_scale", "scale", "crop_size", "size")
    sized = [(step["type"], [(key, step[key]) for key in keys if key in step]) for step in pipeline]
    return [(kind, sizes[0] if sizes else None) for kind, sizes in sized]


@pytest.mark.parametrize("key", DOCUMENTED)
def test_the_balloon_config_is_the_documented_one(balloon: Config, key: str) -> None:
    assert at(balloon.to_dict(), key) == DOCUMENTED[key]


def test_the_balloon_pipelines_are_the_documented_ones(balloon: Config) -> None:
    assert steps(balloon.train_dataloader.dataset.pipeline) == TRAINING_STEPS
    assert steps(balloon.custom_hooks[1].switch_pipeline) == LAST_STEPS
    assert len(balloon.custom_hooks) == 2


@pytest.mark.parametrize("size", [(320, 320), (416, 256)])
def test_every_size_keeps_its_proportion(balloon: Config, size: tuple[int, int]) -> None:
    width, height = size
    sizes = {(640, 640): size, (1280, 1280): (2 * width, 2 * height)}

    def scaled(documented: list[SizedStep]) -> list[SizedStep]:
        return [(kind, s and (s[0], sizes[s[1]])) for kind, s in documented]

    config = set_input_size(balloon, size)
    assert steps(config.train_dataloader.dataset.pipeline) == scaled(TRAINING_STEPS)
    assert steps(config.custom_hooks[1].switch_pipeline) == scaled(LAST_STEPS)
    assert input_size(config) == size
    assert config.test_dataloader.dataset.pipeline[2].size == size
    assert config.val_dataloader.dataset.pipeline[2].size == size


def test_a_yolox_config_keeps_its_proportions(tmp_path: Path) -> None:
    path = tmp_path / "yolox.py"
    path.write_text("_base_ = 'mmdet::yolox/yolox_s_8xb8-300e_coco.py'\n")
    config = set_input_size(load_config(path), (320, 320))
    by_type = {step["type"]: step for step in config.train_dataloader.dataset.pipeline}
    assert by_type["Mosaic"].img_scale == (320, 320)
    assert by_type["RandomAffine"].border == (-160, -160)
    assert by_type["MixUp"].img_scale == (320, 320)
    assert config.model.data_preprocessor.batch_augments[0].random_size_range == (240, 400)
    mmdet_config.set_dataset(config, "/data", ["a"])
    assert config.train_dataloader.dataset.dataset.ann_file == "train.json"
    set_epochs(config, 30)
    assert config.custom_hooks[0].num_last_epochs == 2


def test_epochs_stretch_the_schedule(balloon: Config) -> None:
    set_epochs(balloon, 80)
    warm_up, cosine = balloon.param_scheduler
    assert balloon.train_cfg.max_epochs == 80
    assert (warm_up.begin, warm_up.end) == (0, 30)
    assert (cosine.begin, cosine.end, cosine.T_max) == (40, 80, 40)
    assert balloon.custom_hooks[1].switch_epoch == 70
    assert balloon.train_cfg.val_interval == 10


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_few_epochs_still_have_a_schedule(balloon: Config, epochs: int) -> None:
    set_epochs(balloon, epochs)
    cosine = balloon.param_scheduler[1]
    assert 0 <= cosine.begin < cosine.end == epochs
    assert cosine.T_max == cosine.end - cosine.begin


def test_every_head_counts_the_classes(tmp_path: Path) -> None:
    path = tmp_path / "cascade.py"
    path.write_text("_base_ = 'mmdet::cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py'\n")
    config = load_config(path)
    config.model.backbone.num_classes = 1000
    mmdet_config.set_class_count(config, 3)
    assert [head.num_classes for head in config.model.roi_head.bbox_head] == [3, 3, 3]
    assert config.model.backbone.num_classes == 1000


def test_no_workers_means_nothing_that_needs_them(balloon: Config) -> None:
    balloon.train_dataloader.prefetch_factor = 2
    mmdet_config.set_workers(balloon, 0, pin_memory=False)
    dataloader = balloon.train_dataloader
    assert (dataloader.num_workers, dataloader.persistent_workers) == (0, False)
    assert "prefetch_factor" not in dataloader


def test_downloads_are_found_and_dropped(balloon: Config) -> None:
    (address,) = mmdet_config.drop_downloads(balloon.model)
    assert address.endswith("cspnext-tiny_imagenet_600e.pth")
    assert balloon.model.backbone.init_cfg is None


def test_one_evaluator_may_be_a_list(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "_base_ = 'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py'\n"
        "val_evaluator = [dict(type='mmdet.CocoMetric', metric='bbox')]\n"
    )
    assert load_config(tmp_path / "mine.py").val_evaluator.type == "CocoMetric"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "there is no training config mine.py"),
        ("model = dict(", "cannot be read: SyntaxError"),
        ("_base_ = './absent.py'", "cannot be read"),
        ("x = 1 / 0", "division by zero"),
        ("model = dict(type='RTMDet')", "has no train_cfg"),
        (
            "_base_ = 'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py'\n"
            "train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=9)",
            "does not count in epochs",
        ),
        (
            "_base_ = 'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py'\n"
            "val_evaluator = [dict(type='CocoMetric'), dict(type='CocoMetric')]",
            "val_evaluator of the training config mine.py is a list",
        ),
        (
            "_base_ = 'mmdet::rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py'",
            "is one for instance segmentation (metric of its val_evaluator)",
        ),
        (
            "_base_ = 'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py'\n"
            "val_evaluator = dict(metric='proposal_fast')",
            "val_evaluator of the training config mine.py measures 'proposal_fast' and not 'bbox'",
        ),
        (
            "_base_ = 'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py'\n"
            "val_evaluator = dict(metric=None)",
            "val_evaluator of the training config mine.py measures None and not 'bbox'",
        ),
        (
            "_base_ = 'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py'\n"
            "val_evaluator = dict(_delete_=True, type='VOCMetric', metric='mAP')",
            "val_evaluator of the training config mine.py is a VOCMetric, but",
        ),
        (
            "_base_ = 'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py'\n"
            "train_dataloader = dict(dataset=dict(type='VOCDataset'))",
            "train_dataloader of the training config mine.py reads a VOCDataset",
        ),
        (
            "_base_ = 'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py'\n"
            "val_dataloader = dict(dataset=dict(type='MyCocoDataset'))",
            "val_dataloader of the training config mine.py is a MyCocoDataset, which is not",
        ),
        (
            "_base_ = 'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py'\n"
            "train_dataloader = dict(dataset=dict(_delete_=True, type='ConcatDataset', datasets=[]))",
            "joins several datasets",
        ),
    ],
)
def test_a_bad_config_is_one_sentence(tmp_path: Path, content: str | None, sentence: str) -> None:
    if content is not None:
        (tmp_path / "mine.py").write_text(content)
    with pytest.raises(StageError) as error:
        load_config(tmp_path / "mine.py")
    assert sentence in error.value.message
    assert "\n" not in error.value.message


def test_the_flat_config_reloads_without_a_local_path(balloon: Config, tmp_path: Path) -> None:
    mmdet_config.set_dataset(balloon, "/somewhere/else", ["balloon"])
    path = tmp_path / "config.py"
    mmdet_config.portable(balloon, ["balloon"]).dump(str(path))
    assert "/somewhere" not in path.read_text()
    assert "_base_" not in path.read_text()
    reloaded = Config.fromfile(str(path))
    for key, value in DOCUMENTED.items():
        assert at(reloaded.to_dict(), key) == value
    assert reloaded.test_pipeline == reloaded.test_dataloader.dataset.pipeline
