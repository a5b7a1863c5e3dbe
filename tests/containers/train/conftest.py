"""What the suite of environment `train` stands on; elsewhere its libraries are missing."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Iterator

import pytest
from trainings import write_split

collect_ignore_glob = [] if importlib.util.find_spec("mmengine") else ["test_*.py"]


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_unpickled() -> Iterator[None]:
    """Let `torch.load` fail where our reader does not stand in for it: MMEngine and MMDeploy call it."""
    import torch  # noqa: PLC0415

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("torch.load, which runs what a file says, was called")

    original, torch.load = torch.load, refuse
    yield
    torch.load = original


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `dataset` artifact of four training and two validation pictures."""
    folder = tmp_path_factory.mktemp("dataset")
    write_split(folder, "train", 4)
    write_split(folder, "val", 2)
    return folder
