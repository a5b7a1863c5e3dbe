"""Releases that every gate of a strict policy passes, made in no time; tests spoil copies of them.

`small_releases` makes the artifacts; here they say what gates ask for: 960 validation pictures, an
object in each, detections of them, a proof, and a profile of ten minutes on a cool Jetson.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import small_releases
from small_matches import ALL, saved
from small_releases import INT8, ORIN, PC, Files, SmallRun, as_json, planned, settings_in, sha256

from mmdet_jetson.bundles.contents import (
    KIND_OF_PART,
    SUBJECTS_OF_PART,
    Contents,
    PartName,
    of_bundle,
    of_run,
)
from mmdet_jetson.bundles.dataset_summary import summarize
from mmdet_jetson.bundles.making import CREATED, choose
from mmdet_jetson.contract.conditions import ClockRange, Conditions, Temperature
from mmdet_jetson.contract.gates import DEFAULT_TOLERANCES
from mmdet_jetson.contract.records import encode
from mmdet_jetson.contract.report import Bounds, EvaluationMetrics, ProfileMetrics, Spread
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.promotion.accuracy import Matches, average_precision, precision_of_classes
from mmdet_jetson.promotion.evidence import Case, Incumbent
from mmdet_jetson.promotion.policy import Policy
from mmdet_jetson.store import Artifact, Descriptor, Store, oci

TARGETS = (PC, INT8, ORIN)
CLASSES = ("ellipse", "rectangle")
PICTURES = tuple(f"{number:03}.jpg" for number in range(960))
TRAINING = tuple(f"t{number:03}.jpg" for number in range(8))
NOW = datetime(2026, 11, 20, tzinfo=timezone.utc)
PRECISIONS = {PC: "fp32", INT8: "int8", ORIN: "fp16"}

# What a team could ask for; the targets and the limits are those of the release below.
POLICY: Mapping[str, object] = {
    "targets": [PC, ORIN],
    "evidence": "measured",
    "max_evidence_days": 90,
    "image_tests": True,
    "accuracy": {"ratio": 0.99},
    "figures": {"AP": 0.5, "AP50": 0.6, "per_class": {"ellipse": 0.5}},
    "incumbent": {"worse_by": 0.05},
    "latency": {ORIN: {"p50": 10, "p99": 20}},
    "conditions": {"seconds": 600},
    "size_mb": {ORIN: 1},
    "memory_mb": {ORIN: 2000},
}


def policy(**changes: object) -> Policy:
    """The policy, with some of its fields replaced; None leaves one out."""
    stated = {name: each for name, each in {**POLICY, **changes}.items() if each is not None}
    return msgspec.convert(stated, Policy)


def coco(names: tuple[str, ...], flipped: bool = False) -> bytes:
    """A COCO file, written as the dataset stage writes it: one object a picture, classes in turn."""
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASSES, 1)]
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for number, name in enumerate(names, 1):
        images.append({"id": number, "file_name": name, "width": 96, "height": 96})
        category = (number + (not flipped)) % 2 + 1
        box = {"bbox": [8, 8, 32, 32], "area": 1024, "iscrowd": 0}
        annotations.append({"id": number, "image_id": number, "category_id": category, **box})
    return as_json({"images": images, "annotations": annotations, "categories": categories})


def found(
    missed: int = 24, pictures: tuple[str, ...] = PICTURES, *, flipped: bool = False
) -> Matches:
    """Matches where the object of each picture is found, but for the last ``missed``."""
    count = len(pictures)
    objects = np.zeros((count, 2), np.int32)
    labels = (np.arange(count) + flipped) % 2
    objects[np.arange(count), labels] = 1
    kept = np.arange(count - missed)
    order = np.argsort(labels[kept], kind="stable")
    return Matches(
        pictures=pictures,
        classes=CLASSES,
        objects=objects,
        picture=kept[order].astype(np.int32),
        label=labels[kept][order].astype(np.int32),
        score=np.full(len(kept), 0.9, np.float32),
        matched=np.full(len(kept), ALL, np.uint16),
        ignored=np.zeros(len(kept), np.uint16),
    )


def metrics(matches: Matches, subject: str = "engine", **changes: object) -> dict[str, object]:
    """``metrics.json`` of some matches."""
    overall = average_precision(matches)
    made = EvaluationMetrics(
        subject=subject,
        evidence="measured",
        preprocessing={},
        figures={"AP": overall, "AP50": overall, "AP75": overall},
        per_class=precision_of_classes(matches),
        pictures=len(matches.pictures),
        detections=len(matches.picture),
    )
    return {**encode(made), **changes}


def evaluation(matches: Matches, subject: str = "engine", **changes: object) -> Files:
    """The files of an evaluation."""
    return {
        "metrics.json": as_json(metrics(matches, subject, **changes)),
        "matches.npz": saved(matches),
    }


def proof(target: str, **changes: object) -> dict[str, object]:
    """``proof.json`` of an engine that detects what PyTorch does."""
    each = {"matched": 1, "off": 0, "missing": 0, "extra": 0, "box": 0.0, "score": 0.0}
    pairs = {**each, "matched": len(PICTURES)}
    model = {"figures": {}, "deviation": pairs, "by_picture": dict.fromkeys(PICTURES, each)}
    made = {
        "target": target,
        "evidence": "measured",
        "tolerances": encode(DEFAULT_TOLERANCES[PRECISIONS[target]]),
        "pictures": len(PICTURES),
        "models": {"pytorch": {"figures": {}}, "engine": model},
        "network": {"nodes": 3, "differences": []},
    }
    return {**made, **changes}


def conditions(**changes: object) -> Conditions:
    """A cool Jetson with locked clocks in the mode that its target names."""
    locked = ClockRange(1_300_500_000, 1_300_500_000, 1_300_500_000, 1_300_500_000)
    cool = Conditions(
        kind="jetson",
        looks=600,
        seconds=600.0,
        power_modes=("MAXN",),
        wanted_power_mode="MAXN",
        clocks={"gpu": locked, "cpu0": locked, "memory": locked},
        temperatures={"gpu-thermal": Temperature(55.0, 99.0)},
        over_current={"oc1": 0, "oc2": 0, "oc3": 12},
        fan=(2000, 2100),
        governors=("schedutil",),
        throttle_reasons=(),
        others=0.01,
        drift=0.002,
    )
    return replace(cool, **changes)  # type: ignore[arg-type]


def profile(measured: Conditions | None = None, **changes: object) -> dict[str, object]:
    """``profile.json`` of 60,000 rounds."""
    made = ProfileMetrics(
        backend="tensorrt",
        precision="fp16",
        samples=60_000,
        seconds=600.0,
        warmup=200,
        unit="ms",
        steps={},
        total=Spread(8.1, 8.0, 9.0, 11.0),
        gpu=None,
        pictures=len(PICTURES),
        machine={"cpu": "Jetson AGX Orin", "l4t": "36.4.3", "peak_memory_mb": 900.0},
        evidence="measured",
        bounds={"p50": Bounds(7.9, 8.1), "p90": Bounds(8.9, 9.1), "p99": Bounds(10.8, 11.3)},
        conditions=measured or conditions(),
    )
    return {**encode(made), **changes}


@dataclass
class ProvenRun(SmallRun):
    """A run whose evidence is whole; ``image`` is the digest of the image that it was made in."""

    own: dict[str, Files] = field(default_factory=dict)
    image: str = "sha256:" + "1" * 64
    summaries: dict[str, Artifact] = field(default_factory=dict)

    def make(self, name: str, files: Files | None = None, **changes: Any) -> Artifact:
        step = self.step(name)
        own = {**_files(self, step), **self.own.get(name, {}), **(files or {})}
        changes.setdefault("facts", {"image_digest": self.image})
        return super().make(name, own, **changes)

    def make_after(self, name: str, *, itself: bool = True) -> None:
        """Make a step again and all that follows it, as a run would; or what follows it alone."""
        names = [each.name for each in self.steps]
        for each in names[names.index(name) + (not itself) :]:
            self.make(each)

    def tested(self, failed: int = 0) -> None:
        """Keep the tests of the image."""
        folder = self.scratch / f"tests-{failed}"
        folder.mkdir()
        (folder / "junit.xml").write_bytes(b"<testsuite/>")
        made = msgspec.structs.replace(
            self.made["train"].provenance,
            stage="image-tests",
            step="image-tests-pc",
            inputs={"image": self.image},
            parameters={"image": "pc"},
            metrics={"tests": 40, "failed": failed},
            facts={"first_failure": "test_sandbox: no network expected"} if failed else {},
        )
        self.store.put("image-tests", folder, made, ["image-tests.pc"])

    def bundle(self, name: str = "candidate") -> Contents:
        """Bind what the run has, whether it belongs together or not, as another tool might.

        `bundles.making.bind` would put in what evidence refers to.
        """
        chosen = choose(of_run(self.store, self.name), self.project)
        by_digest: dict[str, list[PartName]] = {}
        parts = {part: self.summary(each) for part, each in chosen.parts.items()}
        for part, artifact in parts.items():
            by_digest.setdefault(artifact.digest, []).append(part)
        pointers = [
            Descriptor(
                media_type=oci.MANIFEST,
                digest=digest,
                size=parts[named[0]].descriptor.size,
                annotations={
                    KIND_OF_PART: named[0].kind,
                    SUBJECTS_OF_PART: ",".join(each.subject for each in named),
                },
            )
            for digest, named in by_digest.items()
        ]
        created = max(each.provenance.created for each in parts.values())
        bound = self.store.put_bundle(pointers, {CREATED: created}, [name])
        return of_bundle(self.store, bound, name)

    def summary(self, artifact: Artifact) -> Artifact:
        """A dataset without its pictures, which takes a second to make; anything else as it is."""
        if artifact.kind == "dataset" and artifact.digest not in self.summaries:
            self.summaries[artifact.digest] = summarize(self.store, artifact)
        return self.summaries.get(artifact.digest, artifact)


def _files(run: ProvenRun, step: Step) -> Files:
    """What a step's artifact has that gates ask for."""
    if step.kind == "dataset":
        training = {f"train/{each}": f"picture {each} {run.salt}".encode() for each in TRAINING}
        judging = {f"val/{each}": f"picture {each}".encode() for each in PICTURES}
        annotated = {"train.json": coco(TRAINING), "val.json": coco(PICTURES)}
        return {**annotated, **training, **judging}
    if step.kind == "evaluation":
        names = ("base", "checkpoint", "documented")
        return evaluation(found(), step.subject if step.subject in names else "engine")
    if step.kind == "proof":
        return {"proof.json": as_json(proof(step.subject))}
    if step.kind == "profile":
        return {"profile.json": as_json(profile())}
    if step.kind == "engine":
        return {"passport.json": _passport(run, step)}
    return {}


def _passport(run: SmallRun, step: Step) -> bytes:
    """The passport as `small_releases` has it, with the precision and what calibrated it."""
    export = run.files[f"export-{step.subject}"]
    content = f"engine {step.subject} {run.salt}".encode()
    calibration = {"split": "train", "pictures": 4, "sha256": "3" * 64}
    return as_json(
        {
            "target": step.subject,
            "backend": "onnxruntime",
            "precision": PRECISIONS[step.subject],
            "engine": {"file": "engine.onnx", "sha256": sha256(content), "bytes": len(content)},
            "files": {"graph.json": sha256(export["graph.json"])},
            "onnx": {"sha256": sha256(export["end2end.onnx"])},
            "checkpoint": {"sha256": sha256(run.files["train"]["best.pth"])},
            "calibration": calibration if step.subject == INT8 else None,
            "runs_on": {},
        }
    )


def proven_run(home: Path) -> ProvenRun:
    """A whole run in a folder of its own, for a PC, in 8 bits and for an Orin."""
    project, steps = planned(TARGETS, settings_in(home))
    scratch = home / "made"
    scratch.mkdir(parents=True)
    run = ProvenRun(Store(home / "artifacts"), scratch, steps, project)
    run.make_all()
    run.tested()
    run.summary(run.made["dataset"])
    return run


def copy_of(run: ProvenRun, home: Path) -> ProvenRun:
    """The same run in another folder, to be changed."""
    copied = small_releases.copy_of(run, home)
    assert isinstance(copied, ProvenRun)
    return replace(copied, own={}, summaries=dict(run.summaries))


def incumbent(missed: int = 24) -> Incumbent:
    """What is in the channel: a checkpoint that misses objects of some pictures."""
    return Incumbent("sha256:" + "5" * 64, "v1", found(missed))


def case(contents: Contents, **changes: object) -> Case:
    """A case for the channel production; ``changes`` are of the policy."""
    return Case(contents, policy(**changes), "production", incumbent(), NOW)
