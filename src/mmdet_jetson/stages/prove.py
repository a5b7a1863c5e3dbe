"""Stage `prove`: what was deployed detects what PyTorch detects, and by how much it differs.

Nothing is detected here: on every validation picture the detections of the checkpoint in PyTorch,
as evaluations have kept them, are matched one to one with those of the engine and, where there is
one, of the documented graph, each with the preprocessing that it is deployed with. The networks
inside the two graphs are compared node by node. The gate `proof` judges what is found here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence

import numpy as np

from mmdet_jetson.contract.job import Result
from mmdet_jetson.contract.parameters.prove import ProveParameters
from mmdet_jetson.contract.records import read_record, write_record
from mmdet_jetson.contract.report import CHECKPOINT, DOCUMENTED, EvaluationMetrics
from mmdet_jetson.stages.annotations.coco_file import read_predictions, read_split
from mmdet_jetson.stages.inference.graph import ONNX, PostProcessing, read_graph
from mmdet_jetson.stages.job import StageJob, main
from mmdet_jetson.stages.proving.deviation import Deviation, by_picture, deviation
from mmdet_jetson.stages.proving.networks import compare_files
from mmdet_jetson.stages.proving.proof import (
    ENGINE,
    PYTORCH,
    ComparedModel,
    NetworkComparison,
    Proof,
)

NOTHING = np.zeros((0, 6))


@dataclass(frozen=True)
class Deployed:
    """What is held against PyTorch: what the proof calls it, its evaluation and its graph."""

    title: str
    evaluation: Path
    graph: Path


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
    models = {PYTORCH: ComparedModel(_metrics(job.inputs[CHECKPOINT]).figures)}
    deployed = _deployed(job.inputs)
    for step, each in enumerate(deployed):
        job.progress(step, len(deployed), f"comparing the {each.title}")
        limits = read_graph(each.graph).post_processing
        deviations = _deviations(job, pictures, reference, _detections(each.evaluation), limits)
        total = sum(deviations.values(), Deviation())
        models[each.title] = ComparedModel(_metrics(each.evaluation).figures, total, deviations)
    evaluations = [_metrics(job.inputs[name]) for name in (CHECKPOINT, "engine")]
    proof = Proof(
        target=job.parameters.target,
        evidence=evaluations[-1].evidence,
        tolerances=job.parameters.tolerances,
        # What an evaluation has not covered, nothing was compared on.
        pictures=min(each.pictures for each in evaluations),
        models=models,
        network=_compare_networks(job),
    )
    write_record(job.output / "proof.json", proof)
    job.progress(len(deployed), len(deployed), "compared")
    return Result(metrics={title: model.figures["AP"] for title, model in models.items()})


def _deployed(inputs: Mapping[str, Path]) -> List[Deployed]:
    """List what was deployed; MMDeploy cannot write the documented graph of every detector."""
    engine = Deployed(ENGINE, inputs["engine"], inputs["graph"])
    if DOCUMENTED not in inputs:
        return [engine]
    return [Deployed("documented graph", inputs[DOCUMENTED], inputs["documented_graph"]), engine]


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
    job: StageJob[ProveParameters],
    pictures: Sequence[Picture],
    reference: Mapping[int, np.ndarray],
    found: Mapping[int, np.ndarray],
    limits: PostProcessing,
) -> Dict[str, Deviation]:
    return {
        picture.name: deviation(
            reference.get(picture.id, NOTHING),
            found.get(picture.id, NOTHING),
            picture.side,
            job.parameters.tolerances,
            limits,
        )
        for picture in pictures
    }


def _compare_networks(job: StageJob[ProveParameters]) -> Optional[NetworkComparison]:
    if "documented_graph" not in job.inputs:
        return None
    documented, fused = job.inputs["documented_graph"], job.inputs["graph"]
    return compare_files(documented / ONNX, fused / ONNX, read_graph(fused).folded)


if __name__ == "__main__":
    main(run, ProveParameters)
