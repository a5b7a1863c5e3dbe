"""What is shown of a pipeline: the state of its steps, and what a run ends with."""

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from rich.table import Table

from mmdet_jetson.planning.explain import State
from mmdet_jetson.store import Artifact, Store


class GateOutcome(msgspec.Struct, frozen=True):
    """One gate of ``verdict.json``."""

    name: str
    outcome: str
    sentence: str


class Verdict(msgspec.Struct, frozen=True):
    """``verdict.json``: pass, fail or inconclusive, and the gates that say so."""

    verdict: str
    gates: list[GateOutcome]

    def sentences(self, outcome: str) -> list[str]:
        """What the gates with this outcome say."""
        return [gate.sentence for gate in self.gates if gate.outcome == outcome]


def status(name: str, states: Sequence[State]) -> Table:
    """Tabulate the state of every step, narrow enough for 80 columns; times are local."""
    lines = Table(title=f"pipeline {name}", show_edge=False, pad_edge=False)
    lines.add_column("step", no_wrap=True)
    for column in ("state", "artifact", "made"):
        lines.add_column(column, overflow="fold")
    lines.add_column("size", justify="right", overflow="fold")
    for state in states:
        lines.add_row(state.step.name, state.word, *_facts(state.artifact))
    return lines


def _facts(artifact: Artifact | None) -> tuple[str, str, str]:
    if artifact is None:
        return "", "", ""
    made = datetime.fromisoformat(artifact.provenance.created).astimezone()
    return artifact.digest[7:19], f"{made:%Y-%m-%d %H:%M}", f"{artifact.size / 1e6:.1f} MB"


def read_verdict(store: Store, report: Artifact) -> Verdict:
    """Read the verdict of a report artifact."""
    return msgspec.json.decode(store.read(report, "verdict.json"), type=Verdict)


def place_report(store: Store, report: Artifact, name: str) -> Path:
    """Put the page of a report artifact at ``reports/<name>.html`` of the store's folder."""
    page = store.root / "reports" / f"{name}.html"
    content = store.read(report, "report.html")
    if not page.exists() or page.read_bytes() != content:
        page.parent.mkdir(exist_ok=True)
        temporary = page.with_suffix(f".{os.getpid()}.partial")
        temporary.write_bytes(content)
        temporary.replace(page)
    return page


def table(store: Store, made: Mapping[str, Artifact], page: Path) -> Table:
    """Tabulate AP of every model and latency of every engine, between verdict and page."""
    verdict = read_verdict(store, made["report"])
    lines = Table(title=f"verdict: {verdict.verdict}", caption=f"report: {page}")
    lines.add_column("model")
    for column in ("AP", "AP50", "latency p50", "evidence"):
        lines.add_column(column, justify="right")
    for step, artifact in made.items():
        if artifact.kind == "evaluation":
            lines.add_row(*_row(store, made, step, artifact))
    return lines


def _row(
    store: Store, made: Mapping[str, Artifact], step: str, artifact: Artifact
) -> tuple[str, ...]:
    metrics = _json(store, artifact, "metrics.json")
    figures = metrics["figures"]
    name = step.removeprefix("evaluate-")
    profile = made.get(f"profile-{name}")
    latency = ""
    if profile:
        latency = f"{_json(store, profile, 'profile.json')['total']['p50']:.1f} ms"
        name = f"engine {name}"
    return name, _figure(figures["AP"]), _figure(figures["AP50"]), latency, metrics["evidence"]


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _json(store: Store, artifact: Artifact, file: str) -> Any:
    return msgspec.json.decode(store.read(artifact, file))
