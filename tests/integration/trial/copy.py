"""A stage that copies its inputs, one file a line of progress, as slowly as it is told to."""

import shutil
import time
from dataclasses import dataclass

from mmdet_jetson.contract.job import Result
from mmdet_jetson.contract.parameters.base import Parameters
from mmdet_jetson.stages.job import StageJob, main


@dataclass(frozen=True)
class CopyParameters(Parameters):
    """``seconds`` is how long each of the steps takes; ``kill`` only tells runs apart."""

    steps: int = 1
    seconds: float = 0
    kill: int = 0


def run(job: StageJob[CopyParameters]) -> Result:
    steps = job.parameters.steps
    done = job.work / "done"
    first = int(done.read_text()) if done.exists() else 0
    for step in range(first, steps):
        job.progress(step + 1, steps)
        time.sleep(job.parameters.seconds)
        (job.work / "next").write_text(str(step + 1))
        (job.work / "next").replace(done)
    for name, folder in job.inputs.items():
        shutil.copytree(str(folder), str(job.output / name))
    (job.output / "began").write_text(str(first))
    return Result(metrics={"steps": steps})


if __name__ == "__main__":
    main(run, CopyParameters)
