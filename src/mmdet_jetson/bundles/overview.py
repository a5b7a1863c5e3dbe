"""What is told of the parts of a release: what each is, what was measured, what is missing."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime

from mmdet_jetson.bundles.contents import (
    CHECKPOINT,
    DATASET,
    ENGINE,
    EVALUATION,
    IMAGE_TESTS,
    ONNX,
    PROFILE,
    PROOF,
    REPORT,
    SUBJECT,
    Contents,
    PartName,
)
from mmdet_jetson.bundles.dataset_summary import is_summary
from mmdet_jetson.bundles.making import MISSING
from mmdet_jetson.bundles.remedies import COMMANDS
from mmdet_jetson.contract.conditions import conditions_told
from mmdet_jetson.contract.report import CHECKPOINT as TRAINED
from mmdet_jetson.contract.report import (
    EvaluationMetrics,
    Verdict,
    input_name,
)
from mmdet_jetson.store import Artifact
from mmdet_jetson.store.artifact import moment_of

INTERVALS = "AP50_intervals"
"""A report's metric: the 95% interval of AP50, by what was evaluated."""
Facts = dict[str, object]


def part_facts(contents: Contents, name: PartName) -> Facts:
    """What JSON says of a part: where it comes from, and under ``found`` what it tells.

    Raises:
        UserError: one of its files is damaged, or another version wrote it.
    """
    artifact = contents.parts[name]
    made = artifact.provenance
    return {
        "kind": name.kind,
        "subject": name.subject,
        "tag": contents.called.get(name, ""),
        "digest": artifact.digest,
        "content": artifact.content,
        "refers_to": artifact.subject.digest if artifact.subject else None,
        "size": artifact.size,
        "created": made.created,
        "commit": made.commit,
        "environment": made.environment,
        "seconds": made.seconds,
        "evidence": str(made.parameters.get("evidence", "")),
        "warnings": list(made.warnings),
        "files": [
            {"title": each.title, "size": each.size, "content": each.content}
            for each in artifact.entries
        ],
        "found": _FOUND.get(name.kind, _nothing)(contents, name, artifact),
    }


def age(created: str, now: datetime) -> str:
    """How long ago something was made: ``3 days``; ``?`` where that is no time."""
    if (made := moment_of(created)) is None:
        return "?"
    minutes = (now - made).total_seconds() / 60
    for unit, size, most in (("minute", 1, 60), ("hour", 60, 48), ("day", 1440, 60)):
        if minutes < size * most:
            return _plural(max(0, round(minutes / size)), unit)
    months = minutes / 1440 / 30.44
    return _plural(round(months), "month") if months < 24 else _plural(round(months / 12), "year")


def _plural(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def lacking(contents: Contents) -> list[PartName]:
    """What a release should have, and has not: as it was bundled, or by what is there.

    Of what a bundle says, only what is a part by its name: it may come from elsewhere, and commands
    are made of it.
    """
    said = contents.bundle.annotations.get(MISSING, "") if contents.bundle else ""
    named = [PartName(*each.partition(" ")[::2]) for each in said.split(",")]
    named = [each for each in named if each.kind in COMMANDS and SUBJECT.fullmatch(each.subject)]
    found = [each for each in _expected(contents) if each not in contents.parts]
    return list(dict.fromkeys([*named, *found]))


def _expected(contents: Contents) -> Iterator[PartName]:
    """The parts of a run that has an engine, whatever its configuration was."""
    if not contents.targets:
        return
    yield PartName(CHECKPOINT)
    yield PartName(EVALUATION, TRAINED)
    for target in contents.targets:
        graph = contents.get(ONNX, target)
        said = contents.document(graph, "graph.json") if graph else None
        yield PartName(EVALUATION, target)
        if isinstance(said, dict) and said.get("graph") == "fused":
            yield PartName(PROOF, target)
        yield PartName(PROFILE, target)
    yield PartName(REPORT)
    yield PartName(DATASET)


def not_reported(contents: Contents) -> list[PartName]:
    """The parts that the report does not show; it may be of another machine, or older."""
    report = contents.get(REPORT)
    if report is None:
        return []
    shown = report.provenance.inputs
    kinds = (ENGINE, EVALUATION, PROOF, PROFILE)
    named = (each for each in contents.parts if each.kind in kinds)
    return [each for each in named if input_name(*each) not in shown]


def _nothing(*_: object) -> Facts:
    return {}


def _checkpoint(contents: Contents, _: PartName, artifact: Artifact) -> Facts:
    metrics = mapping(contents.document(artifact, "metrics.json"))
    asked = artifact.provenance.parameters
    return {
        "config": asked.get("config"),
        "epochs": metrics.get("epochs"),
        "best_epoch": mapping(metrics.get("best")).get("epoch"),
        "device": metrics.get("device"),
        "taken": mapping(metrics.get("taken")) or None,
    }


def _graph(contents: Contents, _: PartName, artifact: Artifact) -> Facts:
    graph = mapping(contents.document(artifact, "graph.json"))
    return {each: graph.get(each) for each in ("graph", "backend", "opset", "input_size", "batch")}


def _engine(contents: Contents, _: PartName, artifact: Artifact) -> Facts:
    passport = mapping(contents.document(artifact, "passport.json"))
    named = ("backend", "precision", "runs_on", "versions")
    engine = mapping(passport.get("engine"))
    return {"bytes": engine.get("bytes"), **{each: passport.get(each) for each in named}}


def _evaluation(contents: Contents, name: PartName, artifact: Artifact) -> Facts:
    metrics = contents.record(artifact, "metrics.json", EvaluationMetrics)
    if metrics is None:
        return {}
    return {
        "figures": dict(metrics.figures),
        "per_class": dict(metrics.per_class),
        "AP50_interval": interval_of(contents, name.subject),
        "pictures": metrics.pictures,
        "detections": metrics.detections,
    }


def interval_of(contents: Contents, subject: str) -> tuple[float, float] | None:
    """The 95% interval of AP50, where the report has one."""
    report = contents.get(REPORT)
    found = mapping(report.provenance.metrics.get(INTERVALS)).get(subject) if report else None
    if not (isinstance(found, list) and len(found) == 2):
        return None
    low, high = map(number, found)
    return None if low is None or high is None else (low, high)


def _proof(contents: Contents, _: PartName, artifact: Artifact) -> Facts:
    proof = mapping(contents.document(artifact, "proof.json"))
    engine = mapping(mapping(proof.get("models")).get("engine"))
    deviation, network = mapping(engine.get("deviation")), mapping(proof.get("network"))
    numbers = {
        each: number(deviation.get(each)) or 0 for each in ("matched", "off", "missing", "extra")
    }
    return {
        **numbers,
        "alone": _alone(**numbers),
        "most_alone": mapping(proof.get("tolerances")).get("alone"),
        "pictures": proof.get("pictures"),
        "network_differences": network.get("differences"),
    }


def _alone(matched: float, off: float, missing: float, extra: float) -> float:
    """The share of detections without a partner, as `stages.proving.deviation` has it."""
    without = off + max(missing, extra)
    return without / (matched + without) if matched else 1.0


def _profile(contents: Contents, _: PartName, artifact: Artifact) -> Facts:
    profile = contents.profile(artifact)
    if profile is None:
        return {}
    return {
        "unit": profile.unit,
        "mean": profile.total.mean,
        "p50": profile.total.p50,
        "p90": profile.total.p90,
        "p99": profile.total.p99,
        "bounds": {name: [each.low, each.high] for name, each in profile.bounds.items()},
        "samples": profile.samples,
        "seconds": profile.seconds,
        "not_told": profile.not_told,
        "machine": dict(profile.machine),
        "warnings": list(profile.warnings),
        "conditions": conditions_told(profile.conditions) if profile.conditions else {},
    }


def _report(contents: Contents, _: PartName, artifact: Artifact) -> Facts:
    verdict = contents.record(artifact, "verdict.json", Verdict)
    if verdict is None:
        return {}
    return {
        "verdict": verdict.verdict,
        "gates": {each.name: each.outcome for each in verdict.gates},
        "does_not_show": [str(each) for each in not_reported(contents)],
    }


def _dataset(contents: Contents, _: PartName, artifact: Artifact) -> Facts:
    summary = mapping(contents.document(artifact, "summary.json"))
    return {
        "classes": summary.get("classes"),
        "splits": summary.get("splits"),
        "without_pictures": is_summary(artifact),
    }


def _tests(_: Contents, __: PartName, artifact: Artifact) -> Facts:
    made = artifact.provenance
    return {
        **made.metrics,
        "image": made.facts.get("image"),
        "image_digest": made.inputs.get("image"),
        "emulated": made.facts.get("emulated"),
        "stand_in": made.facts.get("stand_in"),
    }


_FOUND: Mapping[str, Callable[[Contents, PartName, Artifact], Facts]] = {
    CHECKPOINT: _checkpoint,
    ONNX: _graph,
    ENGINE: _engine,
    EVALUATION: _evaluation,
    PROOF: _proof,
    PROFILE: _profile,
    REPORT: _report,
    DATASET: _dataset,
    IMAGE_TESTS: _tests,
}


def mapping(value: object) -> Mapping[str, object]:
    """What JSON has as an object; else an empty one."""
    return value if isinstance(value, dict) else {}


def number(value: object) -> float | None:
    """A number of whoever wrote it; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:  # JSON has whole numbers of any size
        return None


def newest(parts: Iterable[Artifact]) -> str:
    """When the last of some artifacts was made."""
    return max((each.provenance.created for each in parts), default="")
