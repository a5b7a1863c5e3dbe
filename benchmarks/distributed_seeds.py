"""Train the demo with one process and with two from three seeds, and compare losses and AP.

    .venv/bin/python benchmarks/distributed_seeds.py [SEEDS] [--set dataset.drawn.train=240]

Both have a batch of 16 pictures, which two processes share out. The loss is the mean of the last
fifth of the training, AP that of its best epoch.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from mmdet_jetson.config.settings import ROOT
from mmdet_jetson.store import Store

INVOKE = str(Path(sys.executable).with_name("invoke"))
BATCH = "train.batch_size=16"


class Trained(NamedTuple):
    """The figures of one training."""

    loss: float
    ap: float


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("seeds", type=int, nargs="?", default=3)
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    found: dict[int, list[Trained]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as name:
        for seed in range(arguments.seeds):
            for processes in found if seed % 2 else reversed(found):
                # A store for each: the number of processes is in no key.
                store = Path(name) / f"{processes}-{seed}"
                words = [BATCH, f"train.processes={processes}", f"train.seed={seed}"]
                trained = train(store, [*words, *arguments.set])
                found[processes].append(trained)
                print(f"seed {seed}, {processes}: {trained}", flush=True)
    print("\n| processes | loss of each seed | mean | AP of each seed | mean |")
    print("|---:|---|---:|---|---:|")
    for processes, runs in found.items():
        losses, aps = [run.loss for run in runs], [run.ap for run in runs]
        told = [
            ", ".join(f"{loss:.3f}" for loss in losses),
            f"{statistics.mean(losses):.3f} ± {statistics.stdev(losses):.3f}",
            ", ".join(f"{ap:.3f}" for ap in aps),
            f"{statistics.mean(aps):.3f} ± {statistics.stdev(aps):.3f}",
        ]
        print(f"| {processes} | {' | '.join(told)} |")


def train(folder: Path, assignments: list[str]) -> Trained:
    """Train with a store of its own."""
    settings = [word for each in assignments for word in ("--set", each)]
    environ = {**os.environ, "MMDET_JETSON_ARTIFACTS": str(folder)}
    command = [INVOKE, "train", "--config", "configs/demo.toml", *settings]
    subprocess.run(command, cwd=ROOT, env=environ, check=True, capture_output=True)
    store = Store(folder)
    training = store.find("demo.train")
    assert training
    store.checkout(training, folder / "train")
    metrics = json.loads((folder / "train/metrics.json").read_text())
    losses = [point["loss"] for point in metrics["curves"]["train"]]
    last = losses[-len(losses) // 5 :]
    return Trained(statistics.mean(last), metrics["best"]["AP"])


if __name__ == "__main__":
    main()
