"""Stage ``report``: judge the gates and write one self-contained HTML page for people."""

from pathlib import Path
from typing import Dict, List, Sequence

import jinja2

from mmdet_jetson.contract.job import Result
from mmdet_jetson.contract.parameters.report import ReportParameters
from mmdet_jetson.contract.records import write_record
from mmdet_jetson.contract.report import CHECKPOINT, GateResult, Verdict
from mmdet_jetson.stages.annotations.coco_file import read_split
from mmdet_jetson.stages.annotations.summary import DatasetSummary
from mmdet_jetson.stages.gates import judge, verdict
from mmdet_jetson.stages.gates.measured import Measured
from mmdet_jetson.stages.job import StageJob, main
from mmdet_jetson.stages.reporting import report_page
from mmdet_jetson.stages.reporting.compared import read_sides
from mmdet_jetson.stages.reporting.dataset_glance import glance_section
from mmdet_jetson.stages.reporting.subjects import (
    Subject,
    read_evaluated,
    read_if_there,
    read_subjects,
)
from mmdet_jetson.stages.reporting.training import read_training


def run(job: StageJob[ReportParameters]) -> Result:
    """Write ``report.html`` and ``verdict.json``; a failed gate is a verdict, not an error."""
    subjects = read_subjects(job.inputs, job.parameters.targets)
    job.progress(0, 2, "gates")
    measured = _measured(job.inputs["dataset"], subjects)
    gates = judge(job.parameters.gates, job.parameters.proofs, measured)
    outcome = verdict(gates)
    job.progress(1, 2, "page")
    page = report_page.render(
        name=job.parameters.name,
        verdict=outcome,
        gates=gates,
        subjects=subjects,
        summary=read_if_there(job.inputs["dataset"], "summary.json", DatasetSummary),
        training=read_training(job.inputs.get("checkpoint")),
        artifacts=job.artifacts,
        compared=read_sides(job.inputs, job.parameters.compared),
        glance=glance_section(job.inputs["dataset"]),
    )
    _write(job.output, outcome, gates, page)
    job.progress(2, 2, outcome)
    return Result(
        metrics={
            "verdict": outcome,
            "gates": {gate.name: gate.outcome for gate in gates},
            # So that whoever compares two reports need not resample: only this stage does.
            "AP50_intervals": _intervals(measured),
        },
        facts={"jinja2": jinja2.__version__},
        warnings=tuple(gate.sentence for gate in gates if gate.outcome != "pass"),
    )


def _measured(dataset: Path, subjects: Sequence[Subject]) -> Measured:
    annotations = dataset / "val.json"
    judged = [each for each in subjects if each.is_engine or each.name == CHECKPOINT]
    evaluated = {each.name: read_evaluated(each, annotations) for each in judged}
    engines = [each for each in judged if each.is_engine]
    return Measured(
        checkpoint=evaluated[CHECKPOINT],
        engines={engine.name: evaluated[engine.name] for engine in engines},
        pictures=len(read_split(annotations)["images"]),
        proofs={engine.name: engine.proof for engine in engines},
    )


def _intervals(measured: Measured) -> Dict[str, List[float]]:
    """The 95% interval of AP50, by what it is of: low and high."""
    evaluated = {CHECKPOINT: measured.checkpoint, **measured.engines}
    found = {name: each.ap50_interval for name, each in evaluated.items() if each}
    return {name: [each.low, each.high] for name, each in found.items() if each}


def _write(folder: Path, outcome: str, gates: List[GateResult], page: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_record(folder / "verdict.json", Verdict(outcome, tuple(gates)))
    (folder / "report.html").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(run, ReportParameters)
