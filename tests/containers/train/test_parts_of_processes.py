"""What a process takes of a config that several share out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from mmengine import Config
from trainings import PARAMETERS, train_job

from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.place import ALONE, STORE, Place
from mmdet_jetson.stages.training.configuring import prepare
from mmdet_jetson.stages.training.group import joined
from mmdet_jetson.stages.training.sharing import effective_batch, hooks_for, share_out

SECOND_OF_TWO = Place(rank=1, world=2, local_rank=1, local_world=2)
BASE = {"+auto_scale_lr": {"base_batch_size": 32, "enable": False}}


@pytest.fixture
def config(dataset: Path, tmp_path: Path) -> Config:
    parameters = replace(PARAMETERS, batch_size=6, workers=5)
    return prepare(train_job(tmp_path, dataset, parameters), "cpu").config


def test_a_single_process_takes_all(config: Config) -> None:
    before = config.to_dict()
    assert share_out(config, ALONE, "cpu") == []
    assert config.to_dict() == before
    assert config.launcher == "none"
    assert hooks_for(ALONE, 0) == []


def test_two_share_out_batch_and_workers(config: Config) -> None:
    assert effective_batch(config) == 6
    assert share_out(config, SECOND_OF_TWO, "cpu") == []
    assert config.train_dataloader.batch_size == 3
    loaders = [config[f"{split}_dataloader"] for split in ("train", "val", "test")]
    assert [loader.num_workers for loader in loaders] == [2, 2, 2]
    assert config.launcher == "pytorch"
    assert config.model_wrapper_cfg.device_ids is None
    assert config.val_evaluator.collect_device == "gpu"
    assert len(hooks_for(SECOND_OF_TWO, 0)) == 3


def test_on_gpus_mmengine_wraps_the_model(config: Config) -> None:
    share_out(config, SECOND_OF_TWO, "cuda")
    assert "model_wrapper_cfg" not in config


def test_a_wrapper_and_unused_parameters_of_the_config_stay(config: Config) -> None:
    config.find_unused_parameters = True
    share_out(config, SECOND_OF_TWO, "cpu")
    assert config.model_wrapper_cfg.find_unused_parameters is True


@pytest.mark.parametrize(("seen", "launched"), [(1, True), (2, True), (2, False)])
def test_more_processes_than_gpus_are_refused(
    monkeypatch: pytest.MonkeyPatch, seen: int, launched: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: seen)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    if launched:
        monkeypatch.setenv(STORE, "127.0.0.1:1")
    place = Place(rank=2, world=3, local_rank=2, local_world=3)

    with pytest.raises(StageError, match=f"but this machine has {seen} GPU"), joined(place, "cuda"):
        pass


def test_one_worker_is_left_for_each(config: Config) -> None:
    config.train_dataloader.num_workers = 1
    share_out(config, SECOND_OF_TWO, "cpu")
    assert config.train_dataloader.num_workers == 1


def test_a_batch_that_is_no_multiple_is_refused(config: Config) -> None:
    with pytest.raises(StageError, match="4 processes cannot share out a batch of 6") as error:
        share_out(config, Place(world=4, local_world=4), "cpu")
    assert "a multiple of 4" in error.value.hint


def test_batch_norm_of_each_process_by_itself_is_told(config: Config) -> None:
    config.model.backbone.norm_cfg.type = "BN"
    (warning,) = share_out(config, SECOND_OF_TWO, "cpu")
    assert "(type BN) looks at the 3 pictures of each process" in warning
    config.model.backbone.norm_eval = True  # as stock ResNets: it only applies what it has learnt
    config.train_dataloader.batch_size = 6
    assert share_out(config, SECOND_OF_TWO, "cpu") == []


def test_a_learning_rate_is_scaled_only_where_it_is_said_for_which_batch(
    dataset: Path, tmp_path: Path
) -> None:
    scaled = replace(PARAMETERS, scale_lr=True)
    config = prepare(
        train_job(tmp_path / "scaled", dataset, replace(scaled, overrides=BASE)), "cpu"
    ).config
    assert config.auto_scale_lr.enable is True
    without = replace(scaled, overrides={"auto_scale_lr.base_batch_size": 0})
    with pytest.raises(StageError, match=r"auto_scale_lr\.base_batch_size"):
        prepare(train_job(tmp_path / "none", dataset, without), "cpu")


@pytest.mark.parametrize("round_up", [False, True])
def test_no_picture_is_left_unjudged(config: Config, round_up: bool) -> None:
    for name in ("train", "val", "test"):
        config[f"{name}_dataloader"].sampler.round_up = round_up
    share_out(config, SECOND_OF_TWO, "cpu")
    assert "round_up" not in config.val_dataloader.sampler
    assert "round_up" not in config.test_dataloader.sampler
    assert config.train_dataloader.sampler.round_up is round_up
