"""Run a stage that is no step of a pipeline, on this machine; the store keeps nothing of it."""

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from mmdet_jetson.cli.progress import Display
from mmdet_jetson.config.settings import read_settings
from mmdet_jetson.contract.job import OUTPUT, WORK, Job, Result, write_job
from mmdet_jetson.contract.records import encode
from mmdet_jetson.locks import hold, lock_beside
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.runtimes.host import HostRuntime
from mmdet_jetson.runtimes.protocol import StageRun


def run_stage(step: Step, inputs: Mapping[str, Path], job: Path) -> Result:
    """Run a step in a new folder ``job``; what it makes is in ``output/`` there.

    Raises:
        UserError: the stage refuses, or its environment cannot be made.
    """
    for name in (OUTPUT, WORK):
        (job / name).mkdir(parents=True)
    paths = {name: str(path) for name, path in inputs.items()}
    write_job(job, Job(step.stage.module, encode(step.parameters), inputs=paths))
    runtime = HostRuntime(read_settings(), Display(Console(stderr=True)).say)
    with hold(lock_beside(job)) as lock:
        return runtime.run(
            StageRun(
                step=step, folder=job, inputs={}, on_progress=lambda _: None, lock=lock.fileno()
            )
        )
