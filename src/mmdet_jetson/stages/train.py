"""Stage `train`: fine-tune an MMDetection detector on a `dataset` artifact."""

import sys
from pathlib import Path

from mmdet_jetson.contract.job import Result, stage_module
from mmdet_jetson.contract.parameters.train import TrainParameters
from mmdet_jetson.stages.job import StageJob, main
from mmdet_jetson.stages.place import place_of, starts_others
from mmdet_jetson.stages.training.group import joined
from mmdet_jetson.stages.training.torch_device import use_device


def run(job: StageJob[TrainParameters]) -> Result:
    """Choose the device, find the other processes that share the training out, then train."""
    place = place_of()
    device = use_device(job.parameters.device)
    with joined(place, device):
        # MMEngine settles on a device when it is imported, so it comes after the choice.
        from mmdet_jetson.stages.training.training import train  # noqa: PLC0415

        return train(job, device, place)


def start() -> None:
    """Train, or start the processes that do."""
    if starts_others():
        from mmdet_jetson.stages.training.ranks import start_all  # noqa: PLC0415

        sys.exit(start_all(stage_module("train"), Path(sys.argv[1]).resolve()))
    main(run, TrainParameters)


if __name__ == "__main__":
    start()
