"""Write the files that a serving pipeline needs to run an engine: `invoke export-for`."""

import os
import tempfile
from pathlib import Path

from rich.console import Console

from mmdet_jetson.cli.one_stage import run_stage
from mmdet_jetson.cli.thresholds import place_thresholds
from mmdet_jetson.cli.upkeep import named
from mmdet_jetson.config.settings import read_settings
from mmdet_jetson.config.toml import nearest
from mmdet_jetson.contract.job import OUTPUT
from mmdet_jetson.contract.parameters.export_for import ExportForParameters
from mmdet_jetson.contract.pipelines import PIPELINES
from mmdet_jetson.errors import UserError
from mmdet_jetson.files import folder_to_write, make_folder
from mmdet_jetson.planning.stages import DEPLOY, ENGINE, EXPORT_FOR
from mmdet_jetson.planning.steps import Step


def export_for(pipeline: str, engine: str, to: str) -> None:
    """Write for a pipeline into a folder, beside what is there already.

    ``engine`` is a folder, or the tag or digest of an artifact. The engine is not opened, so any
    machine will do.

    Raises:
        UserError: the pipeline cannot run it, or something is in the way; nothing is written.
    """
    if pipeline not in PIPELINES:
        raise UserError(
            f"engines cannot be exported for {pipeline!r}", nearest(pipeline, PIPELINES)
        )
    into = folder_to_write(to, read_settings().artifacts)
    is_new = not into.exists()
    make_folder(into)
    step = Step(stage=EXPORT_FOR, parameters=ExportForParameters(pipeline), environment=DEPLOY)
    try:
        # In the same file system, so that what is made only has to be renamed.
        with tempfile.TemporaryDirectory(prefix=".export-for-", dir=into) as scratch:
            job = Path(scratch, "job")
            result = run_stage(step, {"engine": engine_folder(engine, Path(scratch))}, job)
            made = _place(sorted((job / OUTPUT).iterdir()), into)
    finally:
        if is_new and not any(into.iterdir()):
            into.rmdir()
    console = Console()
    for warning in result.warnings:
        console.print(f"warning: {warning}", highlight=False, markup=False, soft_wrap=True)
    names = ", ".join(path.name for path in made)
    console.print(
        f"for {pipeline}, in {to}: {names}", highlight=False, markup=False, soft_wrap=True
    )


def engine_folder(engine: str, scratch: Path) -> Path:
    """Give the folder that is named, or else check the artifact out that is."""
    folder = Path(engine).expanduser()
    if folder.is_dir():
        return folder.absolute()
    if "/" in engine or folder.exists():
        what = "is a file" if folder.is_file() else "is no folder"
        raise UserError(
            f"{engine} {what}, and an engine is one",
            "name its folder, or its tag, as NAME.engine-TARGET",
        )
    store, artifact = named(engine, ENGINE.verb)
    if artifact.kind != ENGINE.makes:
        raise UserError(
            f"{engine} is no engine, but the {artifact.kind} of step {artifact.provenance.step}",
            "invoke status names the engines of a pipeline",
        )
    store.checkout(artifact, scratch / "engine")
    place_thresholds(store, artifact, scratch / "engine")
    return scratch / "engine"


def _place(made: list[Path], into: Path) -> list[Path]:
    there = [path.name for path in made if os.path.lexists(into / path.name)]
    if there:
        raise UserError(f"{into / there[0]} exists already", "remove it, or name another folder")
    return [path.rename(into / path.name) for path in made]
