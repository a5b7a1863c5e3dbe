"""What the menu's entries do: each verb is one function here, called by ``tasks.py``."""

import functools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from invoke.exceptions import Exit
from rich.console import Console

from mmdet_jetson import explain, pipeline, summary
from mmdet_jetson.config import Project, load_project, nearest
from mmdet_jetson.errors import GateFailed, NotProven, UserError
from mmdet_jetson.inputs import Inputs
from mmdet_jetson.jobs import sweep
from mmdet_jetson.progress import Display
from mmdet_jetson.runtimes.host import HostRuntime
from mmdet_jetson.settings import Settings, read_settings
from mmdet_jetson.stage import Workshop
from mmdet_jetson.steps import Step
from mmdet_jetson.store import Artifact, Store
from mmdet_jetson.store.disk import disk_errors

CANCELLED = 130

F = TypeVar("F", bound=Callable[..., Any])


def answering(verb: F) -> F:
    """Turn our errors into one sentence and an exit code, in this one place; bugs pass through."""

    @functools.wraps(verb)
    def run(*arguments: Any, **options: Any) -> Any:
        try:
            with disk_errors(Path("the store or the cache")):
                return verb(*arguments, **options)
        except UserError as error:
            raise Exit(f"error: {error}", error.exit_code) from None
        except KeyboardInterrupt:
            raise Exit("cancelled; run it again to go on from there", CANCELLED) from None

    return run  # type: ignore[return-value]


@dataclass(frozen=True)
class Session:
    """One call of the menu: the project as configured, and the workshop its steps run in."""

    project: Project
    settings: Settings
    steps: tuple[Step, ...]
    store: Store
    runtime: HostRuntime
    display: Display

    @property
    def name(self) -> str:
        """The run name; each artifact is tagged ``<name>.<step>``."""
        return self.project.pipeline.name


@contextmanager
def session(
    config: str, overrides: Sequence[str], targets: Sequence[str] = ()
) -> Iterator[Session]:
    """Read the configuration, plan the steps and open the store; nothing runs yet."""
    settings = read_settings()
    if targets:
        overrides = [*overrides, f"targets={json.dumps(list(targets))}"]
    project = load_project(Path(config), overrides)
    display = Display(Console(stderr=True))
    steps = pipeline.plan(project, Inputs(project, settings, display.bytes_fetched))
    with display:
        yield Session(
            project,
            settings,
            steps,
            Store(settings.artifacts),
            HostRuntime(settings, display.say),
            display,
        )


def make(now: Session, goals: Iterable[str], again: Iterable[str] = ()) -> dict[str, Artifact]:
    """Make the artifacts of the goals and of all they need; those of ``again`` even if known."""
    steps = pipeline.needed_for(now.steps, goals)
    shop = Workshop(now.runtime, now.store, now.display, frozenset(again))
    made = pipeline.run(steps, shop, now.name)
    sweep(now.store.root / "jobs")
    return made


def run_pipeline(config: str, overrides: Sequence[str]) -> None:
    """Make everything up to the report, show the result, and fail where a gate fails."""
    with session(config, overrides) as now:
        pipeline.check_targets(now.project, "pipeline")
        made = make(now, ["report"])
    page = summary.place_report(now.store, made["report"], now.name)
    Console().print(summary.table(now.store, made, page))
    verdict = summary.read_verdict(now.store, made["report"])
    for outcome, error in (("fail", GateFailed), ("inconclusive", NotProven)):
        if sentences := verdict.sentences(outcome):
            raise error(f"the verdict is {outcome}: {sentences[0]}", f"read {page}")


def run_verb(
    verb: str,
    config: str,
    overrides: Sequence[str],
    targets: Sequence[str] = (),
    *,
    again: bool = False,
) -> None:
    """Make one verb's artifacts, for every target where it has one, and say where they are."""
    with session(config, overrides, targets) as now:
        if verb in ("engine", "evaluate", "profile"):
            pipeline.check_targets(now.project, verb)
        goals = [step.name for step in now.steps if step.name.split("-")[0] == verb]
        made = make(now, goals, goals if again else ())
    for goal in goals:
        tag = f"{now.name}.{goal}"
        Console().print(
            f"{made[goal].kind} {tag}: {made[goal].digest}\n"
            f"  its files: invoke checkout {tag} FOLDER",
            highlight=False,
            soft_wrap=True,
        )


def show_status(config: str, overrides: Sequence[str]) -> None:
    """Tabulate every step: cached, missing or waiting for one before it."""
    with session(config, overrides) as now:
        states = explain.states(now.steps, now.runtime, now.store, now.name)
    Console().print(summary.status(now.name, states))


def show_why(name: str, config: str, overrides: Sequence[str]) -> None:
    """Say of one step, or of all steps of a stage, why it would run or not."""
    with session(config, overrides) as now:
        states = explain.states(now.steps, now.runtime, now.store, now.name)
    chosen = [s for s in states if name in (s.step.name, s.step.stage)]
    chosen = chosen or [s for s in states if s.step.name.split("-")[0] == name]
    if not chosen:
        names = [step.name for step in now.steps]
        raise UserError(f"{name!r} is no step of this pipeline", nearest(name, names))
    for state in chosen:
        Console().print(f"{state.step.name}: {state.word}", highlight=False, markup=False)
        for reason in state.reasons:
            Console().print(f"  {reason}", highlight=False, markup=False, soft_wrap=True)
