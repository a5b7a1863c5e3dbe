import io
import json
from pathlib import Path

import pytest

from mmdet_jetson.contract.gates import DEFAULT_TOLERANCES
from mmdet_jetson.contract.job import (
    ArtifactSummary,
    Failure,
    Job,
    Progress,
    Result,
    parse_progress,
    progress_line,
    read_failure,
    read_job,
    read_result,
    write_failure,
    write_job,
    write_result,
)
from mmdet_jetson.contract.parameters.export import FusedParameters
from mmdet_jetson.contract.parameters.profile import ProfileParameters
from mmdet_jetson.contract.parameters.prove import ProveParameters
from mmdet_jetson.contract.records import ContractError, encode
from mmdet_jetson.planning.stages import EXPORT_FOR, PREFLIGHT, STAGES
from mmdet_jetson.stages.job import StageJob

SUMMARY = ArtifactSummary(
    step="train",
    kind="checkpoint",
    digest="sha256:1",
    created="2026-01-01T00:00:00+00:00",
    environment="lock",
    commit="",
    seconds=1.5,
    size=10,
    warnings=("mind the gap",),
)
PROFILE = Job(
    stage="profile",
    parameters=encode(ProfileParameters(200, 20)),
    inputs={"engine": "inputs/engine", "dataset": "/data"},
    evidence="measured",
    artifacts=(SUMMARY,),
)


def test_a_stage_reads_what_the_host_side_wrote(tmp_path: Path) -> None:
    write_job(tmp_path, PROFILE)
    assert read_job(tmp_path) == PROFILE
    job = StageJob.load(tmp_path, ProfileParameters)
    assert job.parameters == ProfileParameters(200, 20)
    assert job.inputs == {"engine": tmp_path / "inputs/engine", "dataset": Path("/data")}
    assert (job.output, job.work) == (tmp_path / "output", tmp_path / "work")
    assert (job.evidence, job.artifacts) == ("measured", (SUMMARY,))


def test_a_stage_refuses_the_parameters_of_another(tmp_path: Path) -> None:
    write_job(tmp_path, PROFILE)
    with pytest.raises(ContractError, match="ProveParameters has no 'power_mode'"):
        StageJob.load(tmp_path, ProveParameters)


def test_a_result_and_a_failure_come_back(tmp_path: Path) -> None:
    assert (read_result(tmp_path), read_failure(tmp_path)) == (None, None)
    write_result(tmp_path, Result({"AP": 0.5}, {"torch": "1.11"}, ("careful",)))
    write_failure(tmp_path, Failure("it broke", "mend it"))
    assert read_result(tmp_path) == Result({"AP": 0.5}, {"torch": "1.11"}, ("careful",))
    assert read_failure(tmp_path) == Failure("it broke", "mend it")


def test_progress_is_a_line_that_is_told_from_any_other(tmp_path: Path) -> None:
    channel = io.StringIO()
    parameters = ProveParameters("orin", DEFAULT_TOLERANCES["fp32"])
    StageJob(parameters, {}, tmp_path, tmp_path, channel=channel).progress(1, 2, "half", loss=0.5)
    assert parse_progress(channel.getvalue()) == Progress(1, 2, "half", {"loss": 0.5})
    assert channel.getvalue() == progress_line(Progress(1, 2, "half", {"loss": 0.5})) + "\n"
    for line in ("epoch 1", "5", "{}", '{"step": 1}', '{"step": "1", "total": 2}', "[" * 10_000):
        assert parse_progress(line) is None, line


def test_each_stage_has_parameters_of_its_own() -> None:
    kinds = [stage.parameters for stage in (*STAGES, PREFLIGHT, EXPORT_FOR)]
    assert len(set(kinds)) == len(kinds)
    assert len({stage.module for stage in STAGES}) == len(STAGES)


def test_parameters_survive_json() -> None:
    fused = FusedParameters("image", 1, "model", 1000, 16)
    assert json.loads(json.dumps(encode(fused)))["rounds"] == 16
