"""Ask, before an engine is opened, whether this machine may run it: `invoke preflight FOLDER`."""

import json
import tempfile
from pathlib import Path

from rich.console import Console

from mmdet_jetson.cli.one_stage import run_stage
from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.contract.parameters.preflight import PreflightParameters
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning.stages import PREFLIGHT
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.runtimes.selection import DEPLOY


def preflight(engine: str, onnx: str = "") -> None:
    """Check an engine's folder in the environment that would run it.

    ``onnx`` is the file it should have been built from, "" where none is at hand.

    Raises:
        UserError: the engine must not be opened here; says why and what to do.
    """
    folder = Path(engine).absolute()
    for path in filter(None, (engine, onnx)):
        if not Path(path).exists():
            raise UserError(f"{path} does not exist", "invoke checkout TAG FOLDER gets an engine")
    parameters = PreflightParameters(str(Path(onnx).absolute()) if onnx else None)
    step = Step(stage=PREFLIGHT, parameters=parameters, environment=_environment(folder))
    with tempfile.TemporaryDirectory() as scratch:
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
