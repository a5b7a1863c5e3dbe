"""Bundles that are bad in a known way: how each is made of a good release, and who rejects it.

They are what a store would hold: artifacts with the right digests, bound into a bundle. `BAD` has one
of each kind; `test_known_bad.py` has every one of them judged, and others may take one by its name.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from proven_releases import (
    PICTURES,
    ProvenRun,
    conditions,
    evaluation,
    found,
    profile,
    proof,
)
from small_artifacts import blob_of
from small_matches import saved
from small_releases import INT8, ORIN, PC, as_json, sha256

from mmdet_jetson.bundles.contents import Contents
from mmdet_jetson.contract.conditions import ClockRange, Temperature
from mmdet_jetson.contract.report import FAIL, INCONCLUSIVE

OTHER = "sha256:" + "7" * 64
Spoil = Callable[[ProvenRun], object]


@dataclass(frozen=True)
class Bad:
    """How a release is spoilt, and what is said of it: by which gate, how, and a part of why."""

    spoil: Spoil
    gate: str
    says: str
    outcome: str = FAIL

    def bundle(self, run: ProvenRun) -> Contents:
        """Spoil a copy of a release, and bind it."""
        self.spoil(run)
        return run.bundle()


def _inputs(step: str, **changed: str) -> Spoil:
    """Made from something else than what is beside it."""
    return lambda run: run.make(step, inputs={**run.made[step].provenance.inputs, **changed})


def _files(step: str, files: Mapping[str, bytes]) -> Spoil:
    """A step wrote something else, and what follows was made of that."""

    def spoil(run: ProvenRun) -> None:
        run.own[step] = files
        run.make_after(step)

    return spoil


def _without(step: str, title: str) -> Spoil:
    """A step's artifact without one of its files, which nothing can be made of."""

    def spoil(run: ProvenRun) -> None:
        made, folder = run.made[step], run.scratch / f"without-{title}"
        titles = [each.title for each in made.layers if each.title != title]
        run.store.checkout(made, folder, titles)
        tags = [f"{run.name}.{step}"]
        run.store.put(made.kind, folder, made.provenance, tags, made.subject)
        run.store.untag(f"{run.name}.report")

    return spoil


def _made(step: str, **changes: Any) -> Spoil:
    """A step says something else of how it was made; what follows was made of that."""

    def spoil(run: ProvenRun) -> None:
        run.make(step, **changes)
        run.make_after(step, itself=False)

    return spoil


def _evaluated(target: str, **changes: Any) -> Spoil:
    return _files(f"evaluate-{target}", evaluation(found(), **changes))


def _profiled(**changes: Any) -> Spoil:
    return _files(f"profile-{ORIN}", {"profile.json": as_json(profile(**changes))})


def _proven(target: str, **changes: object) -> Spoil:
    return _files(f"prove-{target}", {"proof.json": as_json(proof(target, **changes))})


def _passport(target: str, **changes: object) -> Spoil:
    def spoil(run: ProvenRun) -> None:
        passport = json.loads(run.files[f"engine-{target}"]["passport.json"])
        run.own[f"engine-{target}"] = {"passport.json": as_json({**passport, **changes})}
        run.make_after(f"engine-{target}")

    return spoil


def _pairs(target: str, **counts: int) -> dict[str, object]:
    """A proof where the detections on the first picture pair up so."""
    made = json.loads(json.dumps(proof(target)))
    model = made["models"]["engine"]
    model["by_picture"][PICTURES[0]].update(counts)
    for name, count in counts.items():
        model["deviation"][name] += count - (name == "matched")
    return dict(made)


def _each(pairs: Mapping[str, int]) -> dict[str, Mapping[str, int]]:
    """How detections pair up, the same on every picture."""
    return {name: pairs for name in PICTURES}  # noqa: C420 - nothing changes it


def _damaged(run: ProvenRun) -> None:
    """A byte of the engine's evaluation changed on the disk after it was stored."""
    (layer,) = run.made[f"evaluate-{PC}"].parts(["matches.npz"])
    path = blob_of(run.store, layer.blob.digest)
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _retrained(run: ProvenRun) -> None:
    """A new training: engines and evidence are still those of the last."""
    run.salt = "new"
    run.make("train")


def _stale(run: ProvenRun) -> None:
    """An engine of the last export."""
    content = b"engine of the last export"
    passport = json.loads(run.files[f"engine-{PC}"]["passport.json"])
    passport["engine"]["sha256"] = sha256(content)
    run.make(
        f"engine-{PC}",
        {"engine.onnx": content, "passport.json": as_json(passport)},
        inputs={"onnx": OTHER},
    )


def _shuffled_training(run: ProvenRun) -> None:
    """Trained with shuffled labels: the model finds an object in a hundred."""
    few = found(len(PICTURES) - 100)
    for step in ("evaluate-checkpoint", *(f"evaluate-{each}" for each in (PC, INT8, ORIN))):
        subject = "checkpoint" if step.endswith("checkpoint") else "engine"
        run.own[step] = evaluation(few, subject)
    run.make_after("evaluate-checkpoint")


def _learned(run: ProvenRun) -> None:
    """A training picture that calibrates is a validation picture."""
    run.own["dataset"] = {"train/t003.jpg": f"picture {PICTURES[7]}".encode()}
    run.make_after("dataset")


def _silent(run: ProvenRun) -> None:
    made = dict(run.made[f"evaluate-{PC}"].provenance.inputs)
    del made["dataset"]
    run.make(f"evaluate-{PC}", inputs=made)


def _lost(missed: int) -> Spoil:
    """An engine that loses what its checkpoint finds on some more pictures."""
    return _files(f"evaluate-{ORIN}", evaluation(found(24 + missed)))


def _no_engine(run: ProvenRun) -> None:
    for step in ("engine", "evaluate", "prove", "profile"):
        run.store.untag(f"demo.{step}-{ORIN}")
    run.store.untag("demo.report")


def _emulated(run: ProvenRun) -> None:
    run.own[f"profile-{ORIN}"] = {"profile.json": as_json(profile(evidence="emulated"))}
    _made(f"profile-{ORIN}", parameters={"evidence": "emulated"})(run)


SLOW = ClockRange(1_300_500_000, 1_300_500_000, 612_000_000, 1_300_500_000)
LOOSE = ClockRange(306_000_000, 1_300_500_000, 612_000_000, 1_300_500_000)
LOCKED = ClockRange(1_300_500_000, 1_300_500_000, 1_300_500_000, 1_300_500_000)
CLOCKS = {"cpu0": LOCKED, "memory": LOCKED}

BAD: Mapping[str, Bad] = {
    # what does not belong together
    "stale-engine": Bad(_stale, "belonging", "was made from another ONNX"),
    "stale-everything": Bad(_retrained, "belonging", "was made from another checkpoint"),
    "evidence-about-another-engine": Bad(
        lambda run: run.make(f"profile-{ORIN}", subject=f"engine-{PC}"),
        "belonging",
        "is about another engine",
    ),
    "proof-of-another-engine": Bad(
        lambda run: run.make(f"prove-{ORIN}", subject=f"engine-{PC}"),
        "belonging",
        "is about another engine",
    ),
    "evaluation-that-read-another-engine": Bad(
        _inputs(f"evaluate-{PC}", engine=OTHER), "belonging", "measured with another engine"
    ),
    "evaluation-that-does-not-say-of-what": Bad(
        _silent, "belonging", "does not say of which dataset it is"
    ),
    "passport-of-other-weights": Bad(
        _passport(PC, checkpoint={"sha256": "1" * 64}), "belonging", "names other weights"
    ),
    "passport-of-another-file": Bad(
        _passport(PC, engine={"file": "engine.onnx", "sha256": "1" * 64, "bytes": 1}),
        "belonging",
        "has a passport for another engine.onnx",
    ),
    "calibrated-with-other-pictures": Bad(
        _inputs(f"engine-{INT8}", training=OTHER), "belonging", "another set of pictures"
    ),
    "judged-by-shuffled-labels": Bad(
        _inputs(f"evaluate-{PC}", dataset=OTHER), "belonging", "another set of pictures"
    ),
    # what is not whole
    "counts-shuffled-labels": Bad(
        _files(f"evaluate-{PC}", evaluation(found(flipped=True))),
        "parts",
        "counts other objects than the dataset has",
    ),
    "truncated-evaluation": Bad(
        _files(f"evaluate-{PC}", evaluation(found(pictures=PICTURES[:400]))),
        "parts",
        "covers 400 pictures, but the validation set has 960",
    ),
    "truncated-matches": Bad(
        _files(f"evaluate-{PC}", {"matches.npz": saved(found(pictures=PICTURES[:400]))}),
        "parts",
        "is of other pictures",
    ),
    "half-a-file": Bad(
        _files(f"evaluate-{PC}", {"matches.npz": saved(found())[:-40]}),
        "parts",
        "cannot be read",
    ),
    "damaged-on-disk": Bad(_damaged, "parts", "is damaged"),
    "no-metrics": Bad(_without(f"evaluate-{PC}", "metrics.json"), "parts", "has no metrics.json"),
    "no-matches": Bad(_without(f"evaluate-{PC}", "matches.npz"), "parts", "has no matches.npz"),
    "no-AP": Bad(_evaluated(PC, figures={}), "parts", "AP of the engine for"),
    "AP-that-is-none": Bad(_evaluated(PC, figures={"AP": None}), "parts", "AP of the engine for"),
    "AP-that-is-no-number": Bad(
        _evaluated(PC, figures={"AP": float("nan")}), "parts", "nan is no number"
    ),
    "AP-that-is-better-than-its-detections": Bad(
        _evaluated(PC, figures={"AP": 0.99, "AP50": 0.99}), "parts", "is damaged: AP of its"
    ),
    "AP-below-zero": Bad(
        _evaluated(PC, figures={"AP": -0.1}), "parts", "not a number between 0 and 1"
    ),
    "no-class-of-the-dataset": Bad(_evaluated(PC, per_class={}), "parts", "other classes"),
    "no-detections": Bad(_evaluated(PC, detections=0), "parts", "contains no detections"),
    "evaluation-of-the-checkpoint-as-the-engines": Bad(
        _evaluated(PC, subject="checkpoint"), "parts", "is one of the checkpoint"
    ),
    "no-engine-for-a-target": Bad(_no_engine, "parts", f"The bundle has no engine {ORIN}"),
    "no-evaluation": Bad(
        lambda run: run.store.untag(f"demo.evaluate-{PC}"), "parts", "has no evaluation"
    ),
    "no-proof": Bad(lambda run: run.store.untag(f"demo.prove-{PC}"), "parts", "has no proof"),
    "no-dataset": Bad(lambda run: run.store.untag("demo.dataset"), "parts", "has no dataset"),
    "no-passport": Bad(_without(f"engine-{PC}", "passport.json"), "parts", "has no passport.json"),
    # what was learned from what judges
    "calibrated-with-validation-pictures": Bad(
        _passport(INT8, calibration={"split": "val", "pictures": 4, "sha256": "3" * 64}),
        "separation",
        "calibrated with pictures of the split 'val'",
    ),
    "calibrated-with-a-validation-picture": Bad(
        _learned, "separation", "was calibrated with t003.jpg, which is the validation picture"
    ),
    "trained-with-a-validation-picture": Bad(
        _learned,
        "separation",
        f"The training picture t003.jpg is the validation picture {PICTURES[7]}",
    ),
    "calibrated-with-nothing": Bad(
        _passport(INT8, calibration={"split": "train", "pictures": 0, "sha256": "3" * 64}),
        "separation",
        "cannot be read",
    ),
    "calibrated-with-nobody-knows-what": Bad(
        _passport(INT8, calibration=None),
        "separation",
        "does not say what calibrated",
        INCONCLUSIVE,
    ),
    # engines that detect something else
    "detects-something-else": Bad(
        _files(f"prove-{PC}", {"proof.json": as_json(_pairs(PC, extra=24))}),
        "agreement",
        "24 extra",
    ),
    "matches-nothing": Bad(
        _proven(
            PC,
            models={
                "engine": {
                    "deviation": {"missing": 960},
                    "by_picture": _each({"missing": 1}),
                }
            },
        ),
        "agreement",
        "960 missing",
    ),
    "proves-nothing": Bad(
        _proven(PC, models={"engine": {"deviation": {}, "by_picture": _each({})}}),
        "agreement",
        "compares nothing",
    ),
    "other-network": Bad(
        _proven(PC, network={"nodes": 3, "differences": ["node 2 is a Tanh"]}),
        "agreement",
        "networks of the two graphs differ: node 2 is a Tanh",
    ),
    "truncated-proof": Bad(_proven(PC, pictures=400), "agreement", "covers 400 pictures"),
    "proof-that-does-not-add-up": Bad(
        _proven(
            PC,
            models={
                "engine": {
                    "deviation": {"matched": 960},
                    "by_picture": _each({"matched": 1, "extra": 3}),
                }
            },
        ),
        "agreement",
        "do not add up",
    ),
    "proof-of-another-target": Bad(
        _files(f"prove-{PC}", {"proof.json": as_json(proof(ORIN))}),
        "agreement",
        f"is of the engine for {ORIN}",
    ),
    "proof-with-wide-tolerances": Bad(
        _proven(PC, tolerances={"from_score": 0.05, "box": 0.5, "score": 0.001, "alone": 0.001}),
        "agreement",
        "was made with box 0.5, and the policy allows 0.0002",
        INCONCLUSIVE,
    ),
    # engines and models that are worse
    "loses-a-fifth": Bad(_lost(192), "accuracy", ""),
    "loses-too-little-to-tell": Bad(_lost(6), "accuracy", "", INCONCLUSIVE),
    "trained-with-shuffled-labels": Bad(_shuffled_training, "figures", ""),
    "worse-than-what-is-in-the-channel": Bad(_shuffled_training, "incumbent", ""),
    # times that are no evidence
    "too-few-samples": Bad(
        _profiled(
            samples=200,
            bounds={"p50": {"low": 7.9, "high": 8.1}, "p99": {"low": 10.0, "high": None}},
            total={"mean": 8.1, "p50": 8.0, "p90": 9.0, "p99": None},
        ),
        "latency",
        "",
        INCONCLUSIVE,
    ),
    "too-slow": Bad(
        _profiled(
            bounds={"p50": {"low": 7.9, "high": 8.1}, "p99": {"low": 24.0, "high": 26.0}},
            total={"mean": 8.1, "p50": 8.0, "p90": 9.0, "p99": 25.0},
        ),
        "latency",
        "",
    ),
    "throttled": Bad(
        _profiled(measured=conditions(clocks={**CLOCKS, "gpu": SLOW})),
        "latency",
        "slowed",
        INCONCLUSIVE,
    ),
    "unlocked": Bad(
        _profiled(measured=conditions(clocks={**CLOCKS, "gpu": LOOSE})),
        "latency",
        "locked",
        INCONCLUSIVE,
    ),
    "hot": Bad(
        _profiled(measured=conditions(temperatures={"gpu-thermal": Temperature(97.0, 99.0)})),
        "latency",
        "throttled",
        INCONCLUSIVE,
    ),
    "over-current": Bad(
        _profiled(measured=conditions(over_current={"oc1": 3, "oc2": 0, "oc3": 12})),
        "latency",
        "oc1",
        INCONCLUSIVE,
    ),
    "another-power-mode": Bad(
        _profiled(measured=conditions(power_modes=("MODE_15W",))),
        "latency",
        "MODE_15W",
        INCONCLUSIVE,
    ),
    "too-short": Bad(_profiled(measured=conditions(seconds=20.0)), "latency", "20 s", INCONCLUSIVE),
    "profile-of-an-earlier-version": Bad(
        _files(f"profile-{ORIN}", {"profile.json": as_json({"repeats": 200})}),
        "latency",
        "earlier version",
        INCONCLUSIVE,
    ),
    "no-profile": Bad(
        lambda run: run.store.untag(f"demo.profile-{ORIN}"),
        "latency",
        "has no profile",
        INCONCLUSIVE,
    ),
    # the rest
    "emulated-profile": Bad(
        _emulated, "grade", "The profile is emulated, and production takes measured evidence only"
    ),
    "stand-in": Bad(
        _evaluated(PC, evidence="measured, stand-in base"), "grade", "is measured, stand-in base"
    ),
    "no-grade": Bad(_evaluated(PC, evidence=""), "grade", "is of no grade"),
    "old-evidence": Bad(
        _made(f"profile-{ORIN}", created="2026-08-01T00:00:00+00:00"),
        "age",
        f"The oldest evidence, profile {ORIN}, is of 2026-08-01",
    ),
    "evidence-of-tomorrow": Bad(
        _made(f"profile-{ORIN}", created="2030-08-01T00:00:00+00:00"),
        "age",
        "is of 2030-08-01, which is yet to come",
    ),
    "image-that-failed": Bad(
        lambda run: run.tested(failed=2),
        "image_tests",
        "failed 2 of its 40 tests; the first: test_",
    ),
    "untested-image": Bad(
        _made(f"profile-{ORIN}", facts={"image_digest": "sha256:" + "2" * 64}),
        "image_tests",
        "has no tests in the bundle",
        INCONCLUSIVE,
    ),
    "no-memory": Bad(_profiled(machine={}), "memory", "has not measured its memory", INCONCLUSIVE),
    "too-much-memory": Bad(
        _profiled(machine={"peak_memory_mb": 2500.0}), "memory", "2500 MB, more than 2000 MB"
    ),
    "too-large": Bad(
        _files(f"engine-{ORIN}", {"weights.bin": bytes(1_500_000)}),
        "size",
        "has 1.5 MB, more than 1 MB",
    ),
}
