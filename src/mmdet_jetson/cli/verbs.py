"""What the commands of the pipeline do: each is one function here, called by ``tasks.py``."""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console

from mmdet_jetson.cli import summary
from mmdet_jetson.cli.machines import check_targets, open_machines
from mmdet_jetson.cli.progress import Display
from mmdet_jetson.cli.request import Request, read_plan
from mmdet_jetson.cli.sharing import open_shared
from mmdet_jetson.cli.submitting import submitted
from mmdet_jetson.cli.thresholds import tell_thresholds
from mmdet_jetson.config.pipeline import Project
from mmdet_jetson.config.settings import Settings
from mmdet_jetson.config.toml import nearest
from mmdet_jetson.contract.report import FAIL, INCONCLUSIVE
from mmdet_jetson.errors import GateFailed, NotProven, UserError
from mmdet_jetson.planning import compatibility, explain, stages
from mmdet_jetson.planning.given import Given
from mmdet_jetson.planning.steps import Step, needed_for
from mmdet_jetson.registry.shared import SharedStore
from mmdet_jetson.running.jobs import sweep
from mmdet_jetson.running.run_step import RunContext, ingredients_on
from mmdet_jetson.running.run_steps import run_steps, with_known_hosts
from mmdet_jetson.runtimes.protocol import Runtimes
from mmdet_jetson.slurm.records import Ending
from mmdet_jetson.store import Artifact, Store
from mmdet_jetson.tracking.trainings import Trainings

ORIGINS = {
    stages.TRAINING.verb: (
        "nothing is trained, as [model] names a model that is trained already",
        "invoke pipeline goes on from there; remove [model] to train",
    ),
    stages.MODEL.verb: (
        "there is no [model], so the checkpoint is that of a training",
        'write [model] with checkpoint = "..." to take one that is trained already',
    ),
}
"""What to say where a command has nothing to do because the checkpoint has another origin."""


@dataclass(frozen=True)
class Session:
    """One command at work: the project as configured, its steps and what they run on."""

    project: Project
    settings: Settings
    steps: tuple[Step, ...]
    store: Store
    runtimes: Runtimes
    display: Display
    given: Given | None
    """What the plan starts from, where that is an export from elsewhere."""
    shared: SharedStore | None = None
    """The registry that the store is shared through, if there is one."""
    pushes: bool = False
    """Whether what is made goes there."""
    jobs: int | None = None
    """How many steps run at once; None for what the machines bear."""
    request: Request | None = None
    ending: Ending | None = None
    """How the command goes on once its artifacts are made."""

    @property
    def name(self) -> str:
        """The run name; each artifact is tagged ``<name>.<step>``."""
        return self.project.pipeline.name

    def steps_of(self, verb: str) -> list[Step]:
        """The steps that a command of that name makes.

        Raises:
            UserError: there are none behind what is given.
        """
        steps = [step for step in self.steps if step.stage.verb == verb]
        if not steps and self.given:
            self.given.refuse(verb)
        if not steps and verb in ORIGINS:
            raise UserError(f"{self.project.path}: {ORIGINS[verb][0]}", ORIGINS[verb][1])
        return steps

    def states(self, steps: Sequence[Step] | None = None) -> list[explain.State]:
        """What the store knows of every step, or of some and all before them."""
        steps = steps or self.steps
        context = RunContext(self.runtimes, self.store, self.display, shared=self.shared)
        runtimes = with_known_hosts(steps, context).runtimes
        ingredients = functools.partial(ingredients_on, runtimes)
        look = [self.shared.look] if self.shared else []
        return explain.states(steps, ingredients, self.store, self.name, *look)


@contextmanager
def session(request: Request, ending: Ending | None = None) -> Iterator[Session]:
    """Read the configuration, plan the steps and open the store; nothing runs yet.

    ``ending`` is how the command goes on, where it can be followed from elsewhere.

    Raises:
        UserError: something of that is wrong; or, at the end, not all could be pushed.
    """
    plan = read_plan(request)
    project, settings, store, display = plan.project, plan.settings, plan.store, plan.display
    with open_shared(project, settings, store, display, push=request.push) as shared:
        yield Session(
            project=project,
            settings=settings,
            steps=plan.steps,
            store=store,
            runtimes=open_machines(
                request.runtime, project, settings, store, display, for_device=request.for_device
            ),
            display=display,
            given=plan.given,
            shared=shared,
            pushes=request.push or settings.ci,
            jobs=request.jobs,
            request=request,
            ending=ending,
        )


def make(now: Session, goals: Iterable[Step], *, again: bool = False) -> dict[str, Artifact]:
    """Make the goals and all they need; with ``again`` the goals even if they are known.

    Whether results can be pushed is known before any is made.
    """
    goals = list(goals)
    steps = needed_for(now.steps, goals)
    names = frozenset(goal.name for goal in goals)
    trainings = Trainings(now.store, now.name, now.display.say)
    context = RunContext(
        runtimes=now.runtimes,
        store=now.store,
        listener=now.display,
        again=names if again else frozenset(),
        shared=now.shared,
        pushes=now.pushes,
        recorder=trainings,
        jobs=now.jobs,
    )
    with now.display:
        if now.shared and now.pushes:
            now.shared.check_write()
        with submitted(now, steps, context) as followed:
            made = run_steps(steps, followed, now.name, names)
        trainings.made(made)
        if now.shared:
            now.shared.settle()
    sweep(now.store.root / "jobs")
    return made


def run_pipeline(request: Request, command: str = "pipeline") -> None:
    """Make everything up to the report, show the result, and fail where a gate fails.

    ``command`` is what was typed: ``report`` leaves in a registry what it does not show.
    """
    with session(request, Ending("pipeline", {"command": command})) as now:
        (report,) = now.steps_of(stages.REPORT.verb)
        _check_targets(now, command)
        shown = (*summary.SHOWN, stages.REPORT)
        goals = [each for each in now.steps if command != "report" or each.stage in shown]
        made = make(now, [step for step in goals if step.stage.verb != stages.CHECK.verb])
        page = summary.place_report(now.store, made[report.name], now.name)
        given = now.given.references if now.given else ()
        Console().print(summary.table(now.store, now.steps, made, page, given))
        tell_thresholds(now.store, made, now.steps)
        verdict = summary.read_verdict(now.store, made[report.name])
        for outcome, error in ((FAIL, GateFailed), (INCONCLUSIVE, NotProven)):
            if sentences := verdict.sentences(outcome):
                raise error(f"the verdict is {outcome}: {sentences[0]}", f"read {page}")


def run_verb(verb: str, request: Request, *, again: bool = False) -> None:
    """Make one command's artifacts, for every target where it has one, and say where they are."""
    told = {"verb": verb, "again": "yes" if again else ""}
    with session(request, Ending("verb", told)) as now:
        goals = now.steps_of(verb)
        if any(goal.stage.runs_engines for goal in goals):
            _check_targets(now, verb)
        made = make(now, goals, again=again)
        _tell(now, made, goals)


def build_jetson_engine(target: str, request: Request) -> None:
    """Make a target's engine, and its evidence where it can be run, on a machine that fits it.

    That machine is this one, unless the request names a Docker host.
    """
    with session(request, Ending("build-jetson-engine", {"target": target})) as now:
        _check_targets(now, "build-jetson-engine")
        wanted = [stages.ENGINE]
        if compatibility.can_run(
            now.project.targets[target], now.runtimes.of_target(target).machine
        ):
            wanted += [stages.EVALUATE_ENGINE, stages.PROFILE]
            wanted += [stages.PROVE] if now.given else []  # else it is for the PC
        goals = [step for step in now.steps if step.subject == target and step.stage in wanted]
        made = make(now, goals)
        _tell(now, made, goals)
        if now.given and now.given.lacks:
            sentence = f"not measured: {now.given.lacks}\n  try: {now.given.remedy}"
            Console().print(sentence, highlight=False, markup=False, soft_wrap=True)


def _check_targets(now: Session, command: str) -> None:
    check_targets(now.project, now.runtimes, now.settings, command)


def _tell(now: Session, made: Mapping[str, Artifact], goals: Sequence[Step]) -> None:
    """Say of each goal what it is called and how to get at its files."""
    for goal in goals:
        tag = f"{now.name}.{goal.name}"
        Console().print(
            f"{made[goal.name].kind} {tag}: {made[goal.name].digest}\n"
            f"  its files: invoke checkout {tag} FOLDER",
            highlight=False,
            soft_wrap=True,
        )
        if goal.stage is stages.DATASET:
            page = summary.place_dataset_page(now.store, made[goal.name], now.name)
            if page:
                Console().print(f"  at a glance: {page}", highlight=False, soft_wrap=True)
    tell_thresholds(now.store, made, goals)


def show_status(request: Request) -> None:
    """Tabulate every step: cached, in the registry, missing, damaged or waiting for another."""
    with session(request) as now:
        states = now.states()
    Console().print(summary.status(now.name, states))


def show_why(name: str, request: Request) -> None:
    """Say of one step, or of all steps of a stage or a command, why it would run or not."""
    with session(request) as now:
        states = now.states()
    chosen = [state for state in states if state.step.name == name]
    chosen = chosen or [
        state for state in states if name in (state.step.stage.verb, state.step.stage.module)
    ]
    if not chosen:
        names = [step.name for step in now.steps]
        raise UserError(f"{name!r} is not a step of this pipeline", nearest(name, names))
    for state in chosen:
        Console().print(f"{state.step.name}: {state.word}", highlight=False, markup=False)
        for reason in state.reasons:
            Console().print(f"  {reason}", highlight=False, markup=False, soft_wrap=True)
