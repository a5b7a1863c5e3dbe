"""Stage `engine`: compile an exported network for one target."""

import math
import platform
from dataclasses import asdict, replace
from typing import Optional

import onnx

from mmdet_jetson.contract.job import Result
from mmdet_jetson.contract.parameters.engine import EngineParameters, SessionSettings
from mmdet_jetson.contract.records import write_record
from mmdet_jetson.stages.backends import Backend, load_backend
from mmdet_jetson.stages.building.calibration import Calibration
from mmdet_jetson.stages.building.request import BuildRequest, Built
from mmdet_jetson.stages.engines.asking import (
    check_model,
    check_precision,
    choose_calibration,
    copy_descriptions,
    request_for,
    too_few,
)
from mmdet_jetson.stages.engines.comparison import Bound, compare_with
from mmdet_jetson.stages.engines.runner_file import write_runner
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.device import check_target
from mmdet_jetson.stages.inference.graph import ONNX
from mmdet_jetson.stages.inference.machine import cpu_name
from mmdet_jetson.stages.inference.passport import (
    PASSPORT,
    Compared,
    EngineFile,
    OnnxFile,
    Passport,
    Platform,
    sha256,
)
from mmdet_jetson.stages.job import StageJob, main

# An engine that does the same arithmetic in another order stays a hundred times below.
MAX_DIFFERENCE = 1e-3
# Lower precision is other arithmetic: how much it costs is for the evaluation to say. These tell an
# engine that detects something else altogether; docs/engines.md says what they were measured on.
LOOSE = Bound(from_score=0.05, box=0.01, score=0.1, alone=0.1)
LOOSER = Bound(from_score=0.05, box=0.02, score=0.2, alone=0.25)
BOUNDS = {"fp32": LOOSE, "fp16": LOOSE, "bf16": LOOSE, "int8": LOOSER}
STEPS = 3


def run(job: StageJob[EngineParameters]) -> Result:
    """Build the engine, compare it with the ONNX file, and write its passport."""
    source, folder = job.inputs["onnx"], job.output
    backend = load_backend(job.parameters.backend)
    check_precision(job.parameters.backend, job.parameters.precision)
    doubts = check_target(job.parameters.target, job.parameters.needs, backend.versions())
    job.progress(0, STEPS, "checking the graph")
    check_model(source / ONNX)
    copy_descriptions(job, source, folder)
    calibration = choose_calibration(job)
    request = request_for(job, source, folder, calibration)
    job.progress(1, STEPS, f"building for {job.parameters.target}")
    built = to_run_with(job.parameters.session, backend.build(request))
    job.progress(2, STEPS, "comparing it with the graph")
    compared = compare(backend, built, request)
    check_difference(compared, request.precision)
    write_runner(folder, job.parameters.backend)
    described = passport(job, built, request, compared, calibration)
    write_record(folder / PASSPORT, described)
    job.progress(STEPS, STEPS, "built")
    doubts += [*built.doubts, *too_few(calibration, job.parameters.calibration_pictures)]
    metrics = {"bytes": described.engine.bytes, "max_difference": compared.max_difference}
    judged = compared.max_difference if request.precision == "fp32" else compared.alone
    if judged is None:
        doubts.append(not_compared(job.parameters.target))
    facts = {**described.versions, **built.settings}
    return Result(metrics=metrics, facts=facts, warnings=tuple(doubts))


def to_run_with(session: SessionSettings, built: Built) -> Built:
    """Add what the passport tells those who open the engine: what of these settings is on."""
    on = {name: True for name, is_on in asdict(session).items() if is_on}
    return replace(built, settings={**built.settings, **on})


def compare(backend: Backend, built: Built, request: BuildRequest) -> Compared:
    """Compare the engine with the ONNX file, where it can run here."""
    if not backend.can_run(request):
        return Compared()
    graph = request.graph
    network = backend.open_session(built.file, request.precision, graph, built.settings)
    bound, largest = BOUNDS[request.precision], request.settings.largest_picture
    return compare_with(request.onnx, network, bound, graph, largest)


def check_difference(compared: Compared, precision: str) -> None:
    """Refuse an engine that detects something else than the graph it was built from."""
    difference, alone, allowed = compared.max_difference, compared.alone, BOUNDS[precision]
    if difference is None:
        return
    is_exact = precision == "fp32"
    if not math.isfinite(difference) or (is_exact and difference > MAX_DIFFERENCE):
        raise StageError(
            f"the engine's detections differ by {difference:.3g} from the ONNX file's"
            + (f", more than {MAX_DIFFERENCE:g}" if is_exact else ""),
            "keep the log: an optimisation changed the result, which is a bug of the backend",
        )
    if alone is not None and alone > allowed.alone:
        raise StageError(
            f"{100 * alone:.0f}% of the detections of the {precision} engine or of its ONNX file "
            f"are not in the other on a picture of noise; {100 * allowed.alone:.0f}% may",
            'set the target\'s precision to "fp32": where that engine is refused as well, keep the '
            f"log, for the backend is at fault; else {precision} costs this network too much",
        )


def not_compared(target: str) -> str:
    """Say that nobody has seen this engine detect anything yet."""
    return (
        f"the detections of the engine for {target} were not compared with the ONNX file's: it "
        "cannot run here, or they find nothing in noise that they are sure of. Evaluate it on its "
        "device"
    )


def passport(
    job: StageJob[EngineParameters],
    built: Built,
    request: BuildRequest,
    compared: Compared,
    calibration: Optional[Calibration],
) -> Passport:
    """Say what an engine is, what it was built from, with what, where, and where it may run."""
    beside = [path for path in sorted(request.folder.iterdir()) if path != built.file]
    versions = load_backend(job.parameters.backend).versions()
    return Passport(
        target=job.parameters.target,
        backend=job.parameters.backend,
        precision=request.precision,
        engine=engine_file(built),
        files={path.name: sha256(path) for path in beside},
        onnx=OnnxFile(sha256(request.onnx)),
        checkpoint=request.graph.checkpoint,
        calibration=calibration.described() if calibration else None,
        runs_on=built.runs_on,
        compared=compared,
        versions={"python": platform.python_version(), "onnx": onnx.__version__, **versions},
        settings=built.settings,
        platform=Platform(platform.machine(), platform.platform(), cpu_name()),
    )


def engine_file(built: Built) -> EngineFile:
    """Describe the file that is opened, and how large the engine is with its weights."""
    files = [built.file, *([built.weights] if built.weights else [])]
    size = sum(path.stat().st_size for path in files)
    return EngineFile(built.file.name, sha256(built.file), size)


if __name__ == "__main__":
    main(run, EngineParameters)
