"""Stage ``report``: judge the gates and write one self-contained HTML page for people."""

from pathlib import Path
from typing import List

import jinja2
import matplotlib

from mmdet_jetson.contract.job import Result
from mmdet_jetson.contract.parameters import ReportParameters
from mmdet_jetson.contract.records import write_record
from mmdet_jetson.contract.report import CHECKPOINT, GateResult, Verdict
from mmdet_jetson.stages.gates.gates import judge, verdict
from mmdet_jetson.stages.job import StageJob, main
from mmdet_jetson.stages.reporting import report_page
from mmdet_jetson.stages.reporting.subjects import (
    Subject,
    read_evidence,
    read_json,
    read_subjects,
)


def run(job: StageJob[ReportParameters]) -> Result:
    """Write ``report.html`` and ``verdict.json``; a failed gate is a verdict, not an error."""
    subjects = read_subjects(job.inputs, job.parameters.targets)
    job.progress(0, 2, "gates")
    gates = _judge(job, subjects)
    outcome = verdict(gates)
    job.progress(1, 2, "page")
    page = report_page.render(
        name=job.parameters.name,
        verdict=outcome,
        gates=gates,
        subjects=subjects,
        summary=read_json(job.inputs["dataset"], "summary.json"),
        training=read_json(job.inputs.get("checkpoint"), "metrics.json"),
        artifacts=job.artifacts,
    )
    _write(job.output, outcome, gates, page)
    job.progress(2, 2, outcome)
    return Result(
        metrics={"verdict": outcome, "gates": {gate.name: gate.outcome for gate in gates}},
        facts={"jinja2": jinja2.__version__, "matplotlib": matplotlib.__version__},
        warnings=tuple(gate.sentence for gate in gates if gate.outcome != "pass"),
    )


def _judge(job: StageJob[ReportParameters], subjects: List[Subject]) -> List[GateResult]:
    annotations = job.inputs["dataset"] / "val.json"
    limits = job.parameters.gates
    resample = limits.get("min_AP50") is not None
    evidence = {
        subject.name: read_evidence(subject, annotations, resample)
        for subject in subjects
        if subject.is_engine or subject.name == CHECKPOINT
    }
    pictures = len(read_json(job.inputs["dataset"], "val.json").get("images", []))
    return judge(limits, evidence.pop(CHECKPOINT), evidence, pictures)


def _write(folder: Path, outcome: str, gates: List[GateResult], page: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_record(folder / "verdict.json", Verdict(outcome, tuple(gates)))
    (folder / "report.html").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(run, ReportParameters)
