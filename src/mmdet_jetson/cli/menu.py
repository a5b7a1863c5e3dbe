"""What the tasks of ``tasks.py`` share: the texts of their options, and tasks made of a command."""

from collections.abc import Callable
from functools import partial

from invoke.context import Context
from invoke.tasks import Task, task

from mmdet_jetson.cli import verbs
from mmdet_jetson.cli.verbs import CONFIG, Request
from mmdet_jetson.runtimes.selection import RuntimeOptions

DOCKER_HOST = (
    "a Docker host: ssh://user@host, tcp://host:port, unix:///path or a context"
    " (default: the one in use)"
)
RUNTIME = {
    "runtime": "host or docker: where stages run (default: host)",
    "docker-host": DOCKER_HOST,
    "untested": "use container images that have not passed their own tests",
}
ONNX = {
    "onnx": "start at an export from elsewhere, in environment `deploy` alone: a folder of `invoke"
    " pack`, one with an export, or a name in the store such as balloon.export-pc-onnxruntime"
}
PUSH = {"push": "push each result to the registry of [store] as soon as it is made"}
HELP = {
    "config": f"the pipeline's TOML file (default: {CONFIG})",
    "set": "change a field: --set train.epochs=3 (may be repeated)",
    **RUNTIME,
}
PRECISION = "fp32, fp16, bf16 or int8, instead of the target's"
BY_IMAGE = {
    "name": "a name in images.toml (repeatable; default: train, pc and jp501)",
    "docker-host": DOCKER_HOST,
}
BY_TARGET = {
    **HELP,
    "target": "a name in targets.toml, instead of the config's (repeatable)",
    "precision": PRECISION,
}

Act = Callable[[Request], None]
Command = Task[Callable[..., None]]


def asked(
    config: str,
    overrides: list[str] | None,
    runtime: RuntimeOptions,
    *,
    targets: list[str] | None,
    precision: str,
    onnx: str = "",
    push: bool = False,
) -> Request:
    """Say what a command was asked for: what may be given repeatedly is None where it was not."""
    return Request(
        config=config,
        overrides=overrides or (),
        runtime=runtime,
        targets=targets or (),
        precision=precision,
        onnx=onnx,
        push=push,
    )


def by_config(name: str, says: str, act: Act, default: str = CONFIG) -> Command:
    """Make the task of a command that is told a configuration, and where to run."""

    def run(
        _: Context,
        *,
        config: str = default,
        set: list[str] | None = None,
        runtime: str = "host",
        docker_host: str = "",
        untested: bool = False,
        push: bool = False,
    ) -> None:
        options = RuntimeOptions(runtime, docker_host, untested)
        act(Request(config=config, overrides=set or (), runtime=options, push=push))

    run.__doc__ = says
    shown = {**HELP, **PUSH, "config": f"the pipeline's TOML file (default: {default})"}
    command: Command = task(name=name, help=shown, iterable=["set"])(verbs.answering(run))
    return command


def by_target(name: str, says: str, act: Act | None = None) -> Command:
    """Make the task of a command for each target; without ``act`` it makes what it is named by."""

    def run(
        _: Context,
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
    ) -> None:
        options = RuntimeOptions(runtime, docker_host, untested)
        request = asked(
            config, set, options, targets=target, precision=precision, onnx=onnx, push=push
        )
        (act or partial(verbs.run_verb, name))(request)

    run.__doc__ = says
    options = {"help": {**BY_TARGET, **ONNX, **PUSH}, "iterable": ["set", "target"]}
    command: Command = task(name=name, **options)(verbs.answering(run))
    return command
