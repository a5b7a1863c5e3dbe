"""A stage that runs the code it is given, as a hostile checkpoint would."""

from dataclasses import dataclass

from mmdet_jetson.contract.job import Result
from mmdet_jetson.contract.parameters.base import Parameters
from mmdet_jetson.stages.job import StageJob, main


@dataclass(frozen=True)
class CodeParameters(Parameters):
    """``code`` is Python that finds the `StageJob` as ``job``."""

    code: str


def run(job: StageJob[CodeParameters]) -> Result:
    exec(job.parameters.code, {"job": job})
    return Result()


if __name__ == "__main__":
    main(run, CodeParameters)
