"""A training that a hook ends before its time is a training: what it has learnt is published."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from torch.serialization import load
from trainings import PARAMETERS, metrics_of, train_job

from mmdet_jetson.stages import train

if TYPE_CHECKING:
    from pathlib import Path

    from trainings import TrainMetrics

STOPPING = {"type": "EarlyStoppingHook", "monitor": "coco/bbox_mAP", "patience": 1}


def published(folder: Path, name: str) -> int:
    """The epoch that a published checkpoint was saved after."""
    return int(load(str(folder / name))["meta"]["epoch"])


@pytest.mark.parametrize("interval", [1, 5])
def test_the_epoch_that_it_stops_after_is_the_last(
    dataset: Path, tmp_path: Path, interval: int
) -> None:
    """Also where no checkpoint was due by then."""
    overrides = {
        "custom_hooks": [{**STOPPING, "min_delta": 2}],
        "train_cfg.val_interval": 1,
        "default_hooks.checkpoint.interval": interval,
    }
    job = train_job(tmp_path, dataset, replace(PARAMETERS, epochs=6, overrides=overrides))
    result = train.run(job)
    metrics: TrainMetrics = metrics_of(job)
    ended = metrics["epochs"]
    assert 0 < ended < 6
    assert result.metrics["epochs"] == ended
    assert result.warnings[0].startswith(f"the training ended after epoch {ended} of 6: a hook of")
    assert [entry["epoch"] for entry in metrics["curves"]["val"]] == list(range(1, ended + 1))
    assert published(job.output, "last.pth") == ended
    assert published(job.output, "best.pth") == metrics["best"]["epoch"]
