"""Stage `export_for`: write what a serving pipeline needs to run an engine."""

from mmdet_jetson.contract.job import Result
from mmdet_jetson.contract.parameters.export_for import ExportForParameters
from mmdet_jetson.stages.job import StageJob, main
from mmdet_jetson.stages.pipelines import load_pipeline
from mmdet_jetson.stages.pipelines.described_engine import describe_engine


def run(job: StageJob[ExportForParameters]) -> Result:
    """Write the files for a pipeline of the ``engine``; warn of what that computes differently."""
    engine = describe_engine(job.inputs["engine"])
    differences = load_pipeline(job.parameters.pipeline).write(engine, job.output)
    return Result(facts={"target": engine.passport.target}, warnings=tuple(differences))


if __name__ == "__main__":
    main(run, ExportForParameters)
