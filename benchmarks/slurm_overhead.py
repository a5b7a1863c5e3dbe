"""Time a training as a job of Slurm beside plain srun with MMDetection's own script.

    .venv/bin/python benchmarks/slurm_overhead.py [PAIRS] [--nodes N] [--set train.epochs=N]

Both train the demo's dataset with the same resolved config, on as many nodes and processors, in
pairs that take turns in who goes first. Ours is all of ``invoke train --runtime slurm`` with the
dataset made already; what Slurm itself takes to start the job, and we to tell that it ended, is
told apart, to a second. Theirs is ``srun python mmdet/.mim/tools/train.py``, on several nodes in a
gloo group as in `distributed_theirs.py`. `docker/start-slurm` starts a Slurm.
"""

import argparse
import os
import re
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from distributed_overhead import BATCH, PLAIN, THEIRS
from train_overhead import INVOKE, resolved_config, timed

from mmdet_jetson.config.settings import ROOT, read_settings
from mmdet_jetson.contract.process import ENVIRON
from mmdet_jetson.environments.packages import python_of, train_environment

CPUS = 2
PARTS = ("until submitted", "until started", "the job", "until told")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("pairs", type=int, nargs="?", default=3)
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    nodes = arguments.nodes
    assignments = [f"train.batch_size={BATCH}", *PLAIN, *arguments.set]
    settings = [word for each in assignments for word in ("--set", each)]
    python = python_of(train_environment(ROOT, "cpu"), read_settings(), print)
    ours, theirs, parts = list[float](), list[float](), list[list[float]]()
    with tempfile.TemporaryDirectory(dir=Path.home()) as name:
        folder = Path(name)
        (folder / "slurm.toml").write_text(f"cpus = {CPUS}\n")
        env = {
            **os.environ,
            "GOMP_SPINCOUNT": ENVIRON["GOMP_SPINCOUNT"],
            "OMP_NUM_THREADS": str(CPUS),
            "MMDET_JETSON_ARTIFACTS": str(folder / "artifacts"),
            "MMDET_JETSON_SLURM": str(folder / "slurm.toml"),
        }
        train = [INVOKE, "train", "--config", "configs/demo.toml", *settings]
        timed([*train, "--set", "train.seed=1000"], env)  # makes the dataset, resolves the config
        config = resolved_config(folder)
        mine = [*train, "--runtime", "slurm", "--set", f"train.nodes={nodes}"]
        for pair in range(arguments.pairs):
            for whose in ("ours", "theirs") if pair % 2 else ("theirs", "ours"):
                if whose == "ours":
                    seconds, split = as_job([*mine, "--set", f"train.seed={pair}"], env, folder)
                    ours.append(seconds)
                    parts.append(split)
                else:
                    work = folder / f"theirs-{pair}"
                    theirs.append(timed(their_command(python, config, work, nodes, pair), env))
            print(f"pair {pair}: ours {ours[-1]:.1f} s, theirs {theirs[-1]:.1f} s", flush=True)
    print("\n| | median | runs |\n|---|---:|---|")
    for what, runs in (("`invoke train --runtime slurm`", ours), ("`srun tools/train.py`", theirs)):
        listed = ", ".join(f"{each:.1f}" for each in runs)
        print(f"| {what} | {statistics.median(runs):.1f} s | {listed} |")
    for what, part in zip(PARTS, zip(*parts, strict=True), strict=True):
        print(f"| ours, {what} | {statistics.median(part):.1f} s | |")
    over = statistics.median(ours) - statistics.median(theirs)
    print(f"\nover: {over:+.1f} s, {100 * over / statistics.median(theirs):+.1f} %")


def as_job(command: list[str], env: dict[str, str], folder: Path) -> tuple[float, list[float]]:
    """The seconds of one of our runs, and its parts as `PARTS` names them."""
    began = time.time()
    subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True)
    ended = time.time()
    job = max(int(path.read_text()) for path in folder.glob("artifacts/slurm/*/train.job"))
    times = subprocess.check_output(
        ["sacct", "-X", "-n", "-P", "-j", str(job), "--format=Submit,Start,End"],
        env={**env, "SLURM_TIME_FORMAT": "%s"},
        text=True,
    )
    submitted, started, over = map(int, re.findall(r"\d+", times)[:3])
    return ended - began, [
        submitted - began, started - submitted, over - started, ended - over
    ]  # fmt: skip


def their_command(python: Path, config: Path, work: Path, nodes: int, seed: int) -> list[str]:
    """MMDetection's script under srun on the same configuration, from the same seed."""
    script = next(python.parents[1].glob("lib/python3.8/site-packages/mmdet/.mim/tools/train.py"))
    srun = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", f"--cpus-per-task={CPUS}"]
    words = [str(script), str(config), "--work-dir", str(work)]
    options = ["--cfg-options", f"randomness.seed={seed}"]
    if nodes == 1:
        return [*srun, str(python), *words, *options]
    told = (
        "export RANK=$SLURM_PROCID LOCAL_RANK=$SLURM_LOCALID WORLD_SIZE=$SLURM_NTASKS"
        ' MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000)); exec "$@"'
    )
    options += [
        f"train_dataloader.batch_size={BATCH // nodes}",
        "model_wrapper_cfg.type=MMDistributedDataParallel",
        "model_wrapper_cfg.device_ids=None",
        "model_wrapper_cfg.broadcast_buffers=False",
    ]
    launched = [str(python), str(THEIRS), *words, "--launcher", "pytorch", *options]
    return [*srun, "sh", "-c", told, "sh", *launched]


if __name__ == "__main__":
    main()
