"""The cache key: a digest of everything that a step's result depends on."""

import ast
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mmdet_jetson.contract.job import ArtifactSummary
from mmdet_jetson.contract.records import encode
from mmdet_jetson.planning.steps import ExternalInput, Input, Step, StepOutput
from mmdet_jetson.store import Artifact

PACKAGE = Path(__file__).resolve().parents[1]
STAGE_SIDE = ("stages", "contract")
"""The folders that a stage's source can be in."""


@dataclass(frozen=True)
class Ingredients:
    """All that a step's result depends on; its digest is the cache key.

    ``parameters`` are plain JSON: the stage's own, and what the runtime adds to them (``evidence``,
    ``artifacts``).
    """

    stage: str
    source: str
    environment: str
    parameters: Mapping[str, object]
    inputs: Mapping[str, str]

    @property
    def key(self) -> str:
        """SHA-256 over the canonical JSON of all ingredients, in hex."""
        text = json.dumps(self.__dict__, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def ingredients(
    step: Step, *, environment: str, evidence: str, artifacts: Mapping[str, Artifact]
) -> Ingredients:
    """Collect what decides a step's result, given the artifacts of the steps before it.

    ``environment`` is the identity of the environment it would run in; ``evidence`` how near to its
    target that is, or empty.
    """
    parameters = encode(step.parameters)
    if evidence:
        parameters["evidence"] = evidence
    if told := provenance_read(step, artifacts):
        parameters["artifacts"] = [encode(each) for each in told]
    return Ingredients(
        stage=step.stage.module,
        source=source_digest(step.stage.module),
        environment=environment,
        # As it comes back from the store, where a tuple is a list.
        parameters=json.loads(json.dumps(parameters)),
        inputs={name: _digest(each, artifacts) for name, each in step.inputs.items()},
    )


def provenance_read(step: Step, artifacts: Mapping[str, Artifact]) -> tuple[ArtifactSummary, ...]:
    """What a step is told of the artifacts that it reads, if its stage asks for that.

    Each goes by the step of this run: an artifact that several steps share names the first.
    """
    if not step.stage.reads_provenance:
        return ()
    read = {each.step for each in step.inputs.values() if isinstance(each, StepOutput)}
    return tuple(_summary(name, artifact) for name, artifact in artifacts.items() if name in read)


def _summary(step: str, artifact: Artifact) -> ArtifactSummary:
    provenance = artifact.provenance
    return ArtifactSummary(
        step=step,
        kind=artifact.kind,
        digest=artifact.digest,
        created=provenance.created,
        environment=provenance.environment,
        commit=provenance.commit,
        seconds=provenance.seconds,
        size=artifact.size,
        warnings=tuple(provenance.warnings),
    )


def _digest(each: Input, artifacts: Mapping[str, Artifact]) -> str:
    if isinstance(each, ExternalInput):
        return each.digest()
    return artifacts[each.step].content_of(each.parts or None)


@cache
def source_digest(stage: str) -> str:
    """Digest of a stage's own source: its module, and all of ours that it imports."""
    digest = hashlib.sha256()
    for path in _closure(stage):
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _closure(stage: str) -> list[Path]:
    """The stage's module, every module of ours that it reaches, and the templates beside them."""
    todo, seen = [PACKAGE / f"stages/{stage}.py"], set[Path]()
    while todo:
        path = todo.pop()
        if path not in seen:
            seen.add(path)
            todo += _needed_by(path)
    return sorted(seen)


@cache
def _needed_by(path: Path) -> tuple[Path, ...]:
    """What a file of ours reads or imports itself.

    Stages share most files, and this is most of what a run with nothing to do takes.
    """
    if path.suffix != ".py":
        return ()
    needed = list(path.parent.glob(f"{path.stem}.*.j2"))
    names = _imported_names(path)
    for name in names:
        package, *parts = name.split(".")
        if package == "mmdet_jetson" and parts[:1] and parts[0] in STAGE_SIDE:
            target = PACKAGE.joinpath(*parts)
            needed += (target.with_suffix(".py"), target / "__init__.py")
    if path.name == "__init__.py" and "importlib" in names:
        # It loads its modules by names that are data: any of them may be what runs.
        needed += path.parent.glob("*.py")
    return tuple(each for each in needed if each.exists())


def _imported_names(path: Path) -> list[str]:
    """What a module imports, also inside functions; expressions import nothing."""
    found: list[str] = []
    todo: list[ast.AST] = [ast.parse(path.read_text())]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.ImportFrom):
            found.append(str(node.module))
            found += (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            found += (alias.name for alias in node.names)
        inner = (ast.stmt, ast.excepthandler, ast.match_case)
        todo += (each for each in ast.iter_child_nodes(node) if isinstance(each, inner))
    return found
