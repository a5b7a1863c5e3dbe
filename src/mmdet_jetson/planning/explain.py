"""Why a step would run again, or not: what differs from the last time it ran."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmdet_jetson.config.toml import flatten
from mmdet_jetson.planning.keys import Ingredients
from mmdet_jetson.planning.steps import Given, Step, missing_inputs
from mmdet_jetson.running.run_step import Runtime, recipe_of
from mmdet_jetson.store import Artifact, Provenance, Store, cache_tag


@dataclass(frozen=True)
class State:
    """What the store knows of a step: its artifact, or why there is none."""

    step: Step
    word: str  # cached, missing or damaged (would run now), or waiting (for a step before it)
    reasons: tuple[str, ...]
    artifact: Artifact | None = None


def states(steps: Sequence[Step], runtime: Runtime, store: Store, name: str) -> list[State]:
    """Look every step up; nothing is run or fetched."""
    made: dict[str, Artifact] = {}
    found = []
    for step in steps:
        state = _state(step, runtime, store, made, name)
        if state.artifact:
            made[step.name] = state.artifact
        found.append(state)
    return found


def _state(
    step: Step, runtime: Runtime, store: Store, made: Mapping[str, Artifact], name: str
) -> State:
    absent = missing_inputs(step, made)
    if absent:
        return State(step, "waiting", (f"needs {', '.join(absent)}, which would run first",))
    for given in step.inputs.values():
        if isinstance(given, Given) and not given.is_known():
            return State(step, "missing", ("its source was never fetched",))
    recipe = recipe_of(step, runtime, made)
    artifact = store.find(cache_tag(recipe.key))
    if artifact:
        known = "stage, source, environment, parameters and inputs are known"
        return State(step, "cached", (known,), artifact)
    run_name = f"{name}.{step.name}"
    if flaw := store.damage(cache_tag(recipe.key)) or store.damage(run_name):
        return State(step, "damaged", (f"{flaw}; run again, or `invoke verify --mend`",))
    last = store.find(run_name)
    if last is None:
        return State(step, "missing", (f"it never ran under the name {name!r}",))
    return State(step, "missing", tuple(differences(last.provenance, recipe)))


def differences(last: Provenance, now: Ingredients) -> list[str]:
    """Name every ingredient that differs from the last run, with both values where they fit."""
    found = []
    if last.source != now.source:
        found.append("the stage's own source changed")
    if last.environment != now.environment:
        found.append(f"environment: was {last.environment}, is {now.environment}")
    found += _changes("parameter", flatten(last.parameters), flatten(dict(now.parameters)))
    found += _changes("input", last.inputs, now.inputs)
    return found or ["its artifact is no longer in the store"]


def _changes(what: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({*before, *after}):
        was, now = (_plain(values.get(name, "absent")) for values in (before, after))
        if was != now:
            yield f"{what} {name}: was {_short(was)}, is {_short(now)}"


def _plain(value: Any) -> Any:
    """JSON knows no tuples: what was stored and what is configured compare as lists."""
    return list(value) if isinstance(value, tuple) else value


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
