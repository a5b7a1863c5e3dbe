"""Ask, before an engine is opened, whether this machine may run it: `invoke preflight FOLDER`."""

import json
import tempfile
from pathlib import Path

from rich.console import Console

from mmdet_jetson.cli.one_stage import run_stage
from mmdet_jetson.cli.pipelines import engine_folder
from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.contract.parameters.preflight import PreflightParameters
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning.stages import DEPLOY, PREFLIGHT
from mmdet_jetson.planning.steps import Step


def preflight(engine: str, onnx: str = "") -> None:
    """Check an engine in the environment that would run it.

    ``engine`` is a folder, or the tag or digest of an artifact. ``onnx`` is the file it should have
    been built from, "" where none is at hand.

    Raises:
        UserError: the engine must not be opened here; says why and what to do.
    """
    built_from = Path(onnx).expanduser().absolute() if onnx else None
    if built_from and not built_from.is_file():
        raise UserError(
            f"--onnx {onnx} is not a file",
            "name the ONNX file that the engine was built from, or leave it out",
        )
    parameters = PreflightParameters(str(built_from) if built_from else None)
    with tempfile.TemporaryDirectory() as scratch:
        folder = engine_folder(engine, Path(scratch))
        step = Step(stage=PREFLIGHT, parameters=parameters, environment=_environment(folder))
        facts = run_stage(step, {"engine": folder}, Path(scratch, "job")).facts
    shown = ", ".join(f"{name} {value}" for name, value in facts.items() if value is not None)
    sentence = f"this engine may be opened here: {shown}"
    Console().print(sentence, highlight=False, markup=False, soft_wrap=True)


def _environment(folder: Path) -> str:
    """Choose where the engine's backend is installed; the stage itself says what is damaged."""
    try:
        backend = json.loads((folder / "passport.json").read_text())["backend"]
        return BACKENDS[backend].environment
    except (OSError, ValueError, KeyError, TypeError):
        return DEPLOY
