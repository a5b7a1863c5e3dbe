"""The processes that share a training out on one machine, started by torchrun's own agent.

It notices when one of them dies, ends the others, and names them all; what it says for a person is
made here. It starts none again: with a result, a rerun goes on from the newest checkpoint.
"""

import os
import shutil
import sys
import uuid
from pathlib import Path
from typing import Mapping

from torch.distributed import TCPStore
from torch.distributed.elastic.agent.server import WorkerSpec
from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent
from torch.distributed.elastic.multiprocessing import Std
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure
from torch.distributed.elastic.rendezvous import RendezvousParameters
from torch.distributed.elastic.rendezvous.registry import get_rendezvous_handler

from mmdet_jetson.contract.job import WORK, read_failure, write_failure
from mmdet_jetson.contract.process import LOST, RANK_LOGS, WORLD
from mmdet_jetson.contract.ranks import death
from mmdet_jetson.stages.job import FAILED, end_with_parent
from mmdet_jetson.stages.place import STORE

HERE = "127.0.0.1"
ANY_PORT = 0
SECONDS = 1.0
"""How often the launcher looks whether one has died."""
LAST_LINES = 12
SHOWN_LINES = 200


def start_all(module: str, folder: Path) -> int:
    """Run ``python -m MODULE FOLDER`` as often as `WORLD` says; return the exit code.

    Where a process died, the job's folder then has a sentence about it.
    """
    end_with_parent()
    world = int(os.environ[WORLD])
    logs = folder / WORK / RANK_LOGS
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    # The kernel gives a free port, which nobody can take in between: it is listened to from now on.
    store = TCPStore(HERE, ANY_PORT, is_master=True, wait_for_workers=False)
    os.environ[STORE] = f"{HERE}:{store.port}"
    spec = WorkerSpec(
        role="rank",
        local_world_size=world,
        entrypoint=sys.executable,
        args=("-m", module, str(folder)),
        rdzv_handler=get_rendezvous_handler(
            RendezvousParameters("c10d", f"{HERE}:{ANY_PORT}", uuid.uuid4().hex, 1, 1)
        ),
        max_restarts=0,
        monitor_interval=SECONDS,
        # Where the agent has to find an address itself, it asks for that of "localhost", which
        # not every container knows.
        master_addr=HERE,
        master_port=store.port,
        redirects=dict.fromkeys(range(1, world), Std.ALL),
        tee={0: Std.ERR},
    )
    try:
        result = LocalElasticAgent(spec, log_dir=str(logs)).run()
    except SignalException as error:  # somebody ended it, and it has ended the others
        return 128 + int(error.sigval)
    if result.is_failed():
        _tell(folder, world, result.failures)
        return FAILED
    return 0


def _tell(folder: Path, world: int, failures: Mapping[int, ProcessFailure]) -> None:
    """Leave a sentence about the process that died, unless one of them has said what is wrong."""
    rank = _culprit(failures)
    words = _lines_of(folder, rank)
    print(f"the end of the log of rank {rank}:", *words[-SHOWN_LINES:], sep="\n", file=sys.stderr)
    if read_failure(folder) is None:
        last = "\n".join(words[-LAST_LINES:])
        write_failure(folder, death(rank, world, failures[rank].exitcode, last))


def _culprit(failures: Mapping[int, ProcessFailure]) -> int:
    """Find the process that the others only followed."""
    own = [rank for rank, failure in failures.items() if failure.exitcode != LOST]
    return min(own or failures, key=lambda rank: (failures[rank].timestamp, rank))


def _lines_of(folder: Path, rank: int) -> "list[str]":
    found = sorted((folder / WORK / RANK_LOGS).glob(f"*/attempt_*/{rank}/stderr.log"))
    return found[-1].read_text(errors="replace").splitlines() if found else []
