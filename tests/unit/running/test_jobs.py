import os
import time
from pathlib import Path

import pytest

from mmdet_jetson.locks import hold, hold_if_free, lock_beside
from mmdet_jetson.running.jobs import Abandoned, sweep


def test_sweep_removes_only_old_jobs_that_nobody_holds(tmp_path: Path) -> None:
    for name in ("old", "young", "held", "resumed"):
        (tmp_path / name / "work").mkdir(parents=True)
    for name in ("old", "held", "resumed"):
        (tmp_path / name / "log.txt").write_text("epoch 1")
        for path in (tmp_path / name / "work", tmp_path / name / "log.txt", tmp_path / name):
            os.utime(path, (time.time() - 1e7,) * 2)
    (tmp_path / "resumed/log.txt").write_text("epoch 2")
    with hold(lock_beside(tmp_path / "held")) as lock:
        os.utime(lock.name, (time.time() - 1e7,) * 2)
        would = sweep(tmp_path, dry_run=True)
        assert would == [Abandoned("old", len("epoch 1"))]
        assert (tmp_path / "old/log.txt").exists()
        assert sweep(tmp_path) == would
        with hold_if_free(lock_beside(tmp_path / "held")) as free:
            assert not free
    kept = sorted(path.name for path in tmp_path.iterdir() if path.is_dir())
    assert kept == ["held", "resumed", "young"]


@pytest.mark.parametrize(("days", "stays"), [(8, True), (29, True), (31, False)])
def test_every_run_keeps_an_interrupted_training_as_long_as_gc_promises(
    tmp_path: Path, days: float, stays: bool
) -> None:
    (tmp_path / "train").mkdir()
    os.utime(tmp_path / "train", (time.time() - days * 86400,) * 2)
    assert sweep(tmp_path) == ([] if stays else [Abandoned("train", 0)])
