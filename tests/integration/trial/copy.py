"""A stage that copies its inputs, one file a line of progress, as slowly as it is told to."""

import shutil
import time

from mmdet_jetson.contract.job import Result
from mmdet_jetson.stages.job import StageJob, main


def run(job: StageJob) -> Result:
    steps = job.parameters.get("steps", 1)
    done = job.work / "done"
    first = int(done.read_text()) if done.exists() else 0
    for step in range(first, steps):
        job.progress(step + 1, steps)
        time.sleep(job.parameters.get("seconds", 0))
        (job.work / "next").write_text(str(step + 1))
        (job.work / "next").replace(done)
    for name, folder in job.inputs.items():
        shutil.copytree(str(folder), str(job.output / name))
    (job.output / "began").write_text(str(first))
    return Result(metrics={"steps": steps})


if __name__ == "__main__":
    main(run)
