"""The cache key: a digest of everything that a step's result depends on."""

import ast
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mmdet_jetson.planning.steps import Given, Made, Step
from mmdet_jetson.store import Artifact

STAGES = Path(__file__).resolve().parents[1] / "stages"


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


def ingredients(step: Step, environment: str, made: Mapping[str, Artifact]) -> Ingredients:
    """Collect what decides a step's result, given the artifacts made before it.

    ``environment`` is the identity of the environment it would run in.
    """
    return Ingredients(
        stage=step.stage,
        source=source_digest(step.stage),
        environment=environment,
        parameters=_parameters(step, made),
        inputs={name: _digest(given, made) for name, given in step.inputs.items()},
    )


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
