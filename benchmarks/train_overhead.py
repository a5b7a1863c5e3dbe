"""Time training through the pipeline beside MMDetection's own script, on the same config.

    .venv/bin/python benchmarks/train_overhead.py [PAIRS] [--set train.epochs=N]

Both train the demo's dataset with the demo's resolved configuration, from the same seed, each in a
process of its own, in pairs that take turns in who goes first. Ours is all of ``invoke train`` with
the dataset made already: planning, checkout of the dataset, training, checks, storing the result.
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

from mmdet_jetson.config.settings import ROOT, read_settings
from mmdet_jetson.contract.process import ENVIRON
from mmdet_jetson.environments.packages import python_of, train_environment
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
        env = {
            **os.environ,
            # Ours runs with it; on a busy machine it changes a lot.
            "GOMP_SPINCOUNT": ENVIRON["GOMP_SPINCOUNT"],
            "MMDET_JETSON_ARTIFACTS": str(folder / "artifacts"),
        }
        ours, theirs = list[float](), list[float]()
        train = [INVOKE, "train", "--config", "configs/demo.toml", *settings]
        timed([*train, "--set", "train.seed=1000"], env)  # makes the dataset, resolves the config
        config = resolved_config(folder)
        for seed in range(arguments.pairs):
            runs = [
                (ours, [*train, "--set", f"train.seed={seed}"]),
                (theirs, their_command(python, config, folder, seed)),
            ]
            for seconds, command in runs if seed % 2 else reversed(runs):
                seconds.append(timed(command, env))
            print(f"pair {seed}: ours {ours[-1]:.1f} s, theirs {theirs[-1]:.1f} s", flush=True)
    mean_ours, mean_theirs = statistics.mean(ours), statistics.mean(theirs)
    print("\n| | mean | runs |\n|---|---:|---|")
    for what, seconds in (("`invoke train`", ours), ("MMDetection's `tools/train.py`", theirs)):
        listed = ", ".join(f"{each:.1f}" for each in seconds)
        print(f"| {what} | {statistics.mean(seconds):.1f} s | {listed} |")
    print(f"\nover: {100 * (mean_ours / mean_theirs - 1):+.1f} %")


def resolved_config(folder: Path) -> Path:
    """The configuration that our run resolved, with the dataset's place filled in."""
    store = Store(folder / "artifacts")
    for step in ("dataset", "train"):
        artifact = store.find(f"demo.{step}")
        assert artifact
        store.checkout(artifact, folder / step)
    text = (folder / "train/config.py").read_text()
    config = folder / "config.py"
    config.write_text(text.replace("dataset/", f"{folder}/dataset/"))
    return config


def their_command(python: Path, config: Path, folder: Path, seed: int) -> list[str]:
    """MMDetection's script on the same configuration, from the same seed."""
    script = next(python.parents[1].glob("lib/python3.8/site-packages/mmdet/.mim/tools/train.py"))
    work = ["--work-dir", str(folder / f"theirs-{seed}")]
    options = ["--cfg-options", f"randomness.seed={seed}"]
    return [str(python), str(script), str(config), *work, *options]


def timed(command: list[str], env: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
