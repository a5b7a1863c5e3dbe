"""The commands: `invoke --list` shows them, `invoke --help COMMAND` explains one."""

import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from invoke.collection import Collection
from invoke.context import Context
from invoke.tasks import Task, task

from mmdet_jetson.cli import bundle as bundling
from mmdet_jetson.cli import diff as comparing
from mmdet_jetson.cli import pack as packing
from mmdet_jetson.cli import pipelines, showing, upkeep, verbs
from mmdet_jetson.cli import preflight as before_opening
from mmdet_jetson.cli import runs as training_runs
from mmdet_jetson.cli.verbs import CONFIG, Request
from mmdet_jetson.contract.pipelines import PIPELINES
from mmdet_jetson.running.jobs import DAYS_KEPT
from mmdet_jetson.runtimes.selection import RuntimeOptions

ROOT = shlex.quote(str(Path(__file__).parent))
PYTHON = shlex.quote(sys.executable)
DEMO = "configs/demo.toml"
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
) -> Request:
    """Say what a command was asked for: what may be given repeatedly is None where it was not."""
    return Request(
        config=config,
        overrides=overrides or (),
        runtime=runtime,
        targets=targets or (),
        precision=precision,
        onnx=onnx,
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
    ) -> None:
        options = RuntimeOptions(runtime, docker_host, untested)
        act(Request(config=config, overrides=set or (), runtime=options))

    run.__doc__ = says
    shown = {**HELP, "config": f"the pipeline's TOML file (default: {default})"}
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
    ) -> None:
        options = RuntimeOptions(runtime, docker_host, untested)
        request = asked(config, set, options, targets=target, precision=precision, onnx=onnx)
        (act or partial(verbs.run_verb, name))(request)

    run.__doc__ = says
    options = {"help": {**BY_TARGET, **ONNX}, "iterable": ["set", "target"]}
    command: Command = task(name=name, **options)(verbs.answering(run))
    return command


demo = by_config(
    "demo",
    "Run the whole pipeline on drawn pictures: no GPU, no Docker, no download of data.",
    verbs.run_pipeline,
    default=DEMO,
)
pipeline = by_target(
    "pipeline", "Run every stage, from the dataset to the report.", verbs.run_pipeline
)
dataset = by_config("dataset", "Convert and check the dataset.", partial(verbs.run_verb, "dataset"))
check = by_target(
    "check", "Check that an engine can be made for each target, before hours of training."
)
train = by_config(
    "train", "Train the detector and keep its best checkpoint.", partial(verbs.run_verb, "train")
)
export = by_target("export", "Turn the checkpoint into an ONNX file for each target.")
engine = by_target("engine", "Build an engine for each target.")
evaluate = by_target(
    "evaluate", "Measure the COCO figures of checkpoints, the documented graph and engines."
)
report = by_target(
    "report", "Judge the gates and write the report.", partial(verbs.run_pipeline, command="report")
)
status = by_target("status", "Show what is made already and what would run.", verbs.show_status)


@task(
    help={**BY_TARGET, **ONNX, "again": "time it again, even if nothing changed"},
    iterable=["set", "target"],
)
@verbs.answering
def profile(
    _: Context,
    *,
    config: str = CONFIG,
    set: list[str] | None = None,
    target: list[str] | None = None,
    precision: str = "",
    again: bool = False,
    onnx: str = "",
    runtime: str = "host",
    docker_host: str = "",
    untested: bool = False,
) -> None:
    """Time each engine, step by step."""
    options = RuntimeOptions(runtime, docker_host, untested)
    request = asked(config, set, options, targets=target, precision=precision, onnx=onnx)
    verbs.run_verb("profile", request, again=again)


@task(
    help={
        **BY_TARGET,
        "into": "a folder that is not there yet",
    },
    iterable=["set", "target"],
    positional=["into"],
)
@verbs.answering
def pack(
    _: Context,
    into: str,
    *,
    target: list[str] | None = None,
    precision: str = "",
    config: str = CONFIG,
    set: list[str] | None = None,
    runtime: str = "host",
    docker_host: str = "",
    untested: bool = False,
) -> None:
    """Write the folder for `--onnx` on a device: exports, pictures, PyTorch's detections."""
    options = RuntimeOptions(runtime, docker_host, untested)
    request = asked(config, set, options, targets=target, precision=precision)
    packing.pack(into, request)


@task(
    help={
        "name": "a further tag, such as v1.2 (repeatable); NAME.bundle is always one",
        "with-dataset": "the pictures, too, instead of a summary",
        "complete": "fail where anything is missing",
        "target": BY_TARGET["target"],
        "config": HELP["config"],
        "set": HELP["set"],
    },
    iterable=["name", "set", "target"],
)
@verbs.answering
def bundle(
    _: Context,
    *,
    name: list[str] | None = None,
    target: list[str] | None = None,
    with_dataset: bool = False,
    complete: bool = False,
    config: str = CONFIG,
    set: list[str] | None = None,
) -> None:
    """Bind what a run has made into one release: a digest over engines and their evidence."""
    request = Request(config=config, overrides=set or (), targets=target or ())
    bundling.bundle(request, name or (), with_dataset=with_dataset, complete=complete)


@task(
    help={
        "name": "a bundle, a run or an artifact: a tag, or a digest's first 12 digits",
        "json": "all that is known of it, for programs",
    }
)
@verbs.answering
def show(_: Context, name: str, json: bool = False) -> None:
    """Show what is in a release or a run: figures, evidence, ages, what is missing."""
    showing.show(name, as_json=json)


@task(
    help={
        "before": "a bundle, a run or a training: a tag, a name of `invoke runs`, a digest, RUN~1",
        "after": "what to compare it with, such as the run itself with its RUN~1 before",
        "all": "shorten no list, and read the pictures of large datasets, too",
        "json": "everything, for programs",
    }
)
@verbs.answering
def diff(
    _: Context,
    before: str,
    after: str,
    *,
    all: bool = False,
    json: bool = False,
) -> None:
    """Compare two trainings, runs or bundles: what differs, the most important first."""
    comparing.diff(before, after, as_json=json, everything=all)


@task(help={"json": "everything, for programs"})
@verbs.answering
def runs(_: Context, json: bool = False) -> None:
    """List what was trained in this store, when, with what, and how well."""
    training_runs.runs(as_json=json)


@task(
    help={
        **HELP,
        **ONNX,
        "target": "a name in targets.toml",
        "precision": PRECISION,
        "docker-host": f"that of the device, if it is another machine: {DOCKER_HOST}",
    },
    iterable=["set"],
)
@verbs.answering
def build_jetson_engine(
    _: Context,
    *,
    target: str,
    precision: str = "",
    config: str = CONFIG,
    set: list[str] | None = None,
    onnx: str = "",
    runtime: str = "host",
    docker_host: str = "",
    untested: bool = False,
) -> None:
    """Build, evaluate and profile a target's engine, on this device or on a Docker host's."""
    request = Request(
        config=config,
        overrides=set or (),
        targets=[target],
        precision=precision,
        runtime=RuntimeOptions(runtime, docker_host, untested),
        for_device=True,
        onnx=onnx,
    )
    verbs.build_jetson_engine(target, request)


@task(
    help={"name": "a step as `invoke status` names it, a stage or a command", **BY_TARGET, **ONNX},
    iterable=["set", "target"],
)
@verbs.answering
def why(
    _: Context,
    *,
    name: str,
    config: str = CONFIG,
    set: list[str] | None = None,
    target: list[str] | None = None,
    precision: str = "",
    onnx: str = "",
    runtime: str = "host",
    docker_host: str = "",
    untested: bool = False,
) -> None:
    """Explain why a step would run again, or would not."""
    options = RuntimeOptions(runtime, docker_host, untested)
    request = asked(config, set, options, targets=target, precision=precision, onnx=onnx)
    verbs.show_why(name, request)


@task(
    help={
        "engine": "the folder of an engine, or its tag",
        "onnx": "the ONNX file it should be made from",
    }
)
@verbs.answering
def preflight(_: Context, engine: str, onnx: str = "") -> None:
    """Say whether an engine may be opened on this machine, and what to do where not."""
    before_opening.preflight(engine, onnx)


@task(
    help={
        "format": " or ".join(PIPELINES),
        "engine": "the folder of an engine, or its tag, as `invoke engine` prints it",
        "to": "a folder, as of a model repository: what is there stays",
    }
)
@verbs.answering
def export_for(_: Context, format: str, engine: str, to: str) -> None:
    """Write what Triton or DeepStream needs to run an engine."""
    pipelines.export_for(format, engine, to)


@task(
    help={
        "tag": "a tag or digest, as `invoke train` prints it",
        "into": "a folder that is not there yet",
    }
)
@verbs.answering
def checkout(_: Context, tag: str, into: str) -> None:
    """Copy an artifact's files out of the store, verified."""
    upkeep.checkout(tag, into)


@task(help={"mend": "remove what is damaged, so that the next run makes it again"})
@verbs.answering
def verify(_: Context, mend: bool = False) -> None:
    """Read every artifact again and compare it with its digest."""
    upkeep.verify(mend)


@task(
    help={
        "days": f"keep what is younger (default: {DAYS_KEPT}). Outdated images: one day",
        "dry-run": "only say what would go",
        "runtime": RUNTIME["runtime"],
        "docker-host": DOCKER_HOST,
    }
)
@verbs.answering
def gc(
    context: Context,
    *,
    days: str = str(DAYS_KEPT),
    dry_run: bool = False,
    runtime: str = "host",
    docker_host: str = "",
) -> None:
    """Remove cached results that no run name holds, what killed runs left, and outdated images."""
    options = RuntimeOptions(runtime, docker_host)
    upkeep.collect_garbage(days, dry_run or context.config.run.dry, options)


@task(name="build", help=BY_IMAGE, iterable=["name"])
@verbs.answering
def images_build(_: Context, name: list[str] | None = None, docker_host: str = "") -> None:
    """Build container images where they are missing."""
    from mmdet_jetson.cli import images  # noqa: PLC0415 - imports Docker's SDK

    images.build(name or (), docker_host)


@task(
    name="test",
    help={**BY_IMAGE, "again": "run them even where they have passed"},
    iterable=["name"],
)
@verbs.answering
def images_test(
    _: Context, name: list[str] | None = None, docker_host: str = "", again: bool = False
) -> None:
    """Run each image's own tests inside it, and keep the result."""
    from mmdet_jetson.cli import images  # noqa: PLC0415 - imports Docker's SDK

    images.test(name or (), docker_host, again=again)


@task(name="pin", help={"docker-host": f"{DOCKER_HOST}. It looks the digests up"})
@verbs.answering
def images_pin(_: Context, docker_host: str = "") -> None:
    """Resolve the tags of the base images to digests, in configs/images.lock."""
    from mmdet_jetson.cli import images  # noqa: PLC0415 - imports Docker's SDK

    images.pin(docker_host)


@task(help={"report": "a file to write: all that somebody at a distance needs, without secrets"})
@verbs.answering
def doctor(_: Context, report: str | None = None) -> None:
    """Tell what this machine can do and what is missing, with the command that mends it."""
    upkeep.show_doctor(report)


@task
def lint(context: Context) -> None:
    """Check style, types and the CI workflow."""
    bin = shlex.quote(str(Path(sys.executable).parent))
    workflows = "check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/ci.yml"
    with context.cd(ROOT):
        for command in ("ruff check .", "ruff format --check .", "mypy"):
            context.run(f"{PYTHON} -m {command}", echo=True)
        for command in (workflows, "zizmor --offline --quiet .github"):
            context.run(f"{bin}/{command}", echo=True)


@task(help={"quick": "unit tests only: about a minute, no environment needed"})
def test(context: Context, quick: bool = False) -> None:
    """Run the tests."""
    folder = "tests/unit" if quick else ""
    with context.cd(ROOT):
        context.run(f"{PYTHON} -m pytest {folder}", echo=True, pty=sys.stdout.isatty())


IMAGES = (images_build, images_test, images_pin)
TASKS = [each for each in vars().values() if isinstance(each, Task) and each not in IMAGES]
namespace = Collection(*TASKS, Collection("images", *IMAGES))
