"""Time shared trainings through the pipeline beside torchrun with MMDetection's own script.

    .venv/bin/python benchmarks/distributed_overhead.py [ROUNDS] [--set train.epochs=N]

Each round has four trainings of the demo with a batch of 16 pictures: ours and theirs, by one
process and by two, all from the same resolved config. Ours is all of ``invoke train`` with the
dataset made already. Theirs is ``python -m torch.distributed.run mmdet/.mim/tools/train.py
--launcher pytorch``, in front of which `distributed_theirs.py` opens a gloo group: by itself
MMEngine asks for a GPU. Batch norm is plain for both, as PyTorch's synchronised one needs GPUs.
"""

import argparse
import os
import statistics
import tempfile
from pathlib import Path

from train_overhead import INVOKE, resolved_config, timed

from mmdet_jetson.config.settings import ROOT, read_settings
from mmdet_jetson.contract.process import ENVIRON
from mmdet_jetson.environments.packages import python_of, train_environment

BATCH = 16
PLAIN = [
    *(
        f"train.overrides.model.{part}.norm_cfg.type=BN"
        for part in ("backbone", "neck", "bbox_head")
    ),
    # MMDetection's RTMDet converts every batch norm of several processes by itself.
    'train.overrides."+model.use_syncbn"=false',
]
THEIRS = ROOT / "benchmarks/distributed_theirs.py"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("rounds", type=int, nargs="?", default=3)
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    assignments = [f"train.batch_size={BATCH}", *PLAIN, *arguments.set]
    settings = [word for each in assignments for word in ("--set", each)]
    python = python_of(train_environment(ROOT, "cpu"), read_settings(), print)
    found: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        env = {
            **os.environ,
            # Ours runs with it; on a busy machine it changes a lot.
            "GOMP_SPINCOUNT": ENVIRON["GOMP_SPINCOUNT"],
            "MMDET_JETSON_ARTIFACTS": str(folder / "artifacts"),
        }
        train = [INVOKE, "train", "--config", "configs/demo.toml", *settings]
        timed([*train, "--set", "train.seed=1000"], env)  # makes the dataset, resolves the config
        config = resolved_config(folder)
        cores = len(os.sched_getaffinity(0))
        for at in range(arguments.rounds):
            for processes in (1, 2):
                # The number of processes is in no key, but the seed is.
                mine = ["--set", f"train.seed={2 * at + processes}"]
                runs = [
                    ("ours", [*train, *mine, "--set", f"train.processes={processes}"]),
                    ("theirs", theirs(python, config, folder / f"theirs-{at}", processes)),
                ]
                for whose, command in runs if at % 2 else reversed(runs):
                    threads = {"OMP_NUM_THREADS": str(cores // processes)}
                    seconds = timed(command, {**env, **threads})
                    found.setdefault((whose, processes), []).append(seconds)
                    print(f"round {at}: {whose}, {processes}: {seconds:.1f} s", flush=True)
    print("\n| | processes | median | runs |\n|---|---:|---:|---|")
    for (whose, processes), runs_of in sorted(found.items()):
        listed = ", ".join(f"{each:.1f}" for each in runs_of)
        print(f"| {whose} | {processes} | {statistics.median(runs_of):.1f} s | {listed} |")
    medians = {key: statistics.median(each) for key, each in found.items()}
    for processes in (1, 2):
        over = medians["ours", processes] / medians["theirs", processes] - 1
        print(f"\nover with {processes}: {100 * over:+.1f} %")
    for whose in ("ours", "theirs"):
        print(f"\n{whose}, 1 to 2: {medians[whose, 1] / medians[whose, 2]:.2f} times as fast")


def theirs(python: Path, config: Path, work: Path, processes: int) -> list[str]:
    """MMDetection's script under torchrun, each process with its part of the batch."""
    script = next(python.parents[1].glob("lib/python3.8/site-packages/mmdet/.mim/tools/train.py"))
    run = ["-m", "torch.distributed.run", f"--nproc_per_node={processes}"]
    meeting = ["--rdzv_backend=c10d", "--rdzv_endpoint=127.0.0.1:0"]
    words = [str(script), str(config), "--launcher", "pytorch", "--work-dir", str(work)]
    options = [
        f"train_dataloader.batch_size={BATCH // processes}",
        "model_wrapper_cfg.type=MMDistributedDataParallel",
        "model_wrapper_cfg.device_ids=None",
        "model_wrapper_cfg.broadcast_buffers=False",
    ]
    return [str(python), *run, *meeting, str(THEIRS), *words, "--cfg-options", *options]


if __name__ == "__main__":
    main()
