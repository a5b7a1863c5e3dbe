"""What the menu's entries do: each verb is one function here, called by ``tasks.py``."""

import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from invoke.exceptions import Exit
from rich.console import Console

from mmdet_jetson.cli import summary
from mmdet_jetson.cli.progress import Display
from mmdet_jetson.config.images import load_images
from mmdet_jetson.config.pipeline import Project, load_project, with_precision
from mmdet_jetson.config.settings import Settings, read_settings
from mmdet_jetson.config.toml import nearest
from mmdet_jetson.errors import GateFailed, NotProven, UserError
from mmdet_jetson.planning import compatibility as fit
from mmdet_jetson.planning import explain, pipeline
from mmdet_jetson.planning.inputs import Inputs
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.running.jobs import sweep
from mmdet_jetson.running.run_step import Runtime, Workshop
from mmdet_jetson.runtimes.selection import Where
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
    runtime: Runtime
    display: Display

    @property
    def name(self) -> str:
        """The run name; each artifact is tagged ``<name>.<step>``."""
        return self.project.pipeline.name


@contextmanager
def session(
    config: str,
    overrides: Sequence[str],
    where: Where,
    targets: Sequence[str] = (),
    precision: str = "",
) -> Iterator[Session]:
    """Read the configuration, plan the steps and open the store; nothing runs yet.

    ``targets`` and ``precision`` replace those of the configuration.
    """
    settings = read_settings()
    if targets:
        overrides = [*overrides, f"targets={json.dumps(list(targets))}"]
    project = load_project(Path(config), overrides)
    if precision:
        project = with_precision(project, precision)
    display = Display(Console(stderr=True))
    steps = pipeline.plan(project, Inputs(project, settings, display.bytes_fetched))
    with display:
        store = Store(settings.artifacts)
        runtime = where.choose(settings, store, display.say)
        yield Session(project, settings, steps, store, runtime, display)


def make(now: Session, goals: Iterable[str], again: Iterable[str] = ()) -> dict[str, Artifact]:
    """Make the artifacts of the goals and of all they need; those of ``again`` even if known."""
    steps = pipeline.needed_for(now.steps, goals)
    shop = Workshop(now.runtime, now.store, now.display, frozenset(again))
    made = pipeline.run(steps, shop, now.name)
    sweep(now.store.root / "jobs")
    return made


def run_pipeline(config: str, overrides: Sequence[str], where: Where) -> None:
    """Make everything up to the report, show the result, and fail where a gate fails."""
    with session(config, overrides, where) as now:
        _check_targets(now, "pipeline")
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
    where: Where,
    targets: Sequence[str] = (),
    *,
    again: bool = False,
) -> None:
    """Make one verb's artifacts, for every target where it has one, and say where they are."""
    with session(config, overrides, where, targets) as now:
        if verb in ("engine", "evaluate", "profile"):
            _check_targets(now, verb)
        goals = [step.name for step in now.steps if step.name.split("-")[0] == verb]
        made = make(now, goals, goals if again else ())
    _tell(now, made, goals)


def build_jetson_engine(
    target: str, config: str, overrides: Sequence[str], where: Where, *, precision: str = ""
) -> None:
    """Make a target's engine, and its evidence where it can be run, on a machine that fits it.

    That machine is this one, unless ``where`` names an engine: then all before the engine is made
    here, and the rest there.
    """
    where = replace(where, only_deploy=bool(where.engine))
    with session(config, overrides, where, [target], precision) as now:
        _check_targets(now, "build-jetson-engine")
        verbs = ["engine"]
        if fit.can_run(now.project.targets[target], now.runtime.machine):
            verbs += ["evaluate", "profile"]
        goals = [f"{verb}-{target}" for verb in verbs]
        made = make(now, goals)
    _tell(now, made, goals)


def _check_targets(now: Session, goal: str) -> None:
    images = load_images(now.settings.root / "configs/images.toml")
    fit.check_targets(now.project, goal, now.runtime.machine, images)


def _tell(now: Session, made: Mapping[str, Artifact], goals: Sequence[str]) -> None:
    """Say of each goal what it is called and how to get at its files."""
    for goal in goals:
        tag = f"{now.name}.{goal}"
        Console().print(
            f"{made[goal].kind} {tag}: {made[goal].digest}\n"
            f"  its files: invoke checkout {tag} FOLDER",
            highlight=False,
            soft_wrap=True,
        )


def show_status(config: str, overrides: Sequence[str], where: Where) -> None:
    """Tabulate every step: cached, missing or waiting for one before it."""
    with session(config, overrides, where) as now:
        states = explain.states(now.steps, now.runtime, now.store, now.name)
    Console().print(summary.status(now.name, states))


def show_why(name: str, config: str, overrides: Sequence[str], where: Where) -> None:
    """Say of one step, or of all steps of a stage, why it would run or not."""
    with session(config, overrides, where) as now:
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
