"""The cache key: a digest of everything that a step's result depends on."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from mmdet_jetson.contract.job import ArtifactSummary
from mmdet_jetson.contract.records import encode
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning.stage_source import source_digest
from mmdet_jetson.planning.steps import ExternalInput, Input, Step, StepOutput
from mmdet_jetson.store import Artifact


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
        source=source_of(step),
        environment=environment,
        # As it comes back from the store, where a tuple is a list.
        parameters=json.loads(json.dumps(parameters)),
        inputs=input_digests(step, artifacts),
    )


def source_of(step: Step) -> str:
    """Digest of the source that the step's stage would run now."""
    return source_digest(step.stage.module)


def input_digests(step: Step, artifacts: Mapping[str, Artifact]) -> dict[str, str]:
    """Digest of the content of each input, and of what the step's artifact will refer to.

    Two engines may detect alike to the last bit, and a proof names one of them.
    """
    digests = {name: _digest(each, artifacts) for name, each in step.inputs.items()}
    read = {each.step for each in step.inputs.values() if isinstance(each, StepOutput)}
    if step.judges and step.judges not in read:
        digests["judged"] = artifacts[step.judges].content
    return digests


def provenance_read(step: Step, artifacts: Mapping[str, Artifact]) -> tuple[ArtifactSummary, ...]:
    """What a step is told of the artifacts that it reads, if its stage asks for that.

    Each goes by the step of this run: an artifact that several steps share names the first. Those
    that were handed over come before, by the step that made them.
    """
    if not step.stage.reads_provenance:
        return ()
    outside = (each for each in step.inputs.values() if isinstance(each, ExternalInput))
    given = [each.artifact for each in outside if each.artifact]
    told = [_summary(artifact.provenance.step, artifact) for artifact in given]
    read = {each.step for each in step.inputs.values() if isinstance(each, StepOutput)}
    made = (_summary(name, artifact) for name, artifact in artifacts.items() if name in read)
    return (*told, *made)


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
        inputs=dict(provenance.inputs),
    )


def _digest(each: Input, artifacts: Mapping[str, Artifact]) -> str:
    if isinstance(each, ExternalInput):
        return each.digest()
    made = artifacts[each.step]
    try:
        return made.content_of(each.parts or None)
    except KeyError as lacking:
        raise UserError(
            f"{each.step}: its result {made.digest[7:19]} has no {lacking.args[0]}",
            "something else made it: remove it where it is from, the store or the registry",
        ) from lacking
