"""Stage `prove`: what was deployed detects what PyTorch detects, and by how much it differs.

Nothing is detected here: on every validation picture the detections of the checkpoint in PyTorch, as
evaluations have kept them, are matched one to one with those of the documented graph and of the
engine, each with the preprocessing that it is deployed with. The networks inside the two graphs are
compared node by node.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from mmdet_jetson.contract.job import Result
from mmdet_jetson.contract.parameters import ProveParameters
from mmdet_jetson.contract.records import read_record
from mmdet_jetson.contract.report import CHECKPOINT, DOCUMENTED, EvaluationMetrics
from mmdet_jetson.stages.job import StageJob, main
from mmdet_jetson.stages.proving.matching import (
    LEAST_SCORE,
    NEAR,
    Deviation,
    by_picture,
    deviation,
)
from mmdet_jetson.stages.proving.networks import compare_files

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
    models: Dict[str, Dict[str, object]] = {"pytorch": {"figures": metrics[CHECKPOINT].figures}}
    for step, (name, title) in enumerate(COMPARED.items()):
        job.progress(step, len(COMPARED), f"comparing the {title}")
        deviations = _deviations(pictures, reference, _detections(job.inputs[name]))
        models[title] = {
            "figures": metrics[name].figures,
            "deviation": asdict(sum(deviations.values(), Deviation())),
            "by_picture": {picture: asdict(each) for picture, each in deviations.items()},
        }
    nodes, differences = _compare_networks(job)
    proof = {
        "target": job.parameters.target,
        "evidence": metrics["engine"].evidence,
        "near": NEAR,
        "least_score": LEAST_SCORE,
        "pictures": len(pictures),
        "models": models,
        "network": {"nodes": nodes, "differences": differences},
    }
    (job.output / "proof.json").write_text(json.dumps(proof, indent=1))
    job.progress(len(COMPARED), len(COMPARED), "compared")
    compared = {COMPARED.get(name, "pytorch"): each.figures["AP"] for name, each in metrics.items()}
    return Result(metrics=compared)


def _pictures(annotations: Path) -> List[Picture]:
    content = json.loads(annotations.read_text(encoding="utf-8"))
    return [
        Picture(image["id"], image["file_name"], max(image["width"], image["height"]))
        for image in sorted(content["images"], key=lambda image: str(image["file_name"]))
    ]


def _detections(evaluation: Path) -> Mapping[int, np.ndarray]:
    text = (evaluation / "predictions.json").read_text(encoding="utf-8")
    return by_picture(json.loads(text))


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


def _compare_networks(job: StageJob[ProveParameters]) -> Tuple[int, List[str]]:
    graph = json.loads((job.inputs["graph"] / "graph.json").read_text(encoding="utf-8"))
    std: Optional[List[float]] = None
    if graph["input"] != "tensor":
        std = graph["preprocessing"]["std"]
    file = "end2end.onnx"
    return compare_files(job.inputs["documented_graph"] / file, job.inputs["graph"] / file, std)


if __name__ == "__main__":
    main(run, ProveParameters)
