"""Stage `evaluate_engine`: the COCO figures of an engine, with its own preprocessing."""

from pathlib import Path
from typing import List

from mmdet_jetson.contract.job import Result
from mmdet_jetson.contract.parameters.evaluate import EvaluateEngineParameters
from mmdet_jetson.contract.report import DOCUMENTED
from mmdet_jetson.stages.backends import load_backend
from mmdet_jetson.stages.engines.opening import REFERENCE, open_engine, open_graph
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.evaluation.analysis import Wish, analyse
from mmdet_jetson.stages.evaluation.evaluation import (
    Described,
    Validation,
    evaluate,
    write_evaluation,
    write_pictures,
)
from mmdet_jetson.stages.inference.boxes import Detection
from mmdet_jetson.stages.inference.detector import Detector
from mmdet_jetson.stages.inference.preprocessing import read_picture
from mmdet_jetson.stages.job import StageJob, main


def run(job: StageJob[EvaluateEngineParameters]) -> Result:
    """Detect on every validation picture, then judge, write and draw."""
    engine = job.inputs.get("engine")
    detector = open_engine(engine) if engine else open_graph(job.inputs["onnx"])
    validation = Validation.read(job.inputs["dataset"])
    check_classes(detector, validation)
    folder = job.output

    incomplete: List[str] = []

    def detect(path: Path) -> List[Detection]:
        picture = read_picture(path)
        outputs = detector.outputs(picture)
        if not detector.is_complete(outputs):
            incomplete.append(path.name)
        return detector.postprocess(outputs, (picture.shape[1], picture.shape[0]))

    found = evaluate(job, validation, detect)
    subject = "engine" if engine else DOCUMENTED
    described = Described(subject, job.evidence, detector.preprocessing)
    figures = write_evaluation(folder, validation, found, described)
    passport = detector.passport
    backend = passport.backend if passport else REFERENCE
    drawing = job.parameters.drawing
    write_pictures(folder, validation, found, drawing, f"output_{backend}.jpg")
    wish = Wish(job.parameters.precision, otherwise=drawing.draw_threshold)
    unmet = analyse(folder, validation, found, described, wish)
    return Result(
        metrics=figures.figures,
        facts=passport.versions if passport else load_backend(backend).versions(),
        warnings=(*doubts(incomplete, len(validation.images)), *unmet),
    )


def doubts(incomplete: List[str], pictures: int) -> List[str]:
    """Say where the engine's NMS may have found less than NMS over all boxes would."""
    if not incomplete:
        return []
    return [
        f"on {len(incomplete)} of {pictures} pictures, such as {incomplete[0]}, the graph's NMS "
        "had more boxes than it takes, or too few rounds: faint detections may be missing. Raise "
        "candidates or rounds of [export] in pipeline.toml where they matter"
    ]


def check_classes(detector: Detector, validation: Validation) -> None:
    """Refuse to judge an engine by pictures of other classes."""
    if detector.classes != validation.classes:
        raise StageError(
            f"the engine detects {', '.join(detector.classes)}, "
            f"but the dataset has {', '.join(validation.classes)}",
            "train and export with the classes of this dataset",
        )


if __name__ == "__main__":
    main(run, EvaluateEngineParameters)
