"""Time training through the pipeline beside MMDetection's own script, on the same config.

    .venv/bin/python benchmarks/train_overhead.py [PAIRS] [--set train.epochs=N]

Both train the demo's dataset with the demo's resolved configuration, from the same seed, each in a
process of its own, one after the other, pair by pair. Ours is all of ``invoke train`` with the
dataset made already: menu, checkout of the dataset, training, checks, storing the checkpoint.
Theirs is ``mmdet/.mim/tools/train.py`` of the same environment.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mmdet_jetson.environments import python_of, train_environment
from mmdet_jetson.settings import ROOT, read_settings
from mmdet_jetson.store import Store

INVOKE = str(Path(sys.executable).with_name("invoke"))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("pairs", type=int, nargs="?", default=3)
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    settings = [word for value in arguments.set for word in ("--set", value)]
    python = python_of(train_environment(ROOT, "cpu"), read_settings(), print)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        env = {**os.environ, "MMDET_JETSON_ARTIFACTS": str(folder / "artifacts")}
        ours, theirs = [], []
        menu = ["--config", "configs/demo.toml", *settings]
        timed([INVOKE, "dataset", *menu], env)
        for seed in range(arguments.pairs):
            ours.append(timed([INVOKE, "train", *menu, "--set", f"train.seed={seed}"], env))
            theirs.append(timed(their_command(python, folder, seed), env))
            print(f"pair {seed}: ours {ours[-1]:.1f} s, theirs {theirs[-1]:.1f} s", flush=True)
    mean_ours, mean_theirs = statistics.mean(ours), statistics.mean(theirs)
    print("\n| | mean | runs |\n|---|---:|---|")
    for what, seconds in (("`invoke train`", ours), ("MMDetection's `tools/train.py`", theirs)):
        runs = ", ".join(f"{each:.1f}" for each in seconds)
        print(f"| {what} | {statistics.mean(seconds):.1f} s | {runs} |")
    print(f"\nover: {100 * (mean_ours / mean_theirs - 1):+.1f} %")


def their_command(python: Path, folder: Path, seed: int) -> list[str]:
    """MMDetection's script on the configuration that our run with this seed resolved."""
    store = Store(folder / "artifacts")
    for step in ("dataset", "train"):
        artifact = store.find(f"demo.{step}")
        assert artifact
        store.checkout(artifact, folder / f"{step}-{seed}")
    config = folder / f"train-{seed}/config.py"
    text = config.read_text().replace("dataset/", f"{folder}/dataset-{seed}/")
    copy = folder / f"config-{seed}.py"
    copy.write_text(text)
    script = next(python.parents[1].glob("lib/python3.8/site-packages/mmdet/.mim/tools/train.py"))
    return [str(python), str(script), str(copy), "--work-dir", str(folder / f"theirs-{seed}")]


def timed(command: list[str], env: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
