"""Stage `evaluate_engine`: the COCO figures of an engine, with its own preprocessing."""

from dataclasses import asdict
from pathlib import Path
from typing import List

from mmdet_jetson.stages.evaluation.evaluation import (
    Validation,
    evaluate,
    write_evaluation,
    write_pictures,
)
from mmdet_jetson.stages.inference.boxes import Detection
from mmdet_jetson.stages.inference.detector import Detector
from mmdet_jetson.stages.inference.preprocessing import read_picture
from mmdet_jetson.stages.job import Job, Result, StageError, main


def run(job: Job) -> Result:
    """Detect on every validation picture, then judge, write and draw."""
    detector = Detector.load(job.inputs["engine"])
    validation = Validation.read(job.inputs["dataset"])
    check_classes(detector, validation)
    folder = job.outputs["evaluation"]

    incomplete: List[str] = []

    def detect(path: Path) -> List[Detection]:
        picture = read_picture(path)
        outputs = detector.outputs(picture)
        if not detector.is_complete(outputs):
            incomplete.append(path.name)
        return detector.postprocess(outputs, (picture.shape[1], picture.shape[0]))

    found = evaluate(job, validation, detect)
    description = {
        "subject": "engine",
        "evidence": job.parameters["evidence"],
        "preprocessing": asdict(detector.preprocessing),
    }
    figures = write_evaluation(folder, validation, found, description)
    first_name = f"output_{detector.passport['backend']}.jpg"
    write_pictures(folder, validation, found, job.parameters, first_name)
    return Result(
        metrics=figures.figures,
        facts=dict(detector.passport["versions"]),
        warnings=doubts(incomplete, len(validation.images)),
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
    main(run)
