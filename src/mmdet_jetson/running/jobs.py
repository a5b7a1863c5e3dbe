"""The job folder: what a runtime hands to a stage, laid out and cleared away."""

import json
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdet_jetson.errors import UserError
from mmdet_jetson.locks import hold, is_free
from mmdet_jetson.planning.steps import Made, Step
from mmdet_jetson.store import Artifact, Store

DAYS_KEPT = 7


@dataclass(frozen=True)
class Abandoned:
    """A job folder that a run left when it ended badly. ``size`` is in bytes."""

    name: str
    size: int


def prepare(
    job: Path,
    step: Step,
    parameters: Mapping[str, Any],
    store: Store,
    made: Mapping[str, Artifact],
) -> None:
    """Lay out the job folder; what an earlier, killed run left is kept only where it is of use."""
    for entry in job.glob("*"):
        if not (step.resumable and entry.name == "work"):
            remove(entry)
    (job / "output").mkdir(parents=True)
    (job / "work").mkdir(exist_ok=True)
    (job / "inputs").mkdir()
    inputs = {}
    for name, given in step.inputs.items():
        folder = job / "inputs" / name
        if isinstance(given, Made):
            store.checkout(made[given.step], folder, given.parts or None)
        else:
            folder = given.place(folder)
        own = folder.is_relative_to(job)
        inputs[name] = str(folder.relative_to(job) if own else folder.resolve())
    description = {
        "stage": step.stage,
        "parameters": dict(parameters),
        "inputs": inputs,
        "outputs": {step.kind: "output"},
        "work": "work",
    }
    (job / "job.json").write_text(json.dumps(description, indent=1))


def lend_last(job: Path, step: Step, environment: str, store: Store) -> None:
    """Put the file that a step reuses into its work folder, if an artifact of before has it.

    That is the newest one that the same step made in the same environment. A stage does without
    where there is none, or where it is damaged.
    """
    made_before = [
        artifact
        for artifact in store.artifacts()
        if (artifact.provenance.step, artifact.provenance.environment) == (step.name, environment)
        and any(layer.title == step.reuses for layer in artifact.layers)
    ]
    for last in sorted(made_before, key=lambda artifact: artifact.provenance.created)[-1:]:
        with suppress(UserError):
            (job / "work" / step.reuses).write_bytes(store.read(last, step.reuses))


def remove(path: Path) -> None:
    """Remove a job folder or a part of it, read-only inputs included."""
    if path.is_dir() and not path.is_symlink():
        for folder, _, _ in os.walk(path):
            Path(folder).chmod(0o755)
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def lock_of(job: Path) -> Path:
    """Name the lock that whoever works in a job folder holds."""
    return job.with_name(f"{job.name}.lock")


def sweep(jobs: Path, days: float = DAYS_KEPT, *, dry_run: bool = False) -> list[Abandoned]:
    """Remove job folders of runs that ended badly and that nobody took up again for ``days``.

    A killed training is kept so that it can resume, and a failed stage's log so that it can be
    read. Returns those that went, or that would have gone without ``dry_run``.
    """
    swept = []
    for job in [path for path in sorted(jobs.glob("*")) if path.is_dir()]:
        lock = lock_of(job)
        if time.time() - _last_touched(job) < days * 86400 or not is_free(lock):
            continue
        swept.append(Abandoned(job.name, _size(job)))
        if not dry_run:
            with hold(lock):
                remove(job)
                lock.unlink(missing_ok=True)
    return swept


def _size(job: Path) -> int:
    return sum(path.lstat().st_size for path in job.rglob("*") if not path.is_dir())


def _last_touched(job: Path) -> float:
    """When a stage last left anything: its log grows and its work changes, not the folder."""
    signs = (job, *job.glob("log.txt"), *job.glob("work/*"))
    return max(path.lstat().st_mtime for path in signs)
