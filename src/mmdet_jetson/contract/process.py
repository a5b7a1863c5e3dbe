"""How a stage's process is started, wherever it runs, and how several share one stage out.

One process is ``python -m MODULE FOLDER``. Several are the same command with `WORLD`: the first
starts the others by torchrun's launcher on its machine, unless `TASKS` says that each was started
already, as ``srun`` does; then it finds its rank in ``RANK``, ``LOCAL_RANK``, or Slurm's variables.
"""

from typing import Mapping

WATCH_STDIN = "MMDET_JETSON_WATCH_STDIN"
"""With "1" a stage ends when its standard input closes: whoever started it is gone."""

WORLD = "MMDET_JETSON_WORLD"
"""How many processes a stage is, on all machines together; one where it is not set."""

TASKS = "MMDET_JETSON_TASKS"
"""With "1" every process of a stage was started by itself, on its machine."""

LOST = 4
"""The exit code of a process that ended because another one of its stage had gone."""

RANK_LOGS = "ranks"
"""The folder of a job's ``work`` with what its processes printed, but for the first one's."""

ENVIRON: Mapping[str, str] = {
    # OpenMP's threads wait for each other in a busy loop. Beside other busy processes they wait
    # mostly for a core: a training step that takes 0.2 s alone then takes over 4 s. With a shorter
    # loop it takes 0.6 s there, and still 0.2 s alone (2 cores, RTMDet-tiny).
    "GOMP_SPINCOUNT": "3000",
    "MPLBACKEND": "Agg",
    "PYTHONHASHSEED": "0",
    WATCH_STDIN: "1",
}


def rank_log(rank: int) -> str:
    """Name the file of `RANK_LOGS` that a process prints into, where each was started by itself."""
    return f"rank-{rank}.log"
