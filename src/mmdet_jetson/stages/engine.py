"""Stage `engine`: compile an exported network for one target."""

import hashlib
import json
import platform
import shutil
from pathlib import Path
from typing import Any, Dict

import onnx

from mmdet_jetson.stages.detection.backends import Built, backend
from mmdet_jetson.stages.detection.machine import cpu_name
from mmdet_jetson.stages.job import Job, Result, StageError, main

COPIED = ("deploy.json", "pipeline.json", "detail.json", "graph.json")
# An engine that does the same arithmetic in another order stays a hundred times below.
MAX_DIFFERENCE = 1e-3


def run(job: Job) -> Result:
    """Build the engine, compare it with the ONNX file and write its passport."""
    source, folder = job.inputs["onnx"], job.outputs["engine"]
    model = source / "end2end.onnx"
    builder = backend(job.parameters["backend"])
    job.progress(0, 2, "checking the graph")
    check_model(model)
    job.progress(1, 2, f"building for {job.parameters['target']}")
    built = builder.build(model, folder, job.parameters["precision"])
    check_difference(built)
    for name in COPIED:
        shutil.copyfile(source / name, folder / name)
    facts = {**builder.versions(), **built.settings}
    described = passport(job, built, model, builder.versions())
    (folder / "passport.json").write_text(json.dumps(described, indent=1))
    job.progress(2, 2, "built")
    metrics = {"max_difference": built.max_difference, "bytes": built.file.stat().st_size}
    return Result(metrics=metrics, facts=facts)


def check_model(model: Path) -> None:
    """Refuse a file that is no valid ONNX graph."""
    hint = "run the export again; `invoke verify` finds artifacts that changed on disk"
    if not model.is_file():
        raise StageError(f"there is no {model.name} in {model.parent}", hint)
    try:
        onnx.checker.check_model(str(model))
    except onnx.checker.ValidationError as error:
        reason = str(error).strip().splitlines()[0]
        raise StageError(f"{model.name} is not a valid ONNX file: {reason}", hint) from error


def check_difference(built: Built) -> None:
    """Refuse an engine that detects something else than the graph it was built from."""
    if not built.max_difference <= MAX_DIFFERENCE:
        raise StageError(
            f"the engine's detections differ by {built.max_difference:.3g} from the ONNX file's, "
            f"more than {MAX_DIFFERENCE:g}",
            "keep the log: an optimisation changed the result, which is a bug of the backend",
        )


def passport(job: Job, built: Built, model: Path, versions: Dict[str, str]) -> Dict[str, Any]:
    """Say what an engine is, what it was built from, with what and where."""
    return {
        "target": job.parameters["target"],
        "backend": job.parameters["backend"],
        "precision": job.parameters["precision"],
        "engine": {
            "file": built.file.name,
            "sha256": _sha256(built.file),
            "bytes": built.file.stat().st_size,
        },
        "onnx": {"sha256": _sha256(model)},
        "versions": {"python": platform.python_version(), "onnx": onnx.__version__, **versions},
        "settings": built.settings,
        "platform": {
            "machine": platform.machine(),
            "system": platform.platform(),
            "cpu": cpu_name(),
        },
    }


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


if __name__ == "__main__":
    main(run)
