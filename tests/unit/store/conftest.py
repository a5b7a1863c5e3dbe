import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmdet_jetson.store import Artifact, Provenance, Store

PROVENANCE = Provenance(
    stage="train",
    step="train",
    created="2024-05-01T10:00:00+00:00",
    parameters={"epochs": 3, "overrides": {"optim_wrapper.optimizer.lr": 0.001}},
    inputs={"dataset": "sha256:" + "0" * 64},
    environment="train-lock-1",
    commit="abc",
    key="k",
    seconds=1.5,
    metrics={"AP": 0.5, "AP_small": None},
)


@pytest.fixture
def provenance() -> Provenance:
    return PROVENANCE


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "artifacts")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A job's output: files, a directory with a directory in it, an empty one."""
    folder = tmp_path / "output"
    (folder / "train/more").mkdir(parents=True)
    (folder / "val").mkdir()
    (folder / "empty").mkdir()
    (folder / "train.json").write_text('{"images": []}')
    (folder / "val.json").write_text("{}")
    (folder / "best.pth").write_bytes(bytes(range(256)) * 5000)
    (folder / "train/a.jpg").write_bytes(b"a" * 1000)
    (folder / "train/more/ü b.jpg").write_bytes(b"")
    (folder / "val/c.jpg").write_bytes(b"c")
    return folder


@pytest.fixture
def put(store: Store, tmp_path: Path) -> Callable[..., Artifact]:
    """Store a small artifact whose one file holds ``text``."""

    def put(text: str, *tags: str, kind: str = "engine", **more: Any) -> Artifact:
        folder = tmp_path / f"made-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        folder.mkdir(exist_ok=True)
        (folder / "engine.onnx").write_text(text)
        return store.put(kind, folder, PROVENANCE, tags, **more)

    return put


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder: path to content, ``None`` for a directory."""
    return {
        str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture(name="tree")
def tree_fixture() -> Callable[[Path], dict[str, bytes | None]]:
    return tree
