"""What tests put into a store, and how they look at what comes out."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from mmdet_jetson.store import Artifact, Descriptor, Provenance, Store
from mmdet_jetson.store.oci import Index, Manifest, canonical_json, digest_of

Tree = Callable[[Path], dict[str, bytes | None]]
Change = Callable[[Manifest, Store], Manifest]

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


class Put(Protocol):
    """Store a small artifact whose one file, engine.onnx, holds ``text``."""

    def __call__(
        self, text: str, *tags: str, kind: str = "engine", subject: Descriptor | None = None
    ) -> Artifact: ...


def found(store: Store, name: str) -> Artifact:
    """The artifact of a name, which must be there."""
    artifact = store.find(name)
    assert artifact, name
    return artifact


def blob_of(store: Store, digest: str) -> Path:
    """The file of a blob."""
    return store.root / "blobs/sha256" / digest.removeprefix("sha256:")


def add_blob(store: Store, content: bytes) -> Path:
    """Put a blob into a store that nothing names."""
    path = blob_of(store, digest_of(content))
    path.write_bytes(content)
    return path


def rewrite_manifest(store: Store, change: Change) -> None:
    """Change the only manifest, and the index with it, keeping all digests right."""
    path = store.root / "index.json"
    index = msgspec.json.decode(path.read_bytes(), type=Index)
    (entry,) = index.manifests
    old = blob_of(store, entry.digest)
    manifest = msgspec.json.decode(old.read_bytes(), type=Manifest)
    old.unlink()
    content = canonical_json(change(manifest, store))
    add_blob(store, content)
    entry = msgspec.structs.replace(entry, digest=digest_of(content), size=len(content))
    path.write_bytes(canonical_json(msgspec.structs.replace(index, manifests=[entry])))


def newer(manifest: Manifest, _: Store) -> Manifest:
    """What a later version of us would write."""
    artifact_type = "application/vnd.mmdet-jetson.engine.v7"
    return msgspec.structs.replace(manifest, artifact_type=artifact_type)


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder: path to content, ``None`` for a directory."""
    return {
        str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }
