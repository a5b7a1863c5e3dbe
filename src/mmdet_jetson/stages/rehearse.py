"""Stage `rehearse`: an engine is made of the untrained model, and shown a picture of every size.

What a check has exported goes through the code that will compile the trained model's graph, and
through the engine's own preprocessing. So what the stages behind a training would refuse is refused
before it. The engine is thrown away: what it detects with random weights means nothing.
"""

import json
import time
import traceback
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Iterator, List, Optional, Tuple

import numpy as np

from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.contract.job import Result
from mmdet_jetson.contract.parameters.base import Size
from mmdet_jetson.contract.parameters.engine import EngineParameters
from mmdet_jetson.contract.parameters.rehearse import SIZES, RehearseParameters, export_folder
from mmdet_jetson.stages.backends import load_backend
from mmdet_jetson.stages.building.calibration import Calibration
from mmdet_jetson.stages.building.operators import custom_operators
from mmdet_jetson.stages.engines.asking import (
    check_model,
    check_precision,
    choose_calibration,
    copy_descriptions,
    request_for,
    too_few,
)
from mmdet_jetson.stages.engines.opening import open_built, open_graph
from mmdet_jetson.stages.errors import StageError, reason_of
from mmdet_jetson.stages.inference.detector import Detector
from mmdet_jetson.stages.inference.graph import ONNX
from mmdet_jetson.stages.inference.size_classes import Classes
from mmdet_jetson.stages.job import StageJob, main

CALIBRATED = 2
"""How many pictures calibrate it: what they show does not matter, for nothing is judged."""
NOT_HERE = "{backend} compiles on its device only, so that was not tried"
NOT_RUN = "it runs on a GPU only, so its graph was run in ONNX Runtime instead"
NOT_AT_ALL = "{custom} of its graph needs TensorRT's plugin, so no picture was tried"
STEPS = 3


def run(job: StageJob[RehearseParameters]) -> Result:
    """Write ``rehearsal.json``, or say what would fail after the training."""
    told, made_of = job.parameters.engine, job.inputs["check"]
    exported = made_of / export_folder(job.parameters.exported)
    job.progress(0, STEPS, f"building for {told.target}")
    began = time.monotonic()
    with TemporaryDirectory(dir=job.work) as folder, refusing(told.target):
        inputs = {**job.inputs, "onnx": exported}
        building = StageJob(told, inputs, Path(folder), job.work, channel=job.channel)
        detector, found, doubts = rehearsed(building)
        seconds = round(time.monotonic() - began, 1)
        sizes = read_sizes(made_of / SIZES)
        if detector:
            job.progress(1, STEPS, "showing it a picture of every size")
            show_pictures(detector, sizes, told.target)
    job.progress(STEPS, STEPS, "rehearsed")
    shown = len(sizes) if detector else 0
    sentence = found.format(seconds=f"{seconds:g} s", pictures=_of_pictures(shown))
    content = {"target": told.target, "found": sentence, "sizes": dict(sizes) if detector else {}}
    (job.output / "rehearsal.json").write_text(json.dumps(content, indent=1) + "\n")
    metrics = {"seconds": seconds, "sizes": shown}
    return Result(metrics=metrics, facts={"found": sentence}, warnings=tuple(doubts))


@contextmanager
def refusing(target: str) -> Iterator[None]:
    """Say of what is refused that it would have been so after the training."""
    try:
        yield
    except StageError as error:
        raise StageError(
            f"an engine for {target} could not be used after this training: {error.message}",
            error.hint,
        ) from error


def rehearsed(job: StageJob[EngineParameters]) -> Tuple[Optional[Detector], str, List[str]]:
    """Build what can be built here.

    Returns the detector to show pictures, what it is in words, and warnings. The words have places
    for ``seconds`` and ``pictures``.
    """
    told, exported = job.parameters, job.inputs["onnx"]
    check_precision(told.backend, told.precision)
    check_model(exported / ONNX)
    calibration = choose_calibration(job)
    doubts = too_few(calibration, told.calibration_pictures)
    if BACKENDS[told.backend].builds_on_its_device:
        words = NOT_HERE.format(backend="TensorRT")
        detector = graph_of(exported)
        ran = "its graph went through ONNX Runtime with {pictures}"
        custom = ", ".join(custom_operators(exported / ONNX))
        seen = ran if detector else NOT_AT_ALL.format(custom=custom)
        return detector, f"{told.target}: {words}; {seen}", doubts
    detector, remark = build(job, exported, calibration)
    built = f"an engine for {told.target} was built in {{seconds}}; {{pictures}} went through"
    return detector, built + (f" ({remark})" if remark else ""), doubts


def build(
    job: StageJob[EngineParameters], exported: Path, calibration: Optional[Calibration]
) -> Tuple[Optional[Detector], str]:
    """Compile the untrained graph; return what detects, and what is to be said of that."""
    backend = load_backend(job.parameters.backend)
    copy_descriptions(job, exported, job.output)
    if calibration:
        calibration = replace(calibration, pictures=calibration.pictures[:CALIBRATED])
    request = request_for(job, exported, job.output, calibration)
    built = backend.build(request)
    if backend.can_run(request):
        return open_built(backend, built, request), ""
    return graph_of(exported), NOT_RUN


def graph_of(exported: Path) -> Optional[Detector]:
    """Open an exported graph in ONNX Runtime, where that has all of its operators."""
    return None if custom_operators(exported / ONNX) else open_graph(exported)


def read_sizes(path: Path) -> Classes:
    """Read what a check says of the dataset's pictures."""
    content = json.loads(path.read_text())
    return tuple((name, (int(size[0]), int(size[1]))) for name, size in content.items())


def show_pictures(detector: Detector, sizes: Classes, target: str) -> None:
    """Detect on one picture of every size.

    Raises:
        StageError: one does not go through.
    """
    for name, size in sizes:
        try:
            detector.detect(_noise(size))
        except StageError:
            raise
        except Exception as error:  # whatever a backend's library raises
            traceback.print_exc()
            raise StageError(
                f"a picture of {size[0]}x{size[1]} (the {name} of the dataset) does not go through "
                f"the engine for {target}: {reason_of(error)}",
                "the log has the traceback; another input_size, or another input of the target, "
                "may do",
            ) from error


def _noise(size: Size) -> np.ndarray:
    random = np.random.default_rng(0)
    return random.integers(0, 256, (size[1], size[0], 3), np.uint8)


def _of_pictures(count: int) -> str:
    return f"pictures of {count} sizes" if count > 1 else "a picture of the one size there is"


if __name__ == "__main__":
    main(run, RehearseParameters)
