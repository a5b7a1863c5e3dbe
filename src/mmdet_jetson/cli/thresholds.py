"""The threshold to deploy, from evaluations: told after a run, and put beside an engine."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from rich.console import Console

from mmdet_jetson.cli.summary import figure
from mmdet_jetson.contract.analysis import ANALYSIS, THRESHOLDS, Analysis, Thresholds
from mmdet_jetson.contract.records import ContractError, decode, write_record
from mmdet_jetson.contract.report import DOCUMENTED
from mmdet_jetson.files import disk_errors
from mmdet_jetson.planning.stages import EVALUATE_ENGINE
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.store import Artifact, Store, is_cache_tag


def place_thresholds(store: Store, engine: Artifact, folder: Path) -> str:
    """Write ``thresholds.json`` into a checked-out engine's folder; say so, or why there is none.

    It is of an evaluation in the store that judges this very engine.
    """
    evaluation = evaluation_of(store, engine)
    if evaluation is None:
        return f"no {THRESHOLDS}: the store has no evaluation of this engine that names a threshold"
    named = f"evaluation {evaluation.digest[7:19]}"
    try:
        thresholds = Thresholds.of(read_analysis(store, evaluation), evaluation.digest)
    except ContractError as error:
        return f"no {THRESHOLDS}: the analysis of {named} cannot be read: {error}"
    if thresholds is None:
        return f"no {THRESHOLDS}: no detection is right in {named}"
    with disk_errors(folder):
        write_record(folder / THRESHOLDS, thresholds)
    return f"{THRESHOLDS}: {thresholds.deploy.threshold!r}, {thresholds.reason} ({named})"


def evaluation_of(store: Store, engine: Artifact) -> Artifact | None:
    """Find an evaluation of an engine with an analysis; older releases wrote none.

    One that has a name comes first, since a run moves it to what its configuration asks for, be
    that older; of several it is the newest.
    """
    named = {entry.digest for tag, entry in store.tags().items() if not is_cache_tag(tag)}
    judging = [
        each
        for each in store.artifacts()
        if each.kind == EVALUATE_ENGINE.makes
        and each.subject is not None
        and each.subject.digest == engine.digest
        and ANALYSIS in each.titles
    ]

    def rank(each: Artifact) -> tuple[bool, str, str]:
        return each.digest in named, each.provenance.created, each.digest

    return max(judging, key=rank, default=None)


def has_analysis(evaluation: Artifact) -> bool:
    """Whether an evaluation tells which threshold to deploy."""
    return ANALYSIS in evaluation.titles


def read_analysis(store: Store, evaluation: Artifact) -> Analysis:
    """Read what an evaluation tells beyond AP.

    Raises:
        ContractError: it is not as this release writes it.
    """
    try:
        content = json.loads(store.read(evaluation, ANALYSIS))
    except ValueError as error:
        raise ContractError(f"{ANALYSIS} is not JSON: {error}") from error
    return decode(Analysis, content, ANALYSIS)


def tell_thresholds(store: Store, made: Mapping[str, Artifact], steps: Iterable[Step]) -> None:
    """Say of each target's engine that was evaluated from which score on to deploy it."""
    of_engines = [each for each in steps if each.stage is EVALUATE_ENGINE]
    for step in of_engines:
        known = step.name in made and step.subject != DOCUMENTED
        line = deploy_line(store, made[step.name], step.subject) if known else ""
        if line:
            Console().print(line, highlight=False, markup=False, soft_wrap=True)


def deploy_line(store: Store, evaluation: Artifact, target: str) -> str:
    """Say in one line from which score on to deploy; "" where the evaluation does not tell."""
    if ANALYSIS not in evaluation.titles:
        return ""
    try:
        analysis = read_analysis(store, evaluation)
    except ContractError as error:
        return f"threshold of engine {target}: unknown, since {error}"
    point = analysis.deploy
    if point is None:
        return f"threshold of engine {target}: none, no detection is right"
    return (
        f"threshold of engine {target}: {point.threshold!r} (precision {figure(point.precision)}, "
        f"recall {figure(point.recall)}), {analysis.reason}"
    )
