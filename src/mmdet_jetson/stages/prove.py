"""Stage `prove`: what was deployed detects what PyTorch detects, and by how much it differs.

Nothing is detected here: on every validation picture the detections of the checkpoint in PyTorch,
as evaluations have kept them, are matched one to one with those of the documented graph and of the
engine, each with the preprocessing that it is deployed with. The networks inside the two graphs are
compared node by node.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Sequence

import numpy as np

from mmdet_jetson.contract.job import Result
from mmdet_jetson.contract.parameters.prove import ProveParameters
from mmdet_jetson.contract.records import read_record, write_record
from mmdet_jetson.contract.report import CHECKPOINT, DOCUMENTED, EvaluationMetrics
from mmdet_jetson.stages.annotations.coco_file import read_predictions, read_split
from mmdet_jetson.stages.inference.graph import ONNX, read_graph
from mmdet_jetson.stages.job import StageJob, main
from mmdet_jetson.stages.proving.matching import (
    LEAST_SCORE,
    NEAR,
    Deviation,
    by_picture,
    deviation,
)
from mmdet_jetson.stages.proving.networks import compare_files
from mmdet_jetson.stages.proving.proof import PYTORCH, ComparedModel, NetworkComparison, Proof

NOTHING = np.zeros((0, 6))
COMPARED = {DOCUMENTED: "documented graph", "engine": "engine"}
"""The inputs that are held against PyTorch, and what the proof calls them."""


@dataclass(frozen=True)
class Picture:
    """A validation picture: its id and file name in COCO's file, its longer side in pixels."""

    id: int
    name: str
    side: int


def run(job: StageJob[ProveParameters]) -> Result:
    """Write ``proof.json``."""
    pictures = _pictures(job.inputs["dataset"] / "val.json")
    reference = _detections(job.inputs[CHECKPOINT])
    metrics = {name: _metrics(job.inputs[name]) for name in (CHECKPOINT, *COMPARED)}
    models = {PYTORCH: ComparedModel(metrics[CHECKPOINT].figures)}
    for step, (name, title) in enumerate(COMPARED.items()):
        job.progress(step, len(COMPARED), f"comparing the {title}")
        deviations = _deviations(pictures, reference, _detections(job.inputs[name]))
        total = sum(deviations.values(), Deviation())
        models[title] = ComparedModel(metrics[name].figures, total, deviations)
    proof = Proof(
        target=job.parameters.target,
        evidence=metrics["engine"].evidence,
        near=NEAR,
        least_score=LEAST_SCORE,
        pictures=len(pictures),
        models=models,
        network=_compare_networks(job),
    )
    write_record(job.output / "proof.json", proof)
    job.progress(len(COMPARED), len(COMPARED), "compared")
    return Result(metrics={title: model.figures["AP"] for title, model in models.items()})


def _pictures(annotations: Path) -> List[Picture]:
    return [
        Picture(image["id"], image["file_name"], max(image["width"], image["height"]))
        for image in sorted(read_split(annotations)["images"], key=lambda each: each["file_name"])
    ]


def _detections(evaluation: Path) -> Mapping[int, np.ndarray]:
    return by_picture(read_predictions(evaluation / "predictions.json"))


def _metrics(evaluation: Path) -> EvaluationMetrics:
    return read_record(evaluation / "metrics.json", EvaluationMetrics)


def _deviations(
    pictures: Sequence[Picture],
    reference: Mapping[int, np.ndarray],
    found: Mapping[int, np.ndarray],
) -> Dict[str, Deviation]:
    return {
        picture.name: deviation(
            reference.get(picture.id, NOTHING), found.get(picture.id, NOTHING), picture.side
        )
        for picture in pictures
    }


def _compare_networks(job: StageJob[ProveParameters]) -> NetworkComparison:
    documented, fused = job.inputs["documented_graph"], job.inputs["graph"]
    return compare_files(documented / ONNX, fused / ONNX, read_graph(fused).folded)


if __name__ == "__main__":
    main(run, ProveParameters)
