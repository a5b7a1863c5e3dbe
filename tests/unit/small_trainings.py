"""Trainings made of a few bytes, with all that a run makes of them, in a store."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mmdet_jetson.planning.training_steps import TRAINED_ON
from mmdet_jetson.store import Artifact, Provenance, Store, cache_tag

CLASSES = ("mug", "jug")
CONFIG = "model = dict(type='RTMDet', neck=dict(channels=96))\ntrain_cfg = dict(max_epochs=8)\n"
COMMIT = "1" * 40
PC = {"cpu": "a PC", "cores": 4}
Objects = Mapping[str, Sequence[tuple[str, int]]]
"""By the name of a picture its objects: class, and where it begins."""


def numbered(first: int, last: int) -> dict[str, list[tuple[str, int]]]:
    """Pictures with one mug each."""
    return {f"{number:02}.jpg": [("mug", number)] for number in range(first, last)}


@dataclass(frozen=True)
class Training:
    """What a training is made of. ``shown`` is what pictures show, where that is not their name."""

    train: Objects = field(default_factory=lambda: numbered(0, 12))
    val: Objects = field(default_factory=lambda: numbered(20, 30))
    shown: Mapping[str, str] = field(default_factory=dict)
    classes: Sequence[str] = CLASSES
    epochs: int = 8
    seed: int = 0
    reads_all: bool = False
    """Whether it read all that the dataset has, as trainings of earlier releases."""
    config: str = CONFIG
    weights: str = "9" * 64
    commit: str = COMMIT
    source: str = "source-1"
    environment: str = "train:0123456789abcdef:py3.8:x86_64"
    created: str = "2026-05-01T10:00:00+00:00"
    ap50: float = 0.8
    interval: tuple[float, float] | None = (0.75, 0.85)
    targets: Sequence[str] = ("pc",)
    evidence: str = "measured"
    machine: Mapping[str, object] = field(default_factory=lambda: PC)
    p50: float = 10.0
    samples: int | None = None
    """Of a profile that claims no p99; None for one of an earlier release, which had 200 repeats."""
    torch: str = "1.11.0"
    pixels: bytes = b""
    name: str = "mugs"
    taken: bool = False
    """Whether nothing was trained: the model came as it is."""


def make(store: Store, scratch: Path, told: Training = Training()) -> Artifact:
    """Store a run as the pipeline does, under its name; return the checkpoint."""
    return _Maker(store, scratch, told).run()


@dataclass(frozen=True)
class _Maker:
    store: Store
    scratch: Path
    told: Training

    def run(self) -> Artifact:
        told = self.told
        dataset = self.put("dataset", "dataset", "dataset", self.dataset(), metrics=self.counts())
        val = dataset.content_of(("val", "val.json"))
        checkpoint = self.taken() if told.taken else self.put(
            "checkpoint", "train", "train",
            {"best.pth": f"weights {told}", "config.py": told.config, "metrics.json": json.dumps(str(told))},
            inputs={"dataset": dataset.content_of(None if told.reads_all else TRAINED_ON), "config": "c", "weights": told.weights},
            parameters={"config": "configs/train/tiny.py", "epochs": told.epochs, "seed": told.seed, "overrides": {}},
            metrics={"AP": 0.4, "AP50": 0.7, "epochs": told.epochs},
            facts={"torch": told.torch, "device": "x86_64"},
        )  # fmt: skip
        weights = checkpoint.content_of(("best.pth", "config.py"))
        self.evaluate(
            "checkpoint", "evaluate_checkpoint", {"checkpoint": weights, "dataset": val}, checkpoint
        )
        engines = {target: self.engine(target, weights, val) for target in told.targets}
        names = {"checkpoint", *engines}
        intervals = {name: list(told.interval) for name in names if told.interval}
        self.put(
            "report", "report", "report", {"verdict.json": "{}"},
            inputs={"checkpoint": checkpoint.content_of(("metrics.json",))},
            parameters={"name": told.name, "artifacts": [{"digest": checkpoint.digest}]},
            metrics={"verdict": "pass", "AP50_intervals": intervals},
        )  # fmt: skip
        return checkpoint

    def taken(self) -> Artifact:
        told = self.told
        return self.put(
            "checkpoint", "model", "model",
            {
                "best.pth": f"weights {told}", "config.py": told.config, "classes.json": "[]",
                "metrics.json": json.dumps({"taken": {"file": "m.pth", "config": "its own config"}}),
            },
            inputs={"weights": told.weights},
            parameters={"config": None, "classes": [], "input_size": [640, 640]},
        )  # fmt: skip

    def engine(self, target: str, weights: str, val: str) -> Artifact:
        told = self.told
        export = self.put(
            "onnx",
            f"export-{target}",
            "export",
            {"end2end.onnx": f"{target} {weights}"},
            inputs={"checkpoint": weights},
        )
        engine = self.put(
            "engine", f"engine-{target}", "engine",
            {"engine": f"{target} {weights}", "passport.json": json.dumps({"engine": {"bytes": 1_500_000}})},
            inputs={"onnx": export.content}, parameters={"target": target, "precision": "fp32"},
        )  # fmt: skip
        read = {"engine": engine.content, "dataset": val}
        self.evaluate(target, "evaluate_engine", read, engine)
        spread = {"mean": told.p50, "p50": told.p50, "p90": told.p50, "p99": 2 * told.p50}
        profile = {
            "backend": "onnxruntime", "precision": "fp32", "repeats": 200, "warmup": 2, "unit": "ms",
            "steps": {}, "total": spread, "gpu": None, "pictures": 10, "machine": dict(told.machine),
            "evidence": told.evidence, "warnings": [],
        }  # fmt: skip
        if told.samples:
            del profile["repeats"]
            profile = {**profile, "samples": told.samples, "total": {**spread, "p99": None}}
        self.put(
            "profile",
            f"profile-{target}",
            "profile",
            {"profile.json": json.dumps(profile)},
            inputs=read,
            subject=engine,
        )
        return engine

    def evaluate(
        self, subject: str, stage: str, inputs: Mapping[str, str], judged: Artifact
    ) -> None:
        told = self.told
        figures = {"AP": told.ap50 / 2, "AP50": told.ap50}
        metrics = {
            "subject": subject, "evidence": told.evidence, "figures": figures,
            "per_class": dict.fromkeys(told.classes, told.ap50 / 2),
        }  # fmt: skip
        files = {"metrics.json": json.dumps(metrics)}
        self.put(
            "evaluation",
            f"evaluate-{subject}",
            stage,
            files,
            inputs=inputs,
            metrics=figures,
            subject=judged,
        )

    def put(
        self, kind: str, step: str, stage: str, files: Mapping[str, str | bytes | None], *,
        inputs: Mapping[str, str] | None = None, parameters: Mapping[str, object] | None = None,
        metrics: Mapping[str, object] | None = None, facts: Mapping[str, object] | None = None,
        subject: Artifact | None = None,
    ) -> Artifact:  # fmt: skip
        """Store files; a name may have folders before it."""
        told = self.told
        folder = self.scratch / "made"
        shutil.rmtree(folder, ignore_errors=True)
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content or b"")
        provenance = Provenance(
            stage=stage, step=step, created=told.created, source=told.source, commit=told.commit,
            parameters=parameters or {}, inputs=inputs or {}, environment=told.environment,
            metrics=metrics or {}, facts=facts or {}, seconds=60.0,
        )  # fmt: skip
        # The first day's results lose their names to the next day's, and are found by their keys.
        tags = [
            f"{told.name}.{step}",
            cache_tag(hashlib.sha256(f"{step} {told}".encode()).hexdigest()),
        ]
        return self.store.put(
            kind, folder, provenance, tags, subject.descriptor if subject else None
        )

    def dataset(self) -> dict[str, str | bytes | None]:
        told = self.told
        files: dict[str, str | bytes | None] = {}
        for split, objects in (("train", told.train), ("val", told.val)):
            files[f"{split}.json"] = coco(objects, told.classes)
            for name in objects:
                files[f"{split}/{name}"] = told.shown.get(name, name).encode() + told.pixels
        return files

    def counts(self) -> dict[str, object]:
        return {
            "train": {"pictures": len(self.told.train)},
            "val": {"pictures": len(self.told.val)},
        }


def coco(objects: Objects, classes: Sequence[str] = CLASSES) -> str:
    """A split as the dataset stage writes it."""
    images = [
        {"id": i, "file_name": name, "width": 64, "height": 48} for i, name in enumerate(objects, 1)
    ]
    annotations = [
        {
            "id": 0, "image_id": image, "category_id": classes.index(label) + 1,
            "bbox": [float(at), 1.0, 9.0, 9.0], "area": 81.0, "segmentation": [[at, 1, 9, 9]], "iscrowd": 0,
        }
        for image, each in enumerate(objects.values(), 1)
        for label, at in each
    ]  # fmt: skip
    for number, annotation in enumerate(annotations, 1):
        annotation["id"] = number
    categories = [{"id": i, "name": name} for i, name in enumerate(classes, 1)]
    content = {"info": {}, "images": images, "annotations": annotations, "categories": categories}
    return json.dumps(content) + "\n"


def later(told: Training = Training(), **changes: object) -> Training:
    """The next day's training of the same name."""
    return replace(told, created="2026-05-02T10:00:00+00:00", **changes)  # type: ignore[arg-type]
