"""Ask, before an engine is opened, whether this machine may run it: `invoke preflight FOLDER`."""

import json
import tempfile
from pathlib import Path

from rich.console import Console

from mmdet_jetson.config.settings import read_settings
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.runtimes.host import HostRuntime


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
    runtime = HostRuntime(read_settings(), Console(stderr=True).print)
    with tempfile.TemporaryDirectory() as scratch:
        job = Path(scratch)
        (job / "job.json").write_text(
            json.dumps(
                {
                    "stage": "preflight",
                    "parameters": {"onnx": str(Path(onnx).absolute()) if onnx else None},
                    "inputs": {"engine": str(folder)},
                    "outputs": {},
                    "work": "work",
                }
            )
        )
        step = Step("preflight", "preflight", _environment(folder), "preflight", {})
        facts = runtime.run(step, job, {}, lambda progress: None).facts
    shown = ", ".join(f"{name} {value}" for name, value in facts.items() if value is not None)
    Console().print(f"this engine may be opened here: {shown}", highlight=False, soft_wrap=True)


def _environment(folder: Path) -> str:
    """Choose where the engine's backend is installed; the stage itself says what is damaged."""
    try:
        backend = json.loads((folder / "passport.json").read_text())["backend"]
    except (OSError, ValueError, KeyError, TypeError):
        return "deploy"
    return "deploy-rtx" if backend == "tensorrt_rtx" else "deploy"
