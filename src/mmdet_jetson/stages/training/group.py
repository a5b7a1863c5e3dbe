"""The processes that share a training out, connected: NCCL between GPUs, gloo between CPUs."""

import fcntl
import os
import socket
import struct
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Iterator, Optional, TypeVar

import torch
from torch import distributed

from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.place import STORE, Place

T = TypeVar("T")
THREADS = "OMP_NUM_THREADS"
LOOPBACK = "lo"
MEETING = timedelta(minutes=30)
"""How long a process waits for another: PyTorch's own, long enough for the first to evaluate."""
ADDRESS_OF_INTERFACE = 0x8915  # SIOCGIFADDR of <linux/sockios.h>
NAME_LENGTH = 15  # IFNAMSIZ of <linux/if.h>, without the zero


@contextmanager
def joined(place: Place, device: str) -> Iterator[None]:
    """Connect this process with the others, if there are any, for as long as they train.

    MMEngine would do it, too, but it takes a GPU for granted. What it reads of the environment is
    set for it.

    Raises:
        StageError: there are more processes than GPUs on this machine.
    """
    if place.world == 1:
        yield
        return
    _share_threads(place)
    gpu = _use_gpu(place) if device == "cuda" else place.local_rank
    os.environ["LOCAL_RANK"] = str(gpu)
    # One that has gone is noticed, as torchrun has it.
    os.environ.setdefault("NCCL_ASYNC_ERROR_HANDLING", "1")
    backend = "nccl" if device == "cuda" else "gloo"
    meeting = os.environ.get(STORE)
    _choose_interface(LOOPBACK if meeting else _interface_to(os.environ["MASTER_ADDR"]))
    if meeting:
        host, port = meeting.split(":")
        store = distributed.TCPStore(host, int(port), timeout=MEETING)
        met = distributed.PrefixStore("training", store)
        distributed.init_process_group(
            backend, store=met, rank=place.rank, world_size=place.world, timeout=MEETING
        )
    else:
        distributed.init_process_group(
            backend, "env://", MEETING, rank=place.rank, world_size=place.world
        )
    yield
    # Not where something has failed: it would wait for those that have gone.
    distributed.destroy_process_group()


def of_first(value: T) -> T:
    """Give the first process's value to all of them."""
    if not distributed.is_initialized():
        return value
    told = [value]
    distributed.broadcast_object_list(told, src=0)
    return told[0]


def _share_threads(place: Place) -> None:
    """Share the cores of the machine out: each process would take all of them."""
    if THREADS not in os.environ:
        cores = len(os.sched_getaffinity(0))
        torch.set_num_threads(max(1, cores // place.local_world))


def _use_gpu(place: Place) -> int:
    """Take a GPU of one's own; in a batch job, the only one to be seen is the one it was given."""
    seen = torch.cuda.device_count()
    if place.local_world > seen and (STORE in os.environ or seen > 1):
        raise StageError(
            f"train.processes is {place.local_world}, but this machine has {seen} "
            f"GPU{'s' if seen > 1 else ''}: each process trains on one of its own",
            f'set train.processes to {seen}, or train.device to "cpu"',
        )
    gpu = place.local_rank if place.local_rank < seen else 0
    torch.cuda.set_device(gpu)
    return gpu


def _choose_interface(name: Optional[str]) -> None:
    """Tell gloo and NCCL which network to use; else gloo takes that of the machine's own name."""
    if name:
        for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
            os.environ.setdefault(variable, name)


def _interface_to(host: str) -> Optional[str]:
    """Name the network interface by which another machine is reached; None where it is unclear."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, 9))  # a datagram's socket: nothing is sent
        address = probe.getsockname()[0]
        for _, name in socket.if_nameindex():
            with suppress(OSError):  # an interface without an address
                asked = struct.pack("256s", name.encode()[:NAME_LENGTH])
                answer = fcntl.ioctl(probe.fileno(), ADDRESS_OF_INTERFACE, asked)
                if socket.inet_ntoa(answer[20:24]) == address:
                    return name
    return None
