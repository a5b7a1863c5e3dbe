"""What the host side sends is read in an image, by its own Python, as it was written."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from mmdet_jetson.contract.job import (
    Job,
    Progress,
    parse_progress,
    progress_line,
    read_job,
    write_job,
)
from mmdet_jetson.contract.parameters.export import ExportParameters, FusedParameters
from mmdet_jetson.contract.records import ContractError, decode

PARAMETERS = ExportParameters(
    backend="onnxruntime",
    deploy_config="any.py",
    input_size=(640, 480),
    fused=FusedParameters("image", 1, "model", candidates=100, rounds=2),
)


def test_a_job_arrives_with_typed_parameters(tmp_path: Path) -> None:
    write_job(tmp_path, Job(stage="export", parameters=asdict(PARAMETERS), inputs={"config": "x"}))
    job = read_job(tmp_path)
    assert job.inputs == {"config": "x"}
    assert decode(ExportParameters, job.parameters) == PARAMETERS


def test_a_parameter_that_is_wrong_is_named() -> None:
    incomplete = {**asdict(PARAMETERS), "input_size": [640]}
    with pytest.raises(ContractError, match="input_size"):
        decode(ExportParameters, json.loads(json.dumps(incomplete)))


def test_progress_goes_both_ways() -> None:
    progress = Progress(1, 2, "epoch", {"loss": 0.5})
    assert parse_progress(progress_line(progress)) == progress
