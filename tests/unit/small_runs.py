"""A run's artifacts as a pipeline stores them, small, and a bundle of them."""

from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from small_artifacts import PROVENANCE, blob_of

from mmdet_jetson.store import Artifact, Descriptor, Store, cache_tag
from mmdet_jetson.store.layout import Layout
from mmdet_jetson.store.oci import canonical_json, digest_of


@dataclass(frozen=True)
class Run:
    """A store, and what was made there: a checkpoint, its engine, and evidence about that."""

    store: Store
    made: dict[str, Artifact] = field(default_factory=dict)

    def make(
        self,
        step: str,
        files: dict[str, bytes],
        *tags: str,
        kind: str = "engine",
        subject: Artifact | None = None,
        key: str | None = None,
    ) -> Artifact:
        """Store one more artifact of the run; it is found by its key, as a pipeline stores it."""
        folder = self.store.root.parent / f"made-{len(self.made)}-{step}"
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        key = digest_of(canonical_json([step, len(self.made)]))[7:] if key is None else key
        provenance = msgspec.structs.replace(PROVENANCE, step=step, key=key)
        all_tags = [*tags, *([cache_tag(key)] if key else [])]
        about = subject.descriptor if subject else None
        self.made[step] = self.store.put(kind, folder, provenance, all_tags, about)
        return self.made[step]


def small_run(folder: Path, name: str = "mugs") -> Run:
    """Make a run with a checkpoint, an engine of two files, its evaluation and its profile."""
    run = Run(Store(folder / "artifacts"))
    run.make("train", {"best.pth": bytes(range(256)) * 9000}, f"{name}.train", kind="checkpoint")
    engine = run.make(
        "engine-pc", {"engine.onnx": b"engine" * 1000, "infer.py": b"1"}, f"{name}.engine-pc"
    )
    run.make(
        "evaluate-pc", {"figures.json": b"{}"}, f"{name}.evaluate-pc",
        kind="evaluation", subject=engine,
    )  # fmt: skip
    run.make("profile-pc", {"profile.json": b"[]"}, kind="profile", subject=engine)
    return run


def make_bundle(store: Store, parts: list[Artifact], *tags: str) -> Descriptor:
    """Bundle artifacts in a store, as `invoke bundle` does; nothing is said about the parts."""
    pointers = [
        msgspec.structs.replace(part.descriptor, artifact_type=None, annotations=None)
        for part in parts
    ]
    return store.put_bundle(pointers, {}, tags).descriptor


def manifests(store: Store) -> dict[str, bytes]:
    """Every manifest that an index entry names, as its bytes, by digest."""
    entries = Layout(store.root).index().manifests
    return {each.digest: blob_of(store, each.digest).read_bytes() for each in entries}


def is_clean(store: Store) -> bool:
    """Whether a store is in order and holds nothing that nothing needs."""
    seen = store.verify()
    return not seen.problems and not seen.unreferenced
