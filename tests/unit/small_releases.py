"""A run of the demo as its steps would leave it in a store, made in no time: all digests fit."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
from small_artifacts import PROVENANCE

from mmdet_jetson.config.pipeline import Project, load_project
from mmdet_jetson.config.settings import ROOT, Settings
from mmdet_jetson.contract.parameters.check import CheckParameters
from mmdet_jetson.contract.parameters.rehearse import SIZES, export_folder
from mmdet_jetson.planning import pipeline, stages
from mmdet_jetson.planning.inputs import Inputs
from mmdet_jetson.planning.keys import input_digests
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.store import Artifact, Provenance, Store, cache_tag

PC, OPENVINO, INT8 = "pc-onnxruntime", "pc-openvino", "pc-onnxruntime-int8"
TARGETS = (PC, OPENVINO, INT8)
ORIN = "orin-jp62"
FIGURES = ("AP", "AP50", "AP75")
TIMES = {"mean": 1.5, "p50": 1.25, "p90": 2.0, "p99": 3.5}
CONFIG = ROOT / "configs/demo.toml"
Files = Mapping[str, bytes]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def as_json(content: object) -> bytes:
    return json.dumps(content).encode()


@dataclass
class SmallRun:
    """The artifacts of a run by step; ``salt`` makes those of another training others."""

    store: Store
    scratch: Path
    steps: Sequence[Step]
    project: Project
    salt: str = ""
    made: dict[str, Artifact] = field(default_factory=dict)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.project.pipeline.name

    def step(self, name: str) -> Step:
        return next(each for each in self.steps if each.name == name)

    def make_all(self) -> "SmallRun":
        for step in self.steps:
            self.make(step.name)
        return self

    def make(
        self,
        name: str,
        files: Files | None = None,
        *,
        subject: str = "",
        tags: Sequence[str] | None = None,
        **changes: object,
    ) -> Artifact:
        """Make a step's artifact from what was made of those before it.

        ``files`` replace some of its own, ``changes`` those of its provenance, and ``subject`` the
        step whose artifact it refers to.
        """
        step = self.step(name)
        own = {**_FILES[step.kind](self, step), **(files or {})}
        self.files[name] = own
        folder = self.scratch / f"{len(list(self.scratch.iterdir()))}"
        for title, content in own.items():
            (folder / title).parent.mkdir(parents=True, exist_ok=True)
            (folder / title).write_bytes(content)
        judges = subject or step.judges
        names = [f"{self.name}.{name}"] if tags is None else list(tags)
        self.made[name] = self.store.put(
            step.kind,
            folder,
            self._provenance(step, changes),
            [cache_tag(sha256(folder.name.encode())), *names],
            self.made[judges].descriptor if judges else None,
        )
        return self.made[name]

    def _provenance(self, step: Step, changes: Mapping[str, object]) -> Provenance:
        minute = [each.name for each in self.steps].index(step.name)
        graded = {"evidence": "measured"} if step.stage.is_evidence else {}
        made = msgspec.structs.replace(
            PROVENANCE,
            stage=step.stage.module,
            step=step.name,
            created=f"2026-11-01T10:{minute:02}:00+00:00",
            inputs=input_digests(step, self.made),
            parameters=graded,
            metrics={},
        )
        return msgspec.structs.replace(made, **changes)


def _dataset(run: SmallRun, _: Step) -> Files:
    counted = {"pictures": 1, "annotations": 2, "per_class": {"ellipse": 1, "rectangle": 1}}
    summary = {
        "classes": ["ellipse", "rectangle"],
        "splits": {"train": counted, "val": counted},
        "warnings": [],
    }
    return {
        "summary.json": as_json(summary),
        "glance.json": as_json({}),
        "train.json": b'{"images": []}',
        "val.json": b'{"images": [], "annotations": []}',
        "train/a.jpg": b"a picture" + run.salt.encode(),
        "val/more/b.jpg": b"another picture",
    }


def _checkpoint(run: SmallRun, _: Step) -> Files:
    metrics = {"best": {"epoch": 3, "AP": 0.5}, "epochs": 4, "device": "cpu"}
    weights = f"weights {run.salt}".encode()
    return {"best.pth": weights, "config.py": b"", "metrics.json": as_json(metrics)}


def _onnx(run: SmallRun, step: Step) -> Files:
    content = f"onnx {step.parameters.backend} {run.salt}".encode()  # type: ignore[attr-defined]
    documented = step.subject == "documented"
    graph = {
        "graph": "documented" if documented else "fused",
        "backend": "onnxruntime",
        "opset": 13,
        "input_size": [96, 96],
        "checkpoint": {"sha256": sha256(run.files["train"]["best.pth"])},
        "onnx": {"sha256": sha256(content)},
    }
    return {"end2end.onnx": content, "graph.json": as_json(graph)}


def _engine(run: SmallRun, step: Step) -> Files:
    export = run.files[f"export-{step.subject}"]
    content = f"engine {step.subject} {run.salt}".encode()
    passport = {
        "target": step.subject,
        "backend": "onnxruntime",
        "precision": "fp32",
        "engine": {"file": "engine.onnx", "sha256": sha256(content), "bytes": len(content)},
        "files": {"graph.json": sha256(export["graph.json"])},
        "onnx": {"sha256": sha256(export["end2end.onnx"])},
        "checkpoint": {"sha256": sha256(run.files["train"]["best.pth"])},
        "runs_on": {},
    }
    return {
        "engine.onnx": content,
        "graph.json": export["graph.json"],
        "passport.json": as_json(passport),
    }


def _evaluation(run: SmallRun, step: Step) -> Files:
    metrics = {
        "subject": step.subject,
        "evidence": "measured",
        "preprocessing": {},
        "figures": dict.fromkeys(FIGURES, 0.75),
        "per_class": {"ellipse": 0.75},
        "pictures": 1,
        "detections": 3,
    }
    predictions = f"predictions {step.subject} {run.salt}".encode()
    return {"metrics.json": as_json(metrics), "predictions.json": predictions}


def _proof(run: SmallRun, step: Step) -> Files:
    deviation = {"matched": 8, "off": 1, "missing": 1, "extra": 0, "box": 0.0, "score": 0.0}
    proof = {
        "target": step.subject,
        "pictures": 1,
        "models": {"engine": {"deviation": deviation}},
        "tolerances": {"alone": 0.25},
        "network": {"nodes": 3, "differences": []},
    }
    return {"proof.json": as_json(proof)}


def _profile(run: SmallRun, step: Step) -> Files:
    profile = {
        "backend": "onnxruntime",
        "precision": "fp32",
        "repeats": 200,
        "warmup": 20,
        "unit": "ms",
        "steps": {},
        "total": TIMES,
        "gpu": None,
        "pictures": 1,
        "machine": {"cpu": "a CPU"},
        "evidence": "measured",
        "warnings": [],
    }
    return {"profile.json": as_json(profile)}


def _report(run: SmallRun, _: Step) -> Files:
    gate = {"name": "min_AP50:checkpoint", "measured": 0.75, "limit": 0.5, "sentence": "It does."}
    verdict = {"verdict": "pass", "gates": [{**gate, "outcome": "pass"}]}
    return {"report.html": b"<p>", "verdict.json": as_json(verdict)}


def _check(_: SmallRun, step: Step) -> Files:
    assert isinstance(step.parameters, CheckParameters)
    exports = {f"{export_folder(name)}/graph.json": b"{}" for name in step.parameters.kept}
    return {"check.json": b"{}", SIZES: b"{}", **exports}


_FILES = {
    "dataset": _dataset,
    "check": _check,
    "rehearsal": lambda *_: {"rehearsal.json": b"{}"},
    "checkpoint": _checkpoint,
    "onnx": _onnx,
    "engine": _engine,
    "evaluation": _evaluation,
    "proof": _proof,
    "profile": _profile,
    "report": _report,
}


def planned(targets: Sequence[str], settings: Settings) -> tuple[Project, tuple[Step, ...]]:
    """The demo for some targets, and its steps."""
    project = load_project(CONFIG, [f"targets={json.dumps(list(targets))}"])
    return project, pipeline.plan(project, Inputs(project, settings, lambda *_: None))


def small_run(store: Store, scratch: Path, settings: Settings, *targets: str) -> SmallRun:
    """The whole run, in a store; nothing of it for targets other than those named."""
    scratch.mkdir(exist_ok=True)
    project, steps = planned(targets or TARGETS, settings)
    return SmallRun(store, scratch, steps, project).make_all()


def settings_in(home: Path) -> Settings:
    """Settings whose cache and store lie in a folder of their own, offline."""
    return Settings(
        root=ROOT,
        cache=home / "cache",
        artifacts=home / "artifacts",
        mirrors=(),
        offline=True,
        python38="",
        variant="cpu",
        bases="stand-in",
        certificates=None,
    )


def whole_run(home: Path) -> SmallRun:
    """A run for all targets in a folder of its own: half a second, so tests share it as copies."""
    return small_run(Store(home / "artifacts"), home / "made", settings_in(home))


def copy_of(run: SmallRun, home: Path) -> SmallRun:
    """The same run in another folder, to be changed."""
    shutil.copytree(run.store.root, home / "artifacts")
    (home / "made").mkdir()
    return replace(
        run,
        store=Store(home / "artifacts"),
        scratch=home / "made",
        made=dict(run.made),
        files=dict(run.files),
    )


def of_stage(run: SmallRun, stage: stages.Stage) -> list[str]:
    """The names of the steps of a stage."""
    return [each.name for each in run.steps if each.stage is stage]
