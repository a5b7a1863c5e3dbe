"""A training shared out among processes: what each of them takes of the config's batch and workers.

The training stays the same: the pictures of a step are, only that every process has some of them.
MMEngine's samplers deal them out, and repeat a few at the end of an epoch so that all have as many.
"""

import random
from typing import Any, Dict, List, Optional, Sequence

import numpy as np
import torch
from mmengine import Config, ConfigDict
from mmengine.hooks import EMAHook, Hook
from mmengine.model import convert_sync_batchnorm
from mmengine.runner import Runner
from torch import Tensor, distributed, nn

from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.place import Place
from mmdet_jetson.stages.training.mmdet_config import DATALOADERS, EVALUATORS, owners
from mmdet_jetson.stages.training.sync_batch_norm import synchronise

WRAPPER = "MMDistributedDataParallel"
PLAIN_NORMS = ("BN", "BN1d", "BN2d", "BN3d")
LOSS = "loss"
VALIDATED = ("val_dataloader", "test_dataloader")


def effective_batch(config: Config) -> int:
    """The number of pictures of a step, over all processes together."""
    return int(config.train_dataloader.get("batch_size", 1))


def share_out(config: Config, place: Place, device: str) -> List[str]:
    """Leave a process its part of a config's batch and workers; return warnings.

    Raises:
        StageError: the batch cannot be divided among so many processes.
    """
    if place.world == 1:
        return []
    batch = effective_batch(config)
    if batch % place.world:
        raise StageError(
            f"{place.world} processes cannot share out a batch of {batch} pictures evenly",
            f"set train.batch_size to a multiple of {place.world}",
        )
    config.train_dataloader.batch_size = batch // place.world
    for name in DATALOADERS:
        workers = config[name].get("num_workers", 0)
        config[name].num_workers = max(1, workers // place.local_world) if workers else 0
        if name in VALIDATED:
            # MMEngine counts only as many pictures of each process as all of them have, and leaves
            # out those that come twice: so no picture is left unjudged where some come twice.
            (config[name].get("sampler") or ConfigDict()).pop("round_up", None)
    for name in EVALUATORS:
        # From process to process: MMEngine's other way is files in the folder that a process is in.
        config[name].collect_device = "gpu"
    config.launcher = "pytorch"
    if device == "cpu":
        wrapper = config.get("model_wrapper_cfg") or ConfigDict(
            type=WRAPPER,
            broadcast_buffers=False,
            find_unused_parameters=bool(config.get("find_unused_parameters", False)),
        )
        # MMEngine would name a GPU.
        config.model_wrapper_cfg = ConfigDict({**wrapper, "device_ids": None})
    return _of_plain_norms(config)


def _of_plain_norms(config: Config) -> List[str]:
    if config.get("sync_bn"):
        return []
    trained = [each for each in owners(config.model, "norm_cfg") if not each.get("norm_eval")]
    norms = [owner["norm_cfg"] for owner in trained]
    plain = [norm for norm in norms if norm and norm.get("type") in PLAIN_NORMS]
    if not any(norm.get("requires_grad", True) for norm in plain):
        return []
    part = config.train_dataloader.batch_size
    pictures = f"{part} pictures" if part > 1 else "one picture"
    return [
        f"batch norm of the training config (type {plain[0]['type']}) looks at the {pictures} of "
        "each process by themselves, so another number of processes trains a little differently; "
        "SyncBN looks at those of all"
    ]


class SharedRunner(Runner):  # type: ignore[misc]  # mmengine has no types
    """MMEngine's Runner, whose synchronised batch norm works on a CPU as well."""

    def wrap_model(
        self, model_wrapper_cfg: Optional[Dict[str, Any]], model: nn.Module
    ) -> nn.Module:
        """Wrap the model for several processes."""
        if self.distributed and not torch.cuda.is_available():
            implementation = self.cfg.get("sync_bn")
            if implementation:
                model = convert_sync_batchnorm(model, "torch")
                self.cfg.sync_bn = None
            synchronise(model)
        return super().wrap_model(model_wrapper_cfg, model)


class OwnRandomness(Hook):  # type: ignore[misc]
    """Let every process draw random numbers of its own, where MMEngine gives all the same.

    Else pictures would be flipped, cropped and mixed alike in all of them. The order of the
    pictures is drawn from the seed alone, and weights have been, by then.
    """

    priority = "VERY_LOW"

    def __init__(self, place: Place, seed: int) -> None:
        self._rank, self._seed = place.rank, seed

    def before_train(self, runner: Runner) -> None:
        """Draw on from a seed of its own; the first process goes on as a single one would."""
        if self._rank:
            seed = (self._seed + self._rank) % 2**32
            random.seed(seed)
            np.random.seed(seed)
            torch.manual_seed(seed)


class MeanLosses(Hook):  # type: ignore[misc]
    """Let every process know the losses of a whole step, which are what is logged and watched.

    So a loss that is no number ends them all in the same iteration.
    """

    priority = "HIGHEST"

    def __init__(self) -> None:
        self._names: Sequence[str] = ()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: object = None,
        outputs: Optional[Dict[str, Tensor]] = None,
    ) -> None:
        """Put the means over all processes into what an iteration gives."""
        if outputs is None or LOSS not in outputs:
            return
        if not self._names:
            # A model may have a loss in one process that it has not in another.
            told: List[Any] = [None] * distributed.get_world_size()
            distributed.all_gather_object(told, sorted(outputs))
            self._names = sorted(set(told[0]).intersection(*told[1:]))
        like = outputs[LOSS]
        values = [torch.as_tensor(outputs.get(name, 0.0)).to(like) for name in self._names]
        means = torch.stack([value.detach().float().mean() for value in values])
        distributed.all_reduce(means)
        means = means / distributed.get_world_size()
        outputs.update({name: means[i] for i, name in enumerate(self._names)})


class MeanBuffers(Hook):  # type: ignore[misc]
    """Give every process the same buffers at an epoch's end: those of plain batch norm differ.

    A checkpoint has the first process's, and a validation takes each one's own.
    """

    priority = "ABOVE_NORMAL"

    def after_train_epoch(self, runner: Runner) -> None:
        """Take means over all processes, of the model and of its average."""
        averages = [hook.ema_model for hook in runner.hooks if isinstance(hook, EMAHook)]
        buffers = [
            buffer
            for model in (runner.model, *averages)
            for buffer in model.buffers()
            if torch.is_floating_point(buffer)
        ]
        if not buffers:
            return
        flat = torch.cat([buffer.detach().float().reshape(-1) for buffer in buffers])
        distributed.all_reduce(flat)
        parts = (flat / distributed.get_world_size()).split([each.numel() for each in buffers])
        for buffer, part in zip(buffers, parts):
            buffer.copy_(part.reshape(buffer.shape))


def hooks_for(place: Place, seed: int) -> List[Hook]:
    """The hooks that keep several processes at one training; none for a single one."""
    return [] if place.world == 1 else [MeanLosses(), MeanBuffers(), OwnRandomness(place, seed)]
