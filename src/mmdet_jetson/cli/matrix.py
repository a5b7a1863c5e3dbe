"""``invoke plan --json --matrix``: the jobs that a CI starts for what is missing, wave by wave.

A job runs one goal on an empty machine, and results go from job to job by the registry of
``[store]``. The jobs of a matrix run at once, so each wave has one, and reads what those before it
made:

``dataset``   the dataset, on any x86-64 machine
``train``     all that engines are made and measured from, with a GPU where that is missing
``engine``    for each target its engine, its evidence and its verdict, on the target itself

Made is what the registry has by its key *and* by its name: a later wave takes results by name, and
another commit may have moved that. Every target is listed: its device alone knows its keys, and its
job is what judges. What is known there is not made again.
"""

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from rich.console import Console

from mmdet_jetson.cli.pack import packed
from mmdet_jetson.cli.request import Request
from mmdet_jetson.cli.verbs import Session, session
from mmdet_jetson.config.toml import nearest
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning import stages
from mmdet_jetson.planning.explain import State
from mmdet_jetson.planning.steps import Step, missing_inputs, needed_for
from mmdet_jetson.registry.shared import SharedStore
from mmdet_jetson.running.run_step import ingredients_on
from mmdet_jetson.store import Artifact

DATASET, TRAIN, ENGINE = "dataset", "train", "engine"
"""The waves, in order."""
ANY, GPU = "x64", "gpu"
"""Runners by what they can do; that of a target has the target's name."""
HOSTED = ("ubuntu-22.04",)
"""GitHub's own runners, which do for `ANY`."""
HANDED_OVER = "handed-over"
"""A folder that ``invoke pack`` writes, and nobody reads here."""
MINUTES = {DATASET: 120, TRAIN: 1440, ENGINE: 240}
"""How long a job may take."""
TEMPLATES = ".gitlab/detector.yml"
"""What GitLab's child pipeline includes: a template for each wave, and the job ``release``."""


@dataclass(frozen=True)
class Job:
    """One job: where it runs, what to type there, in order, and the steps that it makes.

    One that makes none only gives known results their names.
    """

    wave: str
    runner: str
    commands: Sequence[str]
    makes: Sequence[str]
    target: str = ""

    @property
    def group(self) -> str:
        """What one job at a time may hold, of whatever pipeline."""
        return f"device-{self.target}" if self.target else self.wave


Matrix = Mapping[str, Sequence[Job]]
"""The jobs of each wave."""


def show_matrix(request: Request, form: str) -> None:
    """Write the jobs to standard output as one line of JSON, and nothing else.

    Args:
        request: which pipeline; without ``onnx``, since jobs begin on empty machines.
        form: a name of `FORMS`.

    Raises:
        UserError: there is no such form, no registry, or none that answers; there are more targets
            than one matrix may have; or an option that jobs cannot be given.
    """
    if form not in FORMS:
        raise UserError(f"--matrix {form}: it is for {' or '.join(FORMS)}", nearest(form, FORMS))
    if request.onnx:
        raise UserError(
            f"--matrix: --onnx {request.onnx} is on this machine, and jobs begin on empty ones",
            "leave --onnx out: the jobs take exports from the registry",
        )
    if request.runtime.runtime == "slurm":
        raise UserError(
            "--matrix: what it lists are jobs of a CI, and --runtime slurm makes batch jobs",
            "leave --runtime slurm out",
        )
    limit, write = FORMS[form]
    with session(request) as now:
        if (targets := len(now.project.used_targets)) > limit:
            raise UserError(
                f"--matrix {form}: {targets} targets, and a matrix has at most {limit} jobs there",
                "name some of them at a time, with --target",
            )
        if now.shared is None:
            raise UserError(
                "--matrix: jobs share their results through a registry, and none is asked",
                f"registry = ... in [store] of {now.project.path}, and MMDET_JETSON_OFFLINE unset",
            )
        matrix = jobs(now, now.shared, request)
    Console().out(json.dumps(write(matrix)), highlight=False)


def jobs(now: Session, shared: SharedStore, request: Request) -> Matrix:
    """List the jobs of each wave.

    Raises:
        UserError: the registry does not answer, so nobody knows what it lacks.
    """
    states = {state.step.name: state for state in now.states()}
    registry = _Registry(now, shared, {n: s.artifact for n, s in states.items() if s.artifact})
    before = [
        step for step in needed_for(now.steps, packed(now)) if step.stage.verb != stages.CHECK.verb
    ]
    unmade = [step for step in before if registry.made(states[step.name]) is None]
    unnamed = [step.name for step in before if not registry.is_named(states[step.name])]
    if shared.is_gone:
        raise UserError(
            f"--matrix: {shared.place.name} does not answer, so nobody knows what it lacks",
            "try again when it does",
        )
    spell = Spelling(now.name, request)
    runner = GPU if any(step.uses_gpu for step in unmade) else ANY
    first = [step.name for step in unmade if step.stage is stages.DATASET]
    rest = [name for name in unnamed if name not in first]
    return {
        DATASET: [Job(DATASET, ANY, spell.dataset(), first)] if first else [],
        TRAIN: [Job(TRAIN, runner, spell.pack(), rest)],
        ENGINE: [
            Job(ENGINE, name, spell.report(name), _judged(now.steps, name), name)
            for name in now.project.used_targets
        ],
    }


@dataclass(frozen=True)
class _Registry:
    """What the registry has of a pipeline's results, given those that are known."""

    now: Session
    shared: SharedStore
    known: Mapping[str, Artifact]

    def made(self, state: State) -> Artifact | None:
        """Its result, by its key or as a machine with a GPU made it."""
        found = self.shared.look(state.key, state.step.kind) if state.key else None
        return found or (self._with_gpu(state.step) if state.step.uses_gpu else None)

    def is_named(self, state: State) -> bool:
        """Whether those who take its result by name get that one."""
        made, named = self.made(state), self._named(state.step)
        return made is not None and named is not None and made.digest == named.digest

    def _named(self, step: Step) -> Artifact | None:
        return self.shared.look_at(f"{self.now.name}.{step.name}")

    def _with_gpu(self, step: Step) -> Artifact | None:
        """The named result, where its environment is that of here and a GPU, which is in its key.

        A job that plans has none as a rule, and would never know what was measured with one.
        """
        named = self._named(step)
        if named is None or missing_inputs(step, self.known):
            return None
        here, there = ingredients_on(self.now.runtimes, step, self.known), named.provenance
        alike = (there.source, there.parameters, there.inputs) == (
            here.source, here.parameters, here.inputs,
        )  # fmt: skip
        is_ours = there.stage == here.stage and there.environment.startswith(f"{here.environment}:")
        return named if alike and is_ours else None


def _judged(steps: Sequence[Step], target: str) -> list[str]:
    """The steps that are made on a target itself."""
    there = (stages.ENGINE, stages.EVALUATE_ENGINE, stages.PROVE, stages.PROFILE)
    of_target = [step.name for step in steps if step.subject == target and step.stage in there]
    return [*of_target, stages.REPORT.verb]


@dataclass(frozen=True)
class Spelling:
    """Spells the commands of jobs of a run name, with the options of the plan."""

    name: str
    request: Request

    def dataset(self) -> list[str]:
        """Make the dataset."""
        return [self._command("dataset", replace(self.request, precision="").typed, self._run())]

    def pack(self) -> list[str]:
        """Make all that engines are made and measured from."""
        chosen = shlex.join(word for name in self.request.targets for word in ("--target", name))
        words = (shlex.join(["pack", HANDED_OVER]), self.request.typed, chosen, self._run())
        return [self._command(*words)]

    def report(self, target: str) -> list[str]:
        """Make a target's engine and judge it."""
        chosen = shlex.join(["--target", target, "--onnx", self.name])
        pulled = replace(self.request, precision="").typed
        return [
            self._command(shlex.join(["pull", self.name]), pulled),
            self._command("report", self.request.typed, chosen, self._run()),
        ]

    def _run(self) -> str:
        """How stages run there; a Docker host that was named is one of this machine's."""
        return "--runtime docker --push" if self.request.runtime.uses_docker else "--push"

    @staticmethod
    def _command(*words: str) -> str:
        return " ".join(filter(None, ("invoke", *words)))


def _for_github(matrix: Matrix) -> dict[str, object]:
    """Write of each wave what ``strategy.matrix`` is; ``include`` is empty where nothing is to do.

    https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax
    """
    return {
        wave: {"include": [_entry(job) for job in listed if job.makes]}
        for wave, listed in matrix.items()
    }


def _entry(job: Job) -> dict[str, object]:
    return {
        "target": job.target,
        "runner": job.runner,
        "labels": list(HOSTED if job.runner == ANY else _own(job.runner)),
        "timeout": MINUTES[job.wave],
        "group": job.group,
        "commands": list(job.commands),
        "makes": list(job.makes),
    }


def _own(runner: str) -> tuple[str, ...]:
    """The labels of a runner of the user's own."""
    return ("self-hosted", *(("linux", "x64") if runner == GPU else ()), runner)


def _for_gitlab(matrix: Matrix) -> dict[str, object]:
    """Write a child pipeline: GitLab reads no matrix at run time but in one. JSON is YAML, too.

    Other pipelines may move names between this plan and its jobs, so ``train`` is always there:
    GitLab holds them off (``resource_group``) from the child pipeline on, and not before.

    https://docs.gitlab.com/ci/yaml/#parallelmatrix
    """
    waves = {
        wave: {
            "extends": f".{wave}",
            "parallel": {"matrix": [_variables(job) for job in listed]},
        }
        for wave, listed in matrix.items()
        if listed
    }
    return {
        "include": [{"local": TEMPLATES}],
        **waves,
        "release": {"extends": ".release"},
    }


def _variables(job: Job) -> dict[str, str]:
    target = {"TARGET": job.target} if job.target else {}
    return {"RUNNER": job.runner, **target}


FORMS: Mapping[str, tuple[int, Callable[[Matrix], dict[str, object]]]] = {
    "github": (256, _for_github),
    "gitlab": (200, _for_gitlab),
}
"""Who reads a matrix: how many jobs it has at most there, and what writes it."""
