"""The job folder: what a runtime hands to a stage, laid out and cleared away."""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mmdet_jetson.contract.job import INPUTS, LOG, OUTPUT, WORK, Job, write_job
from mmdet_jetson.contract.records import encode
from mmdet_jetson.errors import UserError
from mmdet_jetson.files import remove
from mmdet_jetson.locks import hold_if_free, lock_beside
from mmdet_jetson.planning.keys import provenance_read
from mmdet_jetson.planning.steps import Step, StepOutput
from mmdet_jetson.store import Artifact, Store

DAYS_KEPT = 30
"""How long a bad end of a run is kept, by every run and by ``invoke gc`` alike."""


@dataclass(frozen=True)
class Abandoned:
    """A job folder that a run left when it ended badly. ``size`` is in bytes."""

    name: str
    size: int


def prepare(
    folder: Path, step: Step, *, evidence: str, store: Store, artifacts: Mapping[str, Artifact]
) -> None:
    """Lay out the job folder; what an earlier, killed run left is kept only where it is of use."""
    for entry in folder.glob("*"):
        if not (step.stage.may_resume and entry.name == WORK):
            remove(entry)
    (folder / OUTPUT).mkdir(parents=True)
    (folder / WORK).mkdir(exist_ok=True)
    (folder / INPUTS).mkdir()
    inputs = {}
    for name, each in step.inputs.items():
        place = folder / INPUTS / name
        if isinstance(each, StepOutput):
            store.checkout(artifacts[each.step], place, each.parts or None)
        else:
            place = each.place(place)
        is_ours = place.is_relative_to(folder)
        inputs[name] = str(place.relative_to(folder) if is_ours else place.resolve())
    write_job(
        folder,
        Job(
            stage=step.stage.module,
            parameters=encode(step.parameters),
            inputs=inputs,
            evidence=evidence,
            artifacts=provenance_read(step, artifacts),
        ),
    )


def reuse_last(folder: Path, step: Step, environment: str, store: Store) -> None:
    """Put the file that a step reuses into its work folder, if an artifact of before has it.

    That is the newest one that the same step made in the same environment. A stage does without
    where there is none, or where it is damaged.
    """
    made_before = [
        artifact
        for artifact in store.artifacts()
        if (artifact.provenance.step, artifact.provenance.environment) == (step.name, environment)
        and step.reuses in artifact.titles
    ]
    for last in sorted(made_before, key=lambda artifact: artifact.provenance.created)[-1:]:
        with suppress(UserError):
            (folder / WORK / step.reuses).write_bytes(store.read(last, step.reuses))


def sweep(jobs: Path, days: float = DAYS_KEPT, *, dry_run: bool = False) -> list[Abandoned]:
    """Remove job folders of runs that ended badly and that nobody took up again for ``days``.

    A killed training is kept so that it can resume, and a failed stage's log so that it can be
    read. Returns those that went, or that would have gone without ``dry_run``.
    """
    swept = []
    for folder in [path for path in sorted(jobs.glob("*")) if path.is_dir()]:
        with hold_if_free(lock_beside(folder)) as held:
            if not held or time.time() - _last_touched(folder) < days * 86400:
                continue
            swept.append(Abandoned(folder.name, _size(folder)))
            if not dry_run:
                remove(folder)
    return swept


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def _last_touched(folder: Path) -> float:
    """When a stage last left anything: its log grows and its work changes, not the folder."""
    signs = (folder, *folder.glob(LOG), *folder.glob(f"{WORK}/*"))
    return max(path.lstat().st_mtime for path in signs)
