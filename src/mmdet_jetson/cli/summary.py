"""What is shown of a pipeline: the state of its steps, and what a run ends with."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from rich.markup import escape
from rich.table import Table

from mmdet_jetson.contract.files import write_whole
from mmdet_jetson.contract.records import decode
from mmdet_jetson.contract.report import EvaluationMetrics, Verdict, not_judged, profile_of
from mmdet_jetson.planning import stages
from mmdet_jetson.planning.explain import State
from mmdet_jetson.planning.given_artifacts import GivenArtifact
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.store import Artifact, Store

T = TypeVar("T")
DATASET_PAGE = "page.html"
DATASET_HEADING = "Dataset at a glance"
SHOWN = (stages.EVALUATE_CHECKPOINT, stages.EVALUATE_ENGINE, stages.PROFILE)
"""The stages whose artifacts `table` reads, besides the report."""


def status(name: str, states: Sequence[State]) -> Table:
    """Tabulate the state of every step, narrow enough for 80 columns; times are local."""
    lines = Table(title=f"pipeline {name}", show_edge=False, pad_edge=False)
    lines.add_column("step", no_wrap=True)
    for column in ("state", "artifact", "made"):
        lines.add_column(column, overflow="fold")
    lines.add_column("size", justify="right", overflow="fold")
    for state in states:
        lines.add_row(state.step.name, state.word.removeprefix("in the "), *_facts(state.artifact))
    return lines


def _facts(artifact: Artifact | None) -> tuple[str, str, str]:
    if artifact is None:
        return "", "", ""
    made = datetime.fromisoformat(artifact.provenance.created).astimezone()
    return artifact.digest[7:19], f"{made:%Y-%m-%d %H:%M}", f"{artifact.size / 1e6:.1f} MB"


def read_verdict(store: Store, report: Artifact) -> Verdict:
    """Read the verdict of a report artifact."""
    return _read(store, report, "verdict.json", Verdict)


def place_report(store: Store, report: Artifact, name: str) -> Path:
    """Put the page of a report artifact at ``reports/<name>.html`` of the store's folder."""
    return _place(store, store.read(report, "report.html"), name)


def place_dataset_page(store: Store, dataset: Artifact, name: str) -> Path | None:
    """Put the page of a dataset beside that, as ``<name>-dataset.html``.

    None where it has none, as those of earlier releases.
    """
    if DATASET_PAGE not in dataset.titles:
        return None
    # The artifact may be of several runs, and is whatever they are called.
    named = f"{DATASET_HEADING}: {name}, {dataset.digest[7:19]}<".encode()
    content = store.read(dataset, DATASET_PAGE).replace(f"{DATASET_HEADING}<".encode(), named)
    return _place(store, content, f"{name}-dataset")


def _place(store: Store, content: bytes, name: str) -> Path:
    page = store.root / "reports" / f"{name}.html"
    if not page.exists() or page.read_bytes() != content:
        page.parent.mkdir(exist_ok=True)
        write_whole(page, content)
    return page


def table(
    store: Store,
    steps: Sequence[Step],
    artifacts: Mapping[str, Artifact],
    page: Path,
    given: Sequence[GivenArtifact] = (),
) -> Table:
    """Tabulate AP of every model and latency of every engine, between verdict and page.

    ``artifacts`` are those of the steps; the evaluations among what is ``given`` come first.
    """
    (report,) = (step for step in steps if step.stage is stages.REPORT)
    verdict = read_verdict(store, artifacts[report.name])
    open_ = not_judged(verdict.gates)
    title = escape(f"verdict: {verdict.verdict}" + (f"\n{open_}" if open_ else ""))
    lines = Table(title=title, caption=f"report: {escape(str(page))}")
    lines.add_column("model")
    for column in ("AP", "AP50", "latency p50", "evidence"):
        lines.add_column(column, justify="right")
    latencies = {
        step.subject: _latency(store, artifacts[step.name])
        for step in steps
        if step.stage is stages.PROFILE
    }
    evaluations = [
        *((each.subject, each.store, each.artifact) for each in given),
        *((step.subject, store, artifacts[step.name]) for step in steps if step.name in artifacts),
    ]
    for subject, place, artifact in evaluations:
        if artifact.kind == stages.EVALUATE_ENGINE.makes:
            metrics = _read(place, artifact, "metrics.json", EvaluationMetrics)
            lines.add_row(
                f"engine {subject}" if subject in latencies else subject,
                figure(metrics.figures["AP"]),
                figure(metrics.figures["AP50"]),
                latencies.get(subject, ""),
                metrics.evidence,
            )
    return lines


def _latency(store: Store, profile: Artifact) -> str:
    told = profile_of(json.loads(store.read(profile, "profile.json")))
    return f"{told.total.p50:.1f} ms"


def figure(value: float | None) -> str:
    """A figure in three decimals; a dash where there is none."""
    return "–" if value is None else f"{value:.3f}"


def _read(store: Store, artifact: Artifact, file: str, kind: type[T]) -> T:
    return decode(kind, json.loads(store.read(artifact, file)), file)
