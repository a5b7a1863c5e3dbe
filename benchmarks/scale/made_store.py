"""Make a store of many small artifacts in seconds: what a team's trainings would leave in one.

Each training leaves nine artifacts: the checkpoint and its evaluation, an export, two engines, an
evaluation, a profile and a proof of the first of them, and a report. Ten trainings share a dataset.
Every artifact has a key, and every twentieth training still has its run's names and is bundled.
Files of artifacts are small; manifests and provenances are as large as real ones.

Blobs are written as they are and not synced, and the index once: `Store.put` would take hours.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

from mmdet_jetson.store import Descriptor, Provenance, Store, bundles, cache_tag, oci
from mmdet_jetson.store.artifact import Layer
from mmdet_jetson.store.manifests import artifact_type, encode_config, encode_manifest
from mmdet_jetson.store.oci import Index, canonical_json, digest_of

OCTETS = "application/octet-stream"
TARGETS = ("orin-jp62", "pc-onnxruntime")
SHARED_BY = 10
NAMED_EVERY = 20
BEGIN = datetime(2026, 1, 1, tzinfo=timezone.utc)
ENVIRONMENT = "deploy:4d1f6c3a9b2e8f70:py3.11:x86_64"


@dataclass(frozen=True)
class Made:
    """An artifact: what points to it, and the digests that others have of its content."""

    pointer: Descriptor
    content: str
    key: str


@dataclass
class Maker:
    """Writes blobs into a layout and remembers what its index will list."""

    root: Path
    entries: list[Descriptor] = field(default_factory=list)
    artifacts: int = 0
    _folder: str = ""

    def __post_init__(self) -> None:
        Store(self.root).create()
        self._folder = f"{self.root}/blobs/sha256/"

    def blob(self, content: bytes, media_type: str, **more: Mapping[str, str]) -> Descriptor:
        """Write a blob."""
        digest = digest_of(content)
        with open(self._folder + digest[7:], "wb") as stream:  # noqa: PTH123 - a million of them
            stream.write(content)
        annotations = dict(more.get("annotations", {})) or None
        return Descriptor(
            media_type=media_type, digest=digest, size=len(content), annotations=annotations
        )

    def artifact(
        self,
        stage: tuple[str, str, str],
        number: int,
        files: Mapping[str, bytes],
        inputs: Mapping[str, str],
        names: Sequence[str] = (),
        *,
        subject: Made | None = None,
    ) -> Made:
        """Write an artifact and list it by its key and by names.

        ``stage`` is its kind, its stage and its step; ``number`` tells it from others like it.
        """
        kind, module, step = stage
        key = hashlib.sha256(f"{step} {number}".encode()).hexdigest()
        layers = [
            Layer(title, self.blob(content, OCTETS, annotations={oci.TITLE: title}))
            for title, content in sorted(files.items())
        ]
        provenance = Provenance(
            stage=module,
            step=step,
            created=(BEGIN + timedelta(minutes=3 * number)).isoformat(timespec="seconds"),
            source=hashlib.sha256(module.encode()).hexdigest(),
            parameters=PARAMETERS | {"seed": number},
            inputs=inputs,
            environment=ENVIRONMENT,
            key=key,
            commit=hashlib.sha1(str(number // 50).encode()).hexdigest(),
            seconds=60.0 + number % 600,
            metrics=METRICS[kind],
            facts=FACTS,
        )
        config = self.blob(encode_config(provenance, layers), oci.IMAGE_CONFIG)
        about = subject.pointer if subject else None
        content = encode_manifest(kind, config, layers, about)
        pointer = Descriptor(
            media_type=oci.MANIFEST,
            digest=self.blob(content, oci.MANIFEST).digest,
            size=len(content),
            artifact_type=artifact_type(kind),
        )
        self.entries += [pointer.tagged(tag) for tag in (cache_tag(key), *names)]
        self.artifacts += 1
        entries = sorted((layer.title, layer.content) for layer in layers)
        return Made(pointer, digest_of(canonical_json([kind, entries])), key)

    def training(self, number: int, dataset: Made) -> Iterator[Made]:
        """Write all that one training leaves."""
        is_named = number % NAMED_EVERY == 0
        run = f"run{number // NAMED_EVERY}"

        def names(step: str) -> list[str]:
            return [f"{run}.{step}"] if is_named else []

        def made(
            kind: str, module: str, step: str, inputs: Mapping[str, str], about: Made | None = None
        ) -> Made:
            told = f"{step} {number}"
            files = {title: content_of(title, told) for title in FILES[kind]}
            stage = (kind, module, step)
            return self.artifact(stage, number, files, inputs, names(step), subject=about)

        checkpoint = made("checkpoint", "train", "train", {"dataset": dataset.content})
        weights = {"checkpoint": checkpoint.content, "dataset": dataset.content}
        yield checkpoint
        yield made("evaluation", "evaluate_checkpoint", "evaluate-checkpoint", weights, checkpoint)
        export = made("onnx", "export", "export-onnxruntime", weights)
        yield export
        engines = [
            made("engine", "engine", f"engine-{target}", {"onnx": export.content})
            for target in TARGETS
        ]
        yield from engines
        judged, target = engines[0], TARGETS[0]
        read = {"engine": judged.content, "dataset": dataset.content}
        yield made("evaluation", "evaluate_engine", f"evaluate-{target}", read, judged)
        yield made("profile", "profile", f"profile-{target}", read, judged)
        yield made("proof", "prove", f"prove-{target}", read, judged)
        yield made("report", "report", "report", {"checkpoint": checkpoint.content})

    def bundle(self, parts: Sequence[Made], tag: str) -> None:
        """Bind artifacts into one and name it."""
        pointers = [
            Descriptor(media_type=oci.MANIFEST, digest=each.pointer.digest, size=each.pointer.size)
            for each in parts
        ]
        content = bundles.encode(pointers, bundles.annotated({"title": tag}))
        blob = self.blob(content, oci.INDEX)
        self.entries.append(bundles.pointer(blob.digest, blob.size).tagged(tag))

    def finish(self) -> None:
        """Write the index."""
        index = Index(schema_version=2, media_type=oci.INDEX, manifests=self.entries)
        (self.root / "index.json").write_bytes(canonical_json(index))


def content_of(title: str, told: str) -> bytes:
    """What a small file holds; ``told`` tells it from those of other artifacts."""
    is_json = title.endswith(".json")
    return json.dumps({"made": told, "pad": title * 40}).encode() if is_json else told.encode() * 20


def make(root: Path, artifacts: int) -> Maker:
    """Make a store with so many artifacts, or a few more, to whole trainings."""
    os.makedirs(root.parent, exist_ok=True)  # noqa: PTH103
    maker = Maker(root)
    number = 0
    while maker.artifacts < artifacts:
        if number % SHARED_BY == 0:
            files = {title: content_of(title, f"dataset {number}") for title in FILES["dataset"]}
            names = [f"run{number // NAMED_EVERY}.dataset"] if number % NAMED_EVERY == 0 else []
            dataset = maker.artifact(("dataset", "dataset", "dataset"), number, files, {}, names)
        parts = list(maker.training(number, dataset))
        if number % NAMED_EVERY == 0:
            maker.bundle([dataset, *parts], f"v1.{number // NAMED_EVERY}")
        number += 1
    maker.finish()
    return maker


FILES: Mapping[str, Sequence[str]] = {
    "dataset": ("summary.json", "train.json", "val.json"),
    "checkpoint": ("best.pth", "config.py", "metrics.json"),
    "evaluation": ("metrics.json", "predictions.json"),
    "onnx": ("end2end.onnx", "graph.json"),
    "engine": ("engine.onnx", "graph.json", "infer.py", "passport.json"),
    "profile": ("profile.json",),
    "proof": ("proof.json",),
    "report": ("report.html", "verdict.json"),
}
PARAMETERS: dict[str, object] = {
    "config": "configs/train/rtmdet_tiny.py",
    "epochs": 40,
    "batch_size": 8,
    "input_size": [640, 640],
    "overrides": {"optim_wrapper.optimizer.lr": 0.001, "train_dataloader.num_workers": 2},
    "classes": ["ellipse", "rectangle"],
    "precision": "fp16",
    "evidence": "measured",
}
FACTS: Mapping[str, object] = {
    "device": "x86_64",
    "torch": "1.11.0",
    "mmdet": "3.0.0rc5",
    "mmengine": "0.7.1",
    "processor": "AMD EPYC 7B13",
    "cores": 2,
    "host": "build-1",
}
_FIGURES = {"AP": 0.5321, "AP50": 0.8112, "AP75": 0.5719, "AP_small": None, "AR100": 0.61}
METRICS: Mapping[str, Mapping[str, object]] = {
    "dataset": {split: {"pictures": 61, "annotations": 255} for split in ("train", "val")},
    "checkpoint": {**_FIGURES, "epochs": 40, "best_epoch": 38},
    "evaluation": {**_FIGURES, "pictures": 13, "detections": 1300},
    "onnx": {"nodes": 301, "opset": 13},
    "engine": {"bytes": 11_534_336},
    "profile": {"p50": 12.5, "p90": 13.1, "p99": 15.7, "unit": "ms"},
    "proof": {"matched": 1290, "off": 4, "missing": 3, "extra": 3},
    "report": {"verdict": "pass"},
}
