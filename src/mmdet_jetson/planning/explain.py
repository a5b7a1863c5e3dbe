"""Why a step would run again, or not: what differs from the last time it ran."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from mmdet_jetson.config.toml import flatten
from mmdet_jetson.planning.keys import Ingredients
from mmdet_jetson.planning.steps import Step, is_fetched, missing_inputs
from mmdet_jetson.store import Artifact, Provenance, Store, cache_tag

Artifacts = Mapping[str, Artifact]
IngredientsOf = Callable[[Step, Artifacts], Ingredients]
"""What decides a step's result where it would run, given the artifacts of the steps before it."""
IN_REGISTRY = "in the registry"


@dataclass(frozen=True)
class State:
    """What the store knows of a step: its artifact, or why there is none.

    ``word`` is cached, in the registry (it would be fetched when something reads it), missing or
    damaged (it would run now), waiting (for a step before it), or not needed (it only has to come
    before steps whose results are known). ``key`` is empty where it is not known yet.
    """

    step: Step
    word: str
    reasons: tuple[str, ...]
    artifact: Artifact | None = None
    key: str = ""


Look = Callable[[str, str], Artifact | None]
"""Asks a registry for the result of a key, which has a kind."""


def states(
    steps: Sequence[Step],
    ingredients_of: IngredientsOf,
    store: Store,
    name: str,
    look: Look = lambda _key, _kind: None,
) -> list[State]:
    """Look every step up under the run name ``name``; nothing is run or fetched.

    What the store does not have is asked of a registry with ``look``.
    """
    known = _Known(ingredients_of, store, name, look)
    artifacts: dict[str, Artifact] = {}
    found = []
    for step in steps:
        state = known.state(step, artifacts)
        if state.artifact:
            artifacts[step.name] = state.artifact
        found.append(state)
    return [_unless_idle(state, found) for state in found]


def _unless_idle(state: State, found: Sequence[State]) -> State:
    before = [each for each in found if state.step.name in each.step.after]
    if state.artifact or not before or not all(each.artifact for each in before):
        return state
    names = ", ".join(each.step.name for each in before)
    known = f"it only has to come before {names}, which is known"
    return replace(state, word="not needed", reasons=(known,))


@dataclass(frozen=True)
class _Known:
    """What is known of results: in the store, there by run names, and in the registry."""

    ingredients_of: IngredientsOf
    store: Store
    name: str
    look: Look

    def state(self, step: Step, artifacts: Artifacts) -> State:
        """Look a step up, given the artifacts of the steps before it."""
        absent = missing_inputs(step, artifacts)
        if absent:
            return State(step, "waiting", (f"needs {', '.join(absent)}, which would run first",))
        if not is_fetched(step):
            return State(step, "missing", ("its source was never fetched",))
        now = self.ingredients_of(step, artifacts)
        if artifact := self.store.find(cache_tag(now.key)):
            reason = "nothing has changed since it was made"
            return State(step, "cached", (reason,), artifact, now.key)
        if artifact := self.look(now.key, step.kind):
            reason = f"made on {artifact.provenance.created}; it is fetched when something reads it"
            return State(step, IN_REGISTRY, (reason,), artifact, now.key)
        return self._absent(step, now)

    def _absent(self, step: Step, now: Ingredients) -> State:
        run_name = f"{self.name}.{step.name}"
        if flaw := self.store.damage(cache_tag(now.key)) or self.store.damage(run_name):
            reason = f"{flaw}; run again, or `invoke verify --mend`"
            return State(step, "damaged", (reason,), key=now.key)
        last = self.store.find(run_name)
        never = (f"it never ran under the name {run_name!r}",)
        reasons = tuple(differences(last.provenance, now)) if last else never
        return State(step, "missing", reasons, key=now.key)


def differences(last: Provenance, now: Ingredients) -> list[str]:
    """Name every ingredient that differs from the last run, with both values where they fit."""
    found = []
    if last.source != now.source:
        found.append("the stage's own source changed")
    if last.environment != now.environment:
        found.append(changes_of_environment(last.environment, now.environment))
    found += _changes("parameter", flatten(last.parameters), flatten(now.parameters))
    found += _changes("input", last.inputs, now.inputs)
    return found or ["its artifact is no longer in the store"]


def changes_of_environment(was: str, now: str) -> str:
    """Name the parts of an environment's identity that differ: was driver 535, is driver 550."""
    gone, new = parts_of_environments(was, now)
    name = now.partition(":")[0]
    same = f" {name}" if was.partition(":")[0] == name else ""
    return f"environment{same}: was {_parts(gone)}, is {_parts(new)}"


def parts_of_environments(was: str, now: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The parts that only the first, and that only the second of two identities has."""
    before, after = was.split(":"), now.split(":")
    gone = tuple(part for part in before if part not in after)
    return gone, tuple(part for part in after if part not in before)


def _parts(parts: Sequence[str]) -> str:
    return ", ".join(parts) or "without that"


def _changes(what: str, before: Mapping[str, object], after: Mapping[str, object]) -> Iterator[str]:
    for name in sorted({*before, *after}):
        was, now = (values.get(name, "absent") for values in (before, after))
        if was != now:
            yield f"{what} {name}: was {_short(was)}, is {_short(now)}"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
