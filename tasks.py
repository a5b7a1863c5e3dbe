"""The menu: `invoke --list` shows it, `invoke --help VERB` explains one entry."""

import shlex
import sys
from pathlib import Path

from invoke import Collection, Context, Task, task

from mmdet_jetson.cli import preflight as before_opening
from mmdet_jetson.cli import upkeep
from mmdet_jetson.cli import verbs as menu
from mmdet_jetson.runtimes.selection import WHERE_HELP, placed

PYTHON = shlex.quote(sys.executable)
CONFIG = "configs/pipeline.toml"
DEMO = "configs/demo.toml"
HELP = {
    "config": f"the pipeline's TOML file (default: {CONFIG})",
    "set": "change a field: --set train.epochs=3 (may be repeated)",
    **WHERE_HELP,
}
BY_IMAGE = {
    "name": "a name in images.toml (repeatable; default: train, pc and jp501)",
    "engine": WHERE_HELP["engine"],
}
BY_TARGET = {**HELP, "target": "a name in targets.toml, instead of the config's (repeatable)"}


@task(help={**HELP, "config": f"the pipeline's TOML file (default: {DEMO})"}, iterable=["set"])
@menu.answering
@placed
def demo(_: Context, config=DEMO, set=None, *, where):
    """Run the whole pipeline on drawn pictures: no GPU, no Docker, no download of data."""
    menu.run_pipeline(config, set, where)


@task(help=HELP, iterable=["set"])
@menu.answering
@placed
def pipeline(_: Context, config=CONFIG, set=None, *, where):
    """Run every stage, from the dataset to the report."""
    menu.run_pipeline(config, set, where)


@task(help=HELP, iterable=["set"])
@menu.answering
@placed
def dataset(_: Context, config=CONFIG, set=None, *, where):
    """Convert and check the dataset."""
    menu.run_verb("dataset", config, set, where)


@task(help=HELP, iterable=["set"])
@menu.answering
@placed
def train(_: Context, config=CONFIG, set=None, *, where):
    """Train the detector and keep its best checkpoint."""
    menu.run_verb("train", config, set, where)


@task(help=BY_TARGET, iterable=["set", "target"])
@menu.answering
@placed
def export(_: Context, config=CONFIG, set=None, target=None, *, where):
    """Turn the checkpoint into an ONNX file for each target."""
    menu.run_verb("export", config, set, where, target)


@task(help=BY_TARGET, iterable=["set", "target"])
@menu.answering
@placed
def engine(_: Context, config=CONFIG, set=None, target=None, *, where):
    """Build an engine for each target."""
    menu.run_verb("engine", config, set, where, target)


@task(help={"engine": "the folder of an engine", "onnx": "the ONNX file it should be made from"})
@menu.answering
def preflight(_: Context, engine, onnx=""):
    """Say whether an engine may be opened on this machine, and what to do where not."""
    before_opening.preflight(engine, onnx)


@task(help=BY_TARGET, iterable=["set", "target"])
@menu.answering
@placed
def evaluate(_: Context, config=CONFIG, set=None, target=None, *, where):
    """Measure the COCO figures of the checkpoints and of each engine."""
    menu.run_verb("evaluate", config, set, where, target)


@task(
    help={**BY_TARGET, "again": "time it anew, even if nothing changed"},
    iterable=["set", "target"],
)
@menu.answering
@placed
def profile(_: Context, config=CONFIG, set=None, target=None, again=False, *, where):
    """Time each engine, step by step."""
    menu.run_verb("profile", config, set, where, target, again=again)


@task(
    help={
        **HELP,
        "target": "a name in targets.toml",
        "precision": "fp32, fp16 or int8, instead of the target's",
    },
    iterable=["set"],
)
@menu.answering
@placed
def build_jetson_engine(_: Context, target, precision="", config=CONFIG, set=None, *, where):
    """Build, evaluate and profile a target's engine, here or there (--engine ssh://user@jetson)."""
    menu.build_jetson_engine(target, config, set, where, precision=precision)


@task(help=HELP, iterable=["set"])
@menu.answering
@placed
def report(_: Context, config=CONFIG, set=None, *, where):
    """Judge the gates and write the report."""
    menu.run_pipeline(config, set, where)


@task(help=HELP, iterable=["set"])
@menu.answering
@placed
def status(_: Context, config=CONFIG, set=None, *, where):
    """Show what is made already and what would run."""
    menu.show_status(config, set, where)


@task(help={"name": "a step or a stage, as `invoke status` names it", **HELP}, iterable=["set"])
@menu.answering
@placed
def why(_: Context, name, config=CONFIG, set=None, *, where):
    """Explain why a step would run again, or would not."""
    menu.show_why(name, config, set, where)


@task(
    help={
        "tag": "a tag or digest, as `invoke train` prints it",
        "into": "a folder that is not there yet",
    }
)
@menu.answering
def checkout(_: Context, tag, into):
    """Copy an artifact's files out of the store, verified."""
    upkeep.checkout(tag, into)


@task(help={"mend": "remove what is damaged, so that the next run makes it again"})
@menu.answering
def verify(_: Context, mend=False):
    """Read every artifact again and compare it with its digest."""
    upkeep.verify(mend)


@task(
    help={
        "days": "keep what is younger (default: 30; of images always: 1)",
        "dry-run": "only say what would go",
        **WHERE_HELP,
    }
)
@menu.answering
@placed
def gc(context: Context, days="30", dry_run=False, *, where):
    """Remove cached results that no run name holds, what killed runs left, and outdated images."""
    upkeep.collect_garbage(days, dry_run or context.config.run.dry, where)


@task(name="build", help=BY_IMAGE, iterable=["name"])
@menu.answering
def images_build(_: Context, name=None, engine=""):
    """Build container images where they are missing."""
    from mmdet_jetson.cli import images as verbs  # noqa: PLC0415 - imports Docker's SDK

    verbs.build(name, engine)


@task(
    name="test",
    help={**BY_IMAGE, "again": "run them even where they have passed"},
    iterable=["name"],
)
@menu.answering
def images_test(_: Context, name=None, engine="", again=False):
    """Run each image's own tests inside it, and keep the result."""
    from mmdet_jetson.cli import images as verbs  # noqa: PLC0415 - imports Docker's SDK

    verbs.test(name, engine, again=again)


@task(name="pin")
@menu.answering
def images_pin(_: Context):
    """Resolve the tags of the base images to digests, in configs/images.toml."""
    from mmdet_jetson.cli import images as verbs  # noqa: PLC0415 - imports Docker's SDK

    verbs.pin()


@task
@menu.answering
def doctor(_: Context):
    """Tell what this machine can do and what is missing, with the command that mends it."""
    upkeep.show_doctor()


@task
def lint(context: Context):
    """Check style, types and the lock files."""
    for command in ("ruff check .", "ruff format --check .", "mypy"):
        context.run(f"{PYTHON} -m {command}", echo=True)
    bin = shlex.quote(str(Path(sys.executable).parent))
    workflows = "check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/ci.yml"
    for command in (workflows, "zizmor --offline --quiet .github"):
        context.run(f"{bin}/{command}", echo=True)


@task(help={"quick": "unit tests only: seconds, no environment needed"})
def test(context: Context, quick=False):
    """Run the tests."""
    folder = "tests/unit" if quick else ""
    context.run(f"{PYTHON} -m pytest {folder}", echo=True, pty=sys.stdout.isatty())


IMAGES = (images_build, images_test, images_pin)
TASKS = [each for each in vars().values() if isinstance(each, Task) and each not in IMAGES]
namespace = Collection(*TASKS, Collection("images", *IMAGES))
