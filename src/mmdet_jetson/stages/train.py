"""Stage `train`: fine-tune an MMDetection detector on a `dataset` artifact."""

from mmdet_jetson.contract.job import Result
from mmdet_jetson.contract.parameters.train import TrainParameters
from mmdet_jetson.stages.job import StageJob, main
from mmdet_jetson.stages.training.torch_device import use_device


def run(job: StageJob[TrainParameters]) -> Result:
    """Choose the device, then train."""
    device = use_device(job.parameters.device)
    # MMEngine settles on a device when it is imported, so it comes after the choice.
    from mmdet_jetson.stages.training.training import train  # noqa: PLC0415

    return train(job, device)


if __name__ == "__main__":
    main(run, TrainParameters)
