"""What tests of bundles need: a run to make one of, or a store of small trainings."""

import os
from pathlib import Path

import pytest
import small_releases
from small_releases import SmallRun

from mmdet_jetson.store import Store


@pytest.fixture
def run(whole_run: SmallRun, tmp_path: Path) -> SmallRun:
    """A copy of the whole run, in a folder of the test's own."""
    return small_releases.copy_of(whole_run, tmp_path)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty store."""
    monkeypatch.setattr(os, "fsync", lambda _: None)  # nothing here outlives the test
    return Store(tmp_path / "artifacts")
