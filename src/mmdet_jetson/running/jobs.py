"""The job folder: what a runtime hands to a stage, laid out and cleared away."""

import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from mmdet_jetson.contract.job import INPUTS, LOG, OUTPUT, WORK, Job, read_job, write_job
from mmdet_jetson.contract.records import encode
from mmdet_jetson.contract.taken import read_digests, read_taken, write_digests
from mmdet_jetson.errors import UserError
from mmdet_jetson.files import remove
from mmdet_jetson.locks import hold_if_free, lock_beside
from mmdet_jetson.planning.keys import Ingredients, provenance_read
from mmdet_jetson.planning.steps import ExternalInput, Step, StepOutput
from mmdet_jetson.store import Artifact, Store
from mmdet_jetson.store.staged import Taken

REMEMBERED = "remembered"
"""The folder of a store with what runs leave for the next of their kind. It may be deleted."""
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
            store.checkout(artifacts[each.step], place, each.parts or None, shared=True)
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


def tell_digests(folder: Path, step: Step, expected: Mapping[str, str]) -> Mapping[str, Path]:
    """Tell a stage what is known of the files of its inputs, so that it need not copy them.

    Returns where each input lies on this machine; a container's job names other folders.

    Raises:
        UserError: they are not what the step's key says.
    """
    known = {}
    for name, each in step.inputs.items():
        if isinstance(each, ExternalInput) and each.files:
            digest, known[name] = each.files(expected[name])
            if digest != expected[name]:
                raise UserError(f"{step.name}: an input changed while it was read", "run again")
    if known:
        write_digests(folder, known)
    return {name: folder / place for name, place in read_job(folder).inputs.items()}


def taken_files(folder: Path, step: Step, places: Mapping[str, Path]) -> dict[str, Taken]:
    """The files of inputs that a stage has taken into its artifact, by their paths in that.

    ``places`` are those of `tell_digests`.

    Raises:
        UserError: it took what it was not told of.
    """
    if not (taken := read_taken(folder)):
        return {}
    digests = read_digests(folder)
    files = {}
    for place, (name, inside) in taken.items():
        if inside not in digests.get(name, {}):
            raise UserError(
                f"{step.name}: took {inside}, which its inputs do not have", "run again"
            )
        files[place] = Taken(f"{places[name]}/{inside}", digests[name][inside])
    return files


def recall(folder: Path, step: Step, now: Ingredients, root: Path) -> None:
    """Put what the last run remembered into the work folder, if it was one as this is."""
    kept = _remembered(step, now, root)
    if step.remembers and kept.exists():
        with suppress(OSError):
            shutil.copytree(kept, folder / WORK / step.remembers)


def remember(folder: Path, step: Step, now: Ingredients, root: Path) -> None:
    """Keep what a run leaves for the next; what other versions left is of no more use."""
    left = folder / WORK / step.remembers
    if not (step.remembers and left.exists()):
        return
    kept = _remembered(step, now, root)
    with suppress(OSError):
        kept.parent.mkdir(exist_ok=True)
        for other in kept.parent.glob(f"{step.name}-*"):
            if other != kept:
                remove(other)
        remove(kept)
        left.replace(kept)


def _remembered(step: Step, now: Ingredients, root: Path) -> Path:
    version = sha256(f"{now.source}\n{now.environment}".encode()).hexdigest()[:16]
    return root / REMEMBERED / f"{step.name}-{version}"


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
