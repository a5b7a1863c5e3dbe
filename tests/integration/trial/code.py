"""A stage that runs the code it is given, as a hostile checkpoint would."""

from mmdet_jetson.stages.job import Job, Result, main


def run(job: Job) -> Result:
    exec(job.parameters["code"], {"job": job})
    return Result()


if __name__ == "__main__":
    main(run)
