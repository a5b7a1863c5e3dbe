"""Stage `evaluate_engine`: the COCO figures of an engine, with its own preprocessing."""

from dataclasses import asdict
from pathlib import Path
from typing import List

from mmdet_jetson.stages.detection.detector import Detector
from mmdet_jetson.stages.detection.drawing import Detection
from mmdet_jetson.stages.detection.evaluation import (
    Validation,
    evaluate,
    write_evaluation,
    write_pictures,
)
from mmdet_jetson.stages.detection.preprocessing import read_picture
from mmdet_jetson.stages.job import Job, Result, StageError, main


def run(job: Job) -> Result:
    """Detect on every validation picture, then judge, write and draw."""
    detector = Detector.load(job.inputs["engine"])
    validation = Validation.read(job.inputs["dataset"])
    check_classes(detector, validation)
    folder = job.outputs["evaluation"]

    def detect(path: Path) -> List[Detection]:
        return detector.detect(read_picture(path))

    found = evaluate(job, validation, detect)
    description = {
        "subject": "engine",
        "evidence": job.parameters["evidence"],
        "preprocessing": asdict(detector.preprocessing),
    }
    figures = write_evaluation(folder, validation, found, description)
    first_name = f"output_{detector.passport['backend']}.jpg"
    write_pictures(folder, validation, found, job.parameters, first_name)
    return Result(metrics=figures.figures, facts=dict(detector.passport["versions"]))


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
