"""One stage, run once: its key, its job folder, its place in the store."""

import ast
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from mmdet_jetson.locks import hold, is_free
from mmdet_jetson.processes import ProcessFailed, output_of
from mmdet_jetson.runtimes.host import SOURCE, Progress, StageResult
from mmdet_jetson.store import Artifact, Provenance, Store

STAGES = SOURCE / "mmdet_jetson/stages"


@dataclass(frozen=True)
class Made:
    """An input that an earlier step makes; ``parts`` limits it to some of its entries."""

    step: str
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Given:
    """An input from outside: how to know its content, and how to put it into a folder.

    ``place`` is handed an absent folder and returns the folder to read: that one, filled, or
    one of the user's own.
    """

    digest: Callable[[], str]
    place: Callable[[Path], Path]


@dataclass(frozen=True)
class Step:
    """One node of the pipeline: a stage, where it runs, what it reads and what it makes."""

    name: str
    stage: str
    environment: str
    kind: str
    parameters: Mapping[str, Any]
    inputs: Mapping[str, Made | Given] = field(default_factory=dict)
    resumable: bool = False
    reads_provenance: bool = False


class Runtime(Protocol):
    """What runs a stage: a process here, or a container elsewhere."""

    name: str

    def identity(self, environment: str) -> str:
        """What a cache key needs to know of an environment."""

    def run(
        self,
        stage: str,
        environment: str,
        job: Path,
        on_progress: Callable[[Progress], None],
        *,
        keep_open: Sequence[int] = (),
    ) -> StageResult:
        """Run a stage on a job folder and read its result."""


class Listener(Protocol):
    """Who is told how a step goes."""

    def started(self, step: Step) -> None: ...  # noqa: D102
    def waiting(self, step: Step) -> None: ...  # noqa: D102
    def progress(self, step: Step, progress: Progress) -> None: ...  # noqa: D102
    def finished(self, step: Step, artifact: Artifact, *, cached: bool) -> None: ...  # noqa: D102


@dataclass(frozen=True)
class Ingredients:
    """All that a step's result depends on; its digest is the cache key."""

    stage: str
    source: str
    environment: str
    parameters: Mapping[str, Any]
    inputs: Mapping[str, str]

    @property
    def key(self) -> str:
        """SHA-256 over the canonical JSON of all ingredients, in hex."""
        text = json.dumps(self.__dict__, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def ingredients(step: Step, runtime: Runtime, made: Mapping[str, Artifact]) -> Ingredients:
    """Collect what decides a step's result, given the artifacts made before it."""
    return Ingredients(
        stage=step.stage,
        source=source_digest(step.stage),
        environment=runtime.identity(step.environment),
        parameters=_parameters(step, made),
        inputs={name: _digest(given, made) for name, given in step.inputs.items()},
    )


@dataclass(frozen=True)
class Workshop:
    """What every step of a run shares: where it runs, where results go, who is told."""

    runtime: Runtime
    store: Store
    listener: Listener


def run_step(step: Step, shop: Workshop, made: Mapping[str, Artifact]) -> Artifact:
    """Return the step's artifact: from the store when its key is known, else made now.

    Raises:
        UserError: the stage failed, an input could not be had, or the store could not be written.
    """
    recipe = ingredients(step, shop.runtime, made)
    tag = f"cache.{recipe.key}"
    artifact = shop.store.find(tag)
    if artifact:
        shop.listener.finished(step, artifact, cached=True)
        return artifact
    job = shop.store.root / "jobs" / f"{step.name}-{recipe.key[:16]}"
    lock = lock_of(job)
    with hold(lock, lambda: shop.listener.waiting(step)) as held:
        artifact = shop.store.find(tag)
        was_made_meanwhile = artifact is not None
        if artifact is None:
            shop.listener.started(step)
            began = time.monotonic()
            _prepare(step, recipe, shop.store, made, job)
            result = _run(step, shop, job, held.fileno())
            provenance = _provenance(step, recipe, result, time.monotonic() - began)
            artifact = shop.store.put(step.kind, job / "output", provenance, [tag])
            remove(job)
        lock.unlink(missing_ok=True)
    shop.listener.finished(step, artifact, cached=was_made_meanwhile)
    return artifact


def _run(step: Step, shop: Workshop, job: Path, lock: int) -> StageResult:
    """Start the stage; it inherits the lock, so that a killed run's stage still holds it."""
    return shop.runtime.run(
        step.stage,
        step.environment,
        job,
        lambda progress: shop.listener.progress(step, progress),
        keep_open=[lock],
    )


def _provenance(step: Step, recipe: Ingredients, result: StageResult, seconds: float) -> Provenance:
    return Provenance(
        stage=step.stage,
        step=step.name,
        source=recipe.source,
        parameters=dict(recipe.parameters),
        inputs=dict(recipe.inputs),
        environment=recipe.environment,
        key=recipe.key,
        commit=git_commit(),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
        metrics=result.metrics,
        facts=result.facts,
        warnings=result.warnings,
    )


def _prepare(
    step: Step, recipe: Ingredients, store: Store, made: Mapping[str, Artifact], job: Path
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
        inputs[name] = os.path.relpath(folder, job)
    description = {
        "stage": step.stage,
        "parameters": dict(recipe.parameters),
        "inputs": inputs,
        "outputs": {step.kind: "output"},
        "work": "work",
    }
    (job / "job.json").write_text(json.dumps(description, indent=1))


def remove(path: Path) -> None:
    """Remove a job folder or a part of it, read-only inputs included."""
    if path.is_dir() and not path.is_symlink():
        for folder, _, _ in os.walk(path):
            Path(folder).chmod(0o755)
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _parameters(step: Step, made: Mapping[str, Artifact]) -> dict[str, Any]:
    parameters = dict(step.parameters)
    if step.reads_provenance:
        parameters["artifacts"] = [_describe(made[name]) for name in _sources_of(step, made)]
    return parameters


def _sources_of(step: Step, made: Mapping[str, Artifact]) -> list[str]:
    read = {given.step for given in step.inputs.values() if isinstance(given, Made)}
    return [name for name in made if name in read]


def _describe(artifact: Artifact) -> dict[str, Any]:
    provenance = artifact.provenance
    return {
        "step": provenance.step,
        "kind": artifact.kind,
        "digest": artifact.digest,
        "created": provenance.created,
        "environment": provenance.environment,
        "commit": provenance.commit,
        "seconds": provenance.seconds,
        "size": artifact.size,
        "warnings": provenance.warnings,
    }


def _digest(given: Made | Given, made: Mapping[str, Artifact]) -> str:
    if isinstance(given, Given):
        return given.digest()
    return made[given.step].content_of(given.parts or None)


@cache
def source_digest(stage: str) -> str:
    """Digest of a stage's own source: its module and the stage modules that it imports."""
    digest = hashlib.sha256()
    for path in _closure(stage):
        digest.update(path.relative_to(STAGES).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _closure(stage: str) -> list[Path]:
    """The stage's module, every stage module it reaches, and the templates beside them."""
    todo, seen = [STAGES / f"{stage}.py"], set[Path]()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        seen.update(path.parent.glob(f"{path.stem}.*.j2"))
        if path.suffix == ".py":
            todo += _imports(path)
    return sorted(seen)


def _imports(path: Path) -> list[Path]:
    prefix = "mmdet_jetson.stages"
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(prefix):
            names.append(str(node.module))
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names if alias.name.startswith(prefix)]
    found = []
    for name in names:
        target = STAGES.joinpath(*name.split(".")[2:])
        found += [p for p in (target.with_suffix(".py"), target / "__init__.py") if p.exists()]
    return found


@cache
def git_commit() -> str:
    """The commit that is checked out, with ``+`` when the tree differs from it; "" outside git."""
    try:
        commit = output_of(["git", "-C", str(SOURCE), "rev-parse", "HEAD"])
        changed = output_of(["git", "-C", str(SOURCE), "status", "--porcelain"])
    except ProcessFailed:
        return ""
    return commit + ("+" if changed else "")


DAYS_KEPT = 7


def missing_inputs(step: Step, made: Mapping[str, Artifact]) -> list[str]:
    """Name the earlier steps whose artifact is not there yet."""
    needed = {given.step for given in step.inputs.values() if isinstance(given, Made)}
    return sorted(needed - set(made))


def lock_of(job: Path) -> Path:
    """Name the lock that whoever works in a job folder holds."""
    return job.with_name(f"{job.name}.lock")


def sweep(jobs: Path, days: float = DAYS_KEPT) -> int:
    """Remove job folders of runs that ended badly and that nobody took up again for ``days``.

    A killed training is kept so that it can resume, and a failed stage's log so that it can be
    read. Returns how many were removed.
    """
    removed = 0
    for job in jobs.glob("*/"):
        lock = lock_of(job)
        if time.time() - job.stat().st_mtime < days * 86400 or not is_free(lock):
            continue
        with hold(lock):
            remove(job)
            lock.unlink(missing_ok=True)
        removed += 1
    return removed
