"""The commands: `invoke --list` shows them, `invoke --help COMMAND` explains one."""

import shlex
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from invoke.collection import Collection
from invoke.context import Context
from invoke.tasks import Task, task

from mmdet_jetson.cli import transfer, upkeep, verbs
from mmdet_jetson.cli.answering import answering
from mmdet_jetson.cli.later import later
from mmdet_jetson.cli.menu import (
    ANY,
    BY_IMAGE,
    DOCKER_HOST,
    HELP,
    MAKING,
    PLACE,
    PROJECT,
    RUNTIME,
    STEPS,
    TARGETS,
    Checkable,
    by_config,
    by_target,
    with_mirror,
    with_place,
    with_request,
)
from mmdet_jetson.cli.request import Request
from mmdet_jetson.cli.transfer import Asked
from mmdet_jetson.contract.pipelines import PIPELINES
from mmdet_jetson.running.jobs import DAYS_KEPT
from mmdet_jetson.runtimes.selection import RuntimeOptions

if TYPE_CHECKING:
    from mmdet_jetson.cli import attaching, pipelines, showing, verifying
    from mmdet_jetson.cli import bundle as bundling
    from mmdet_jetson.cli import channels as listing
    from mmdet_jetson.cli import diff as comparing
    from mmdet_jetson.cli import history as telling
    from mmdet_jetson.cli import matrix as matrices
    from mmdet_jetson.cli import pack as packing
    from mmdet_jetson.cli import plan as planning
    from mmdet_jetson.cli import preflight as before_opening
    from mmdet_jetson.cli import runs as training_runs
else:
    attaching, matrices, pipelines = map(later, ("attaching", "matrix", "pipelines"))
    showing, verifying = map(later, ("showing", "verifying"))
    bundling, listing, comparing = map(later, ("bundle", "channels", "diff"))
    telling, packing, planning = map(later, ("history", "pack", "plan"))
    before_opening, training_runs = map(later, ("preflight", "runs"))

ROOT = shlex.quote(str(Path(__file__).parent))
PYTHON = shlex.quote(sys.executable)
DEMO = "configs/demo.toml"
MATRICES = "github or gitlab"
SCRIPTS = ".ci/run docker/need docker/refresh-locks docker/start-docker docker/make-stand-in"

demo = by_config(
    "demo",
    "Run the whole pipeline on drawn pictures: no GPU, no Docker, no download of data.",
    verbs.run_pipeline,
    default=DEMO,
)
pipeline = by_target(
    "pipeline", "Run every stage, from the dataset to the report.", verbs.run_pipeline, "compare"
)
dataset = by_config(
    "dataset",
    "Read and check the dataset, and write a page that shows it.",
    partial(verbs.run_verb, "dataset"),
)
check = by_target(
    "check", "Check that an engine can be made for each target, before hours of training."
)
train = by_config(
    "train", "Train the detector and keep its best checkpoint.", partial(verbs.run_verb, "train")
)
model = by_config(
    "model",
    "Take in a model that is trained already, in place of a training.",
    partial(verbs.run_verb, "model"),
)
export = by_target("export", "Turn the checkpoint into an ONNX file for each target.")
engine = by_target("engine", "Build an engine for each target.")
evaluate = by_target(
    "evaluate", "Measure figures, thresholds and errors of checkpoints and engines."
)
report = by_target(
    "report",
    "Judge the gates and write the report.",
    partial(verbs.run_pipeline, command="report"),
    "compare",
)


@with_request(*STEPS)
def status(request: Request) -> None:
    """Show what is made already and what would run."""
    verbs.show_status(request)


@with_request(
    *STEPS,
    json="as JSON, for programs: docs/ci.md",
    matrix=f"as JSON, only what CI jobs have to make: {MATRICES} (default: github)",
)
def plan(request: Request, *, json: bool = False, matrix: str | bool = False) -> None:
    """List every step: its key, whether it is made already, and what it needs."""
    if matrix:
        matrices.show_matrix(request, "github" if matrix is True else str(matrix))
    else:
        planning.show_plan(request, as_json=json)


@with_request(*STEPS, *MAKING, again="time it again, even if nothing changed")
def profile(request: Request, *, again: bool = False) -> None:
    """Time each engine, step by step."""
    verbs.run_verb("profile", request, again=again)


@with_request(*TARGETS, *PROJECT, *RUNTIME, "push", into="a folder that is not there yet")
def pack(request: Request, into: str) -> None:
    """Write the folder for `--onnx` on a device: exports, pictures, PyTorch's detections."""
    packing.pack(into, request)


@with_request(
    *PROJECT,
    *TARGETS,
    name="a further tag, such as v1.2 (repeatable); RUN.bundle is always one",
    with_dataset="the pictures, too, instead of a summary",
    complete="fail where anything is missing",
)
def bundle(
    request: Request,
    *,
    name: list[str] | None = None,
    with_dataset: bool = False,
    complete: bool = False,
) -> None:
    """Bind what a run has made into one release: a digest over engines and their evidence."""
    bundling.bundle(request, name or (), with_dataset=with_dataset, complete=complete)


@task(
    help={
        "name": "a bundle, a run or an artifact: a tag, or a digest's first 12 digits",
        "json": "all that is known of it, for programs",
        "page": "a page of it instead: an HTML file (default: one under reports/ of the store)",
    },
    optional=["page"],
)
@answering
def show(_: Context, name: str, *, json: bool = False, page: str | bool = False) -> None:
    """Show what is in a release or a run: figures, evidence, ages, what is missing."""
    showing.show(name, as_json=json, page=page)


@task(
    help={
        "name": "a channel, such as production: a file of channels/",
        "json": "every record and all that is known of what is in it, for programs",
        "page": "a page of it instead: an HTML file (default: one under reports/ of the store)",
    },
    optional=["page"],
)
@answering
def history(_: Context, name: str, *, json: bool = False, page: str | bool = False) -> None:
    """Tell what is in a channel: since when, by whom, why, and all that was before."""
    telling.history(name, as_json=json, page=page)


@task(
    help={
        "before": "a bundle, a run or a training: a tag, a name of `invoke runs`, a digest, RUN~1",
        "after": "what to compare it with, such as the run itself with its RUN~1 before",
        "all": "shorten no list, and read the pictures of large datasets, too",
        "json": "everything, for programs",
    }
)
@answering
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
@answering
def runs(_: Context, json: bool = False) -> None:
    """List what was trained in this store, when, with what, and how well."""
    training_runs.runs(as_json=json)


@with_request(
    *PROJECT,
    *RUNTIME,
    made_as=Checkable,
    bundle="a bundle, by tag or digest; with --check and without one, what channel files add",
    to="the channel, which promotion.toml beside the configuration has a table for",
    reason="why, for the record",
    override="a gate that did not pass, as size or size:pc-onnxruntime (repeatable)",
    because="why it is overridden; the record shows it for ever",
    release="go on where a rollback holds the channel, and end that",
    check="judge and change nothing; comes behind the bundle",
    base="a commit that --check compares channel files with (default: where this branch began)",
    junit="with --check: a file to write, for CI",
    summary="with --check: a file to write, in Markdown, for the summary of a job",
    json="everything, for programs",
)
def promote(
    request: Request,
    bundle: str,
    *,
    to: str = "",
    reason: str = "",
    override: list[str] | None = None,
    because: str = "",
    release: bool = False,
    check: bool = False,
    base: str = "",
    junit: str = "",
    summary: str = "",
    json: bool = False,
) -> None:
    """Let a bundle into a channel, if it shows what the channel's policy asks for."""
    # NumPy, which no other task needs.
    from mmdet_jetson.cli import promote as promoting  # noqa: PLC0415
    from mmdet_jetson.cli import promote_check  # noqa: PLC0415

    if check and bundle == ANY:
        promote_check.check_channels(
            request, base=base, to=to, junit=junit, summary=summary, as_json=json
        )
        return
    if not check:
        promote_check.refuse_unchecked(base=base, junit=junit, summary=summary)
    wish = promoting.Wish(
        bundle=bundle,
        to=to,
        reason=reason,
        overrides=override or (),
        because=because,
        release=release,
    )
    if check:
        promoting.check_bundle(request, wish, junit=junit, summary=summary, as_json=json)
    else:
        promoting.promote(request, wish, as_json=json)


@task(
    help={
        "channel": "a channel, as staging",
        "to": "the number of the record whose bundle comes back (default: what was there before)",
        "release": "end the hold, and leave what is there",
        "reason": "why, for the record",
        "json": "the record, for programs",
    }
)
@answering
def rollback(
    _: Context,
    channel: str,
    *,
    to: str = "",
    release: bool = False,
    reason: str = "",
    json: bool = False,
) -> None:
    """Put back what was in a channel before, and hold it: nothing is promoted until --release."""
    from mmdet_jetson.cli import rollback as rolling_back  # noqa: PLC0415 - as above

    rolling_back.change_back(channel, to=to, release=release, reason=reason, as_json=json)


@with_request(
    "precision",
    *PROJECT,
    "onnx",
    *RUNTIME,
    *MAKING,
    target="a name in targets.toml",
    docker_host=f"that of the device, if it is another machine: {DOCKER_HOST}",
)
def build_jetson_engine(request: Request, target: str) -> None:
    """Build, evaluate and profile a target's engine, on this device or on a Docker host's."""
    verbs.build_jetson_engine(target, replace(request, targets=[target], for_device=True))


SUBMISSION = "a submission, as --runtime slurm prints it (default: the newest of the store)"


@task(help={"id": SUBMISSION})
@answering
def attach(_: Context, id: str = "") -> None:
    """Follow jobs of Slurm from any shell: log, progress, and the ending of their command."""
    attaching.attach(id)


@task(help={"id": SUBMISSION})
@answering
def cancel(_: Context, id: str = "") -> None:
    """Cancel the jobs of a submission; what they have made stays."""
    attaching.cancel(id)


@with_request(*STEPS, name="a step as `invoke status` names it, a stage or a command")
def why(request: Request, name: str) -> None:
    """Explain why a step would run again, or would not."""
    verbs.show_why(name, request)


@task(
    help={
        "engine": "the folder of an engine, or its tag",
        "onnx": "the ONNX file it should be made from",
    }
)
@answering
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
@answering
def export_for(_: Context, format: str, engine: str, to: str) -> None:
    """Write what Triton or DeepStream needs to run an engine."""
    pipelines.export_for(format, engine, to)


@task(
    help={
        "tag": "a tag or digest, as `invoke train` prints it",
        "into": "a folder that is not there yet",
    }
)
@answering
def checkout(_: Context, tag: str, into: str) -> None:
    """Copy an artifact's files out of the store, verified; of an engine its threshold, too."""
    upkeep.checkout(tag, into)


@with_mirror(
    mend="remove what is damaged, so that the next run makes it again; let tags follow the channels"
)
def verify(asked: Asked, *, mend: bool = False, mirror: str | bool = "") -> None:
    """Read every artifact again, and compare digests; follow the records of every channel."""
    verifying.verify(asked, mirror, mend=mend)


@with_mirror(
    check="fail where evidence grew too old, a mirror forked or a base image moved on",
    page="the history of all of them as one HTML file (default: one under reports/ of the store)",
)
def channels(
    asked: Asked,
    *,
    mirror: str | bool = "",
    check: bool = False,
    json: bool = False,
    page: str | bool = False,
) -> None:
    """List what is in every channel, since when, by whom, and how it fares."""
    if page:
        telling.history("", page=page, may_fail=not check)  # which tells why by itself
    if check or not page:
        listing.channels(asked, mirror, check=check, as_json=json)


@with_place(
    name="a run (balloon), a tag (balloon.train), a bundle, a digest, or a channel-NAME",
    to=f"{PLACE} (default: [store] registry of the config)",
)
def push(asked: Asked, name: str, *, to: str = "") -> None:
    """Bring artifacts to a registry, or to a folder or an archive in OCI layout."""
    transfer.push(name, replace(asked, place=to))


@with_place(
    name="what `invoke push` was given, or a whole docker://HOST/REPOSITORY:TAG",
    from_=f"{PLACE} (default: [store] registry of the config)",
)
def pull(asked: Asked, name: str, *, from_: str = "") -> None:
    """Bring artifacts of a registry, a folder or an archive into the store."""
    transfer.pull(name, replace(asked, place=from_))


@task(
    help={
        "days": f"keep what is younger (default: {DAYS_KEPT}). Outdated images: one day",
        "dry-run": "only say what would go",
        "runtime": HELP["runtime"],
        "docker-host": DOCKER_HOST,
    }
)
@answering
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
@answering
def images_build(_: Context, name: list[str] | None = None, docker_host: str = "") -> None:
    """Build container images where they are missing."""
    from mmdet_jetson.cli import images  # noqa: PLC0415 - imports Docker's SDK

    images.build(name or (), docker_host)


@task(
    name="test",
    help={**BY_IMAGE, "again": "run them even where they have passed"},
    iterable=["name"],
)
@answering
def images_test(
    _: Context, name: list[str] | None = None, docker_host: str = "", again: bool = False
) -> None:
    """Run each image's own tests inside it, and keep the result."""
    from mmdet_jetson.cli import images  # noqa: PLC0415 - imports Docker's SDK

    images.test(name or (), docker_host, again=again)


@task(name="pin", help={"docker-host": f"{DOCKER_HOST}. It looks the digests up"})
@answering
def images_pin(_: Context, docker_host: str = "") -> None:
    """Resolve the tags of the base images to digests, in configs/images.lock."""
    from mmdet_jetson.cli import images  # noqa: PLC0415 - imports Docker's SDK

    images.pin(docker_host)


@task(help={"report": "a file to write: all that somebody at a distance needs, without secrets"})
@answering
def doctor(_: Context, report: str | None = None) -> None:
    """Tell what this machine can do and what is missing, with the command that mends it."""
    upkeep.show_doctor(report)


@task
def lint(context: Context) -> None:
    """Check style, types, scripts and the CI workflows."""
    bin = shlex.quote(str(Path(sys.executable).parent))
    schema, github = "check-jsonschema --builtin-schema vendor", "examples/ci/github.yml"
    gitlab = "examples/ci/gitlab.yml examples/ci/gitlab-detector.yml"
    with context.cd(ROOT):
        for command in ("ruff check .", "ruff format --check .", "mypy"):
            context.run(f"{PYTHON} -m {command}", echo=True)
        for command in (
            f"{schema}.github-workflows .github/workflows/ci.yml {github}",
            f"{schema}.gitlab-ci --data-transform gitlab-ci {gitlab}",
            f"zizmor --offline --quiet .github {github}",
            f"shellcheck --severity=warning {SCRIPTS}",
        ):
            context.run(f"{bin}/{command}", echo=True)


@task(
    help={
        "quick": "unit tests only: about five minutes on 2 cores, no environment needed",
        "processes": "how many share the tests (default: 2)",
    }
)
def test(context: Context, quick: bool = False, processes: int = 2) -> None:
    """Run the tests."""
    folder = "tests/unit" if quick else ""
    shared = f"-n{processes} --dist=loadscope --no-loadscope-reorder" if processes > 1 else ""
    with context.cd(ROOT):
        context.run(f"{PYTHON} -m pytest {folder} {shared}", echo=True, pty=sys.stdout.isatty())


IMAGES = (images_build, images_test, images_pin)
# By their types: to ask a module that is to be imported later for its class imports it.
FOUND = [each for each in vars().values() if issubclass(type(each), Task)]
TASKS = [each for each in FOUND if each not in IMAGES]
namespace = Collection(*TASKS, Collection("images", *IMAGES))
