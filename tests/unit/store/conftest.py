import hashlib
from pathlib import Path

import pytest
import small_artifacts
from small_artifacts import PROVENANCE, Put, Tree

from mmdet_jetson.store import Artifact, Descriptor, Provenance, Store


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
def put(store: Store, tmp_path: Path) -> Put:
    def put(
        text: str, *tags: str, kind: str = "engine", subject: Descriptor | None = None
    ) -> Artifact:
        folder = tmp_path / f"made-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        folder.mkdir(exist_ok=True)
        (folder / "engine.onnx").write_text(text)
        return store.put(kind, folder, PROVENANCE, tags, subject)

    return put


@pytest.fixture
def tree() -> Tree:
    return small_artifacts.tree
