"""Which process of its stage this one is, where several share it out."""

import os
from dataclasses import dataclass
from typing import Mapping

from mmdet_jetson.contract.process import TASKS, WORLD

STORE = "MMDET_JETSON_STORE"
"""Where the processes of one machine meet: host and port of the store of what started them."""
# How gloo, NCCL and the store where processes meet begin what they say of a connection that broke.
BROKEN = ("third_party/gloo", "nccl", "connection reset by peer", "broken pipe", "socket timeout")


@dataclass(frozen=True)
class Place:
    """A process among ``world``, of which ``local_world`` are on its machine."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    local_world: int = 1

    @property
    def leads(self) -> bool:
        """Whether it is the one that reports, and writes what the stage makes."""
        return self.rank == 0

    @property
    def nodes(self) -> int:
        """The number of machines."""
        return self.world // self.local_world


ALONE = Place()


def starts_others(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this process is to start those that share the stage out, and not one of them."""
    return _world(environ) > 1 and environ.get(TASKS) != "1" and STORE not in environ


def place_of(environ: Mapping[str, str] = os.environ) -> Place:
    """Read which process this is: as torchrun tells it, or as Slurm does."""
    world = _world(environ)
    if world == 1:
        return ALONE
    if "RANK" in environ:
        names = ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    else:
        names = ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS_PER_NODE")
    rank, local_rank, local_world = (int(environ[name]) for name in names)
    return Place(rank, world, local_rank, local_world)


def has_lost_others(error: BaseException) -> bool:
    """Whether an error tells of another process that has gone, and not of this one."""
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(phrase in text for phrase in BROKEN)


def _world(environ: Mapping[str, str]) -> int:
    return int(environ.get(WORLD, "1"))
