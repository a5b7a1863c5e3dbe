"""A stage that runs the code it is given, as a hostile checkpoint would."""

from mmdet_jetson.contract.job import Result
from mmdet_jetson.stages.job import StageJob, main


def run(job: StageJob) -> Result:
    exec(job.parameters["code"], {"job": job})
    return Result()


if __name__ == "__main__":
    main(run)
