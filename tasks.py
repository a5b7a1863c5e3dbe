"""The menu: `invoke --list` shows it, `invoke --help VERB` explains one entry."""

import shlex
import sys

from invoke import Context, task

from mmdet_jetson import menu, upkeep
from mmdet_jetson import preflight as before_opening

PYTHON = shlex.quote(sys.executable)
CONFIG = "configs/pipeline.toml"
HELP = {
    "config": f"the pipeline's TOML file (default: {CONFIG})",
    "set": "change a field: --set train.epochs=3 (may be repeated)",
}
BY_TARGET = {**HELP, "target": "a name in targets.toml, instead of the config's (repeatable)"}


@task(help=HELP, iterable=["set"])
@menu.answering
def demo(_: Context, config="configs/demo.toml", set=None):
    """Run the whole pipeline on drawn pictures: no GPU, no Docker, no download of data."""
    menu.run_pipeline(config, set)


@task(help=HELP, iterable=["set"])
@menu.answering
def pipeline(_: Context, config=CONFIG, set=None):
    """Run every stage, from the dataset to the report."""
    menu.run_pipeline(config, set)


@task(help=HELP, iterable=["set"])
@menu.answering
def dataset(_: Context, config=CONFIG, set=None):
    """Convert and check the dataset."""
    menu.run_verb("dataset", config, set)


@task(help=HELP, iterable=["set"])
@menu.answering
def train(_: Context, config=CONFIG, set=None):
    """Train the detector and keep its best checkpoint."""
    menu.run_verb("train", config, set)


@task(help=BY_TARGET, iterable=["set", "target"])
@menu.answering
def export(_: Context, config=CONFIG, set=None, target=None):
    """Turn the checkpoint into an ONNX file for each target."""
    menu.run_verb("export", config, set, target)


@task(help=BY_TARGET, iterable=["set", "target"])
@menu.answering
def engine(_: Context, config=CONFIG, set=None, target=None):
    """Build an engine for each target."""
    menu.run_verb("engine", config, set, target)


@task(
    help={**HELP, "target": "a name in targets.toml", "precision": "fp32, fp16 or int8"},
    iterable=["set"],
)
@menu.answering
def build_jetson_engine(_: Context, target, precision="", config=CONFIG, set=None):
    """Build one target's engine on this device, with what its checkpoint needs before."""
    menu.run_verb("engine", config, set, [target], precision=precision)


@task(help={"engine": "the folder of an engine", "onnx": "the ONNX file it should be made from"})
@menu.answering
def preflight(_: Context, engine, onnx=""):
    """Say whether an engine may be opened on this machine, and what to do where not."""
    before_opening.preflight(engine, onnx)


@task(help=BY_TARGET, iterable=["set", "target"])
@menu.answering
def evaluate(_: Context, config=CONFIG, set=None, target=None):
    """Measure the COCO figures of the checkpoints and of each engine."""
    menu.run_verb("evaluate", config, set, target)


@task(
    help={**BY_TARGET, "again": "time it anew, even if nothing changed"},
    iterable=["set", "target"],
)
@menu.answering
def profile(_: Context, config=CONFIG, set=None, target=None, again=False):
    """Time each engine, step by step."""
    menu.run_verb("profile", config, set, target, again=again)


@task(help=HELP, iterable=["set"])
@menu.answering
def report(_: Context, config=CONFIG, set=None):
    """Judge the gates and write the report."""
    menu.run_pipeline(config, set)


@task(help=HELP, iterable=["set"])
@menu.answering
def status(_: Context, config=CONFIG, set=None):
    """Show what is made already and what would run."""
    menu.show_status(config, set)


@task(help={"stage": "a step or a stage, as `invoke status` names it", **HELP}, iterable=["set"])
@menu.answering
def why(_: Context, stage, config=CONFIG, set=None):
    """Explain why a step would run again, or would not."""
    menu.show_why(stage, config, set)


@task(help={"tag": "as `invoke train` prints it", "into": "a folder that does not exist yet"})
@menu.answering
def checkout(_: Context, tag, into):
    """Copy an artifact's files out of the store, verified."""
    upkeep.checkout(tag, into)


@task(help={"mend": "remove what is damaged, so that the next run makes it again"})
@menu.answering
def verify(_: Context, mend=False):
    """Read every artifact again and compare it with its digest."""
    upkeep.verify(mend)


@task(help={"days": "keep cached results younger than this", "dry-run": "only say what would go"})
@menu.answering
def gc(_: Context, days=30, dry_run=False):
    """Remove cached results that no run name holds, and what killed runs left."""
    upkeep.collect_garbage(days, dry_run)


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


@task(help={"quick": "unit tests only: seconds, no environment needed"})
def test(context: Context, quick=False):
    """Run the tests."""
    folder = "tests/unit" if quick else ""
    context.run(f"{PYTHON} -m pytest {folder}", echo=True, pty=sys.stdout.isatty())
