"""What the tasks of ``tasks.py`` share: options that many of them have, and what these amount to.

Invoke reads the options of a task off its function. A function here is given what the shared ones
amount to, has its own behind that, and the task made of it has both.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from inspect import Parameter
from typing import TypeVar

from invoke.context import Context
from invoke.parser.argument import Argument
from invoke.tasks import Task, task

from mmdet_jetson.cli import verbs
from mmdet_jetson.cli.answering import answering
from mmdet_jetson.cli.request import CONFIG, Request
from mmdet_jetson.cli.transfer import Asked
from mmdet_jetson.errors import UserError
from mmdet_jetson.registry.places import FORMS
from mmdet_jetson.runtimes.selection import RuntimeOptions

T = TypeVar("T")
Act = Callable[[Request], None]
Command = Task[Callable[..., None]]
Decorator = Callable[[Callable[..., None]], Command]

DOCKER_HOST = (
    "a Docker host: ssh://user@host, tcp://host:port, unix:///path or a context"
    " (default: the one in use)"
)
HELP = {
    "config": f"the pipeline's TOML file (default: {CONFIG})",
    "set": "change a field: --set train.epochs=3 (may be repeated)",
    "target": "a name in targets.toml, instead of the config's (repeatable)",
    "precision": "fp32, fp16, bf16 or int8, instead of the target's",
    "onnx": "start at an export from elsewhere, in environment `deploy` alone: a folder of `invoke"
    " pack`, one with an export, or a name in the store such as balloon.export-pc-onnxruntime",
    "compare": "another run of the store, to show beside this one in the report (repeatable)",
    "runtime": "host, docker or slurm: where stages run (default: host)",
    "docker_host": DOCKER_HOST,
    "untested": "use container images that have not passed their own tests",
    "jobs": "how many steps run at once, in all and on each machine (default: one on each machine)",
    "detach": "with --runtime slurm: return once the jobs are submitted",
    "push": "push each result to the registry of [store] as soon as it is made",
    "evidence": "with what was measured of it, and all else that refers to it (default)",
    "ca": "a file with the certificates that a registry's is signed by",
    "json": "everything, for programs",
    "plain_http": "reach the registry without TLS; to this machine itself that is always allowed",
}
BY_IMAGE = {
    "name": "a name in images.toml (repeatable; default: train, pc and jp501)",
    "docker-host": DOCKER_HOST,
}
PLACE = FORMS

PROJECT = ("config", "set")
TARGETS = ("target", "precision")
RUNTIME = ("runtime", "docker_host", "untested")
MAKING = ("push", "jobs", "detach")
STEPS = (*PROJECT, *TARGETS, "onnx", *RUNTIME)
"""What chooses steps of a pipeline, and where they run."""


def request_of(
    *,
    config: str = CONFIG,
    set: list[str] | None = None,
    target: list[str] | None = None,
    precision: str = "",
    onnx: str = "",
    runtime: str = "host",
    docker_host: str = "",
    untested: bool = False,
    push: bool = False,
    jobs: str = "",
    detach: bool = False,
    compare: list[str] | None = None,
) -> Request:
    """Say what a command about a pipeline was asked for."""
    return Request(
        config=config,
        overrides=set or (),
        runtime=RuntimeOptions(runtime, docker_host, untested),
        targets=target or (),
        precision=precision,
        onnx=onnx,
        push=push,
        detach=detach,
        compare=compare or (),
        jobs=_number_of_jobs(jobs) if jobs else None,
    )


def _number_of_jobs(typed: str) -> int:
    try:
        number = int(typed)
    except ValueError:
        number = 0
    if number < 1:
        raise UserError(
            f"--jobs {typed}: steps that run at once are 1 or more", "leave it out for the default"
        )
    return number


def asked_of(
    *,
    config: str = CONFIG,
    set: list[str] | None = None,
    evidence: bool = True,
    ca: str = "",
    plain_http: bool = False,
) -> Asked:
    """Say what a transfer was asked for, beside its place and its name."""
    return Asked("", evidence, config, set or (), ca, plain_http)


def with_request(
    *shared: str, config: str = CONFIG, made_as: type[Command] = Task, **own: str
) -> Decorator:
    """Make a task of a function that is given a `Request`.

    Args:
        shared: which options of `request_of` it has.
        config: the default of one of them.
        made_as: the kind of task.
        own: the texts of its own options, or other ones for the shared.
    """
    texts = {"config": HELP["config"].replace(CONFIG, config), **own}
    return partial(_task, request_of, shared, {"config": config}, texts, made_as=made_as)


def with_place(**own: str) -> Decorator:
    """Make a task of a function that is given what `asked_of` gives; ``own`` as above."""
    return partial(_task, asked_of, tuple(inspect.signature(asked_of).parameters), {}, own)


def with_mirror(**own: str) -> Decorator:
    """The same, for a task that only looks at a place, if at all: ``--mirror [PLACE]``."""
    texts = {"mirror": f"{PLACE}; without one: [store] registry of the config", **own}
    return partial(_task, asked_of, (*PROJECT, "ca", "plain_http"), {}, texts)


def _task(
    build: Callable[..., T],
    shared: tuple[str, ...],
    defaults: Mapping[str, object],
    texts: Mapping[str, str],
    act: Callable[..., None],
    *,
    made_as: type[Command] = Task,
) -> Command:
    own = list(inspect.signature(act).parameters.values())[1:]
    pool = inspect.signature(build).parameters
    there = [pool[name].replace(default=defaults.get(name, pool[name].default)) for name in shared]

    def run(_: Context, **options: object) -> None:
        told = {each.name: options.pop(each.name) for each in own if each.name in options}
        act(build(**{**defaults, **options}), **told)

    # In this order invoke hands out one-letter options: first come, first served.
    needed = [each for each in own if each.default is Parameter.empty]
    free = [each for each in own if each not in needed]
    keyed = [each.replace(kind=Parameter.KEYWORD_ONLY) for each in (*needed, *there, *free)]
    context = Parameter("_", Parameter.POSITIONAL_ONLY)
    vars(run)["__signature__"] = inspect.Signature([context, *keyed])
    run.__name__, run.__doc__ = act.__name__, act.__doc__
    shown = {**HELP, **texts}
    command: Command = task(
        klass=made_as,
        help={each.name.rstrip("_").replace("_", "-"): shown[each.name] for each in keyed},
        iterable=[each.name for each in keyed if each.annotation == list[str] | None],
        optional=[each.name for each in keyed if each.annotation == str | bool],
    )(answering(run))
    return command


ANY = "-"
"""What a command is given where `Checkable` was told no name; nothing can be called so."""


class _Fill(Argument):
    """``--check``: once it is typed, a name may be missing."""

    name_of: Argument

    def set_value(self, value: object, cast: bool = True) -> None:
        """Set it, and give the name a value where it has none."""
        super().set_value(value, cast)
        if self.name_of.raw_value is None:
            self.name_of.set_value(ANY)


class Checkable(Task[Callable[..., None]]):
    """A task with a name that has to be typed, unless ``--check`` is: then it is about all.

    Invoke knows no arguments by position that can be left out. One that is typed comes before
    ``--check``.
    """

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """The arguments as Invoke reads them off the function."""
        found = super().get_arguments(ignore_unknown_help)
        (name_of,) = (each for each in found if each.positional)
        for each in found:
            if each.name == "check":
                each.__class__ = _Fill
                vars(each)["name_of"] = name_of
        return found


def by_config(name: str, says: str, act: Act, default: str = CONFIG) -> Command:
    """Make the task of a command that is told a configuration, and where to run."""
    return _named(name, says, act, with_request(*PROJECT, *RUNTIME, *MAKING, config=default))


def by_target(name: str, says: str, act: Act | None = None, *more: str) -> Command:
    """Make the task of a command for each target; without ``act`` it makes what it is named by.

    ``more`` are further options of `request_of`.
    """
    made_by = with_request(*STEPS, *MAKING, *more)
    return _named(name, says, act or partial(verbs.run_verb, name), made_by)


def _named(name: str, says: str, act: Act, made_by: Decorator) -> Command:
    def run(request: Request) -> None:
        act(request)

    run.__name__, run.__doc__ = name, says
    return made_by(run)
