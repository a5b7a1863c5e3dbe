"""Stage `prove`: what was deployed detects what PyTorch detects, and by how much it differs.

On every validation picture the detections of the checkpoint in PyTorch are matched one to one with
those of the documented graph, of the fused graph and of the engine, each with the preprocessing
that it is deployed with. The networks inside the two graphs are compared node by node.
"""

import importlib.util
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, List, Mapping

import numpy as np

from mmdet_jetson.stages.backends import sessions
from mmdet_jetson.stages.evaluation.coco_figures import coco_figures
from mmdet_jetson.stages.evaluation.evaluation import Validation, prediction
from mmdet_jetson.stages.inference.detector import Detector
from mmdet_jetson.stages.inference.preprocessing import read_picture
from mmdet_jetson.stages.job import Job, Result, main
from mmdet_jetson.stages.proving.matching import (
    LEAST_SCORE,
    NEAR,
    Deviation,
    by_picture,
    deviation,
)

NOTHING = np.zeros((0, 6))
Predictions = List[Dict[str, Any]]


def run(job: Job) -> Result:
    """Write ``proof.json``."""
    validation = Validation.read(job.inputs["dataset"])
    detectors, warnings = _detectors(job)
    reference = _read(job.inputs["reference"] / "predictions.json")
    figures = _read(job.inputs["reference"] / "metrics.json")["figures"]
    models: Dict[str, Any] = {"pytorch": {"figures": figures}}
    for step, (name, detector) in enumerate(detectors.items()):
        job.progress(step, len(detectors), f"detecting with the {name}")
        models[name] = _judge(detector, validation, reference)
    proof = {
        "target": job.parameters["target"],
        "evidence": job.parameters["evidence"],
        "near": NEAR,
        "least_score": LEAST_SCORE,
        "pictures": len(validation.images),
        "models": models,
        "network": _compare_networks(job),
    }
    (job.outputs["proof"] / "proof.json").write_text(json.dumps(proof, indent=1))
    job.progress(len(detectors), len(detectors), "compared")
    metrics = {name: model["figures"]["AP"] for name, model in models.items()}
    return Result(metrics=metrics, warnings=warnings)


def _detectors(job: Job) -> "tuple[Dict[str, Detector], List[str]]":
    """Open what this machine can run: the two graphs in ONNX Runtime, and the engine."""
    detectors: Dict[str, Detector] = {}
    warnings: List[str] = []
    if importlib.util.find_spec("onnxruntime"):
        detectors["documented graph"] = Detector.of_graph(job.inputs["documented"])
        detectors["fused graph"] = Detector.of_graph(job.inputs["onnx"])
    else:
        warnings.append("without onnxruntime here, the graphs themselves were not run")
    passport = _read(job.inputs["engine"] / "passport.json")
    if sessions(passport["backend"]).can_run():
        detectors["engine"] = Detector.load(job.inputs["engine"])
    else:
        warnings.append(f"the engine for {passport['backend']} cannot be run on this machine")
    return detectors, warnings


def _judge(detector: Detector, validation: Validation, reference: Predictions) -> Dict[str, Any]:
    """Detect on every picture; give AP, the deviation from the reference, and it by picture."""
    predictions: Predictions = []
    incomplete = 0
    for image in validation.images:
        picture = read_picture(validation.path(image))
        outputs = detector.outputs(picture)
        found = detector.postprocess(outputs, (picture.shape[1], picture.shape[0]))
        predictions += [prediction(image["id"], each) for each in found]
        incomplete += not detector.is_complete(outputs)
    deviations = _deviations(validation, reference, predictions)
    return {
        "figures": coco_figures(validation.annotations, predictions).figures,
        "incomplete_nms": incomplete,
        "deviation": asdict(sum(deviations.values(), Deviation())),
        "by_picture": {name: asdict(each) for name, each in deviations.items()},
    }


def _deviations(
    validation: Validation, reference: Predictions, predictions: Predictions
) -> Dict[str, Deviation]:
    expected, found = by_picture(reference), by_picture(predictions)
    return {
        image["file_name"]: deviation(
            expected.get(image["id"], NOTHING),
            found.get(image["id"], NOTHING),
            max(image["width"], image["height"]),
        )
        for image in validation.images
    }


def _compare_networks(job: Job) -> Dict[str, Any]:
    """Compare the networks, where ``onnx`` is installed: a Jetson may lack it."""
    if not importlib.util.find_spec("onnx"):
        return {}
    from mmdet_jetson.stages.proving.networks import compare_files  # noqa: PLC0415

    graph: Mapping[str, Any] = _read(job.inputs["onnx"] / "graph.json")
    std = None if graph["input"] == "tensor" else graph["preprocessing"]["std"]
    nodes, differences = compare_files(
        job.inputs["documented"] / "end2end.onnx", job.inputs["onnx"] / "end2end.onnx", std
    )
    return {"nodes": nodes, "differences": differences}


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main(run)
