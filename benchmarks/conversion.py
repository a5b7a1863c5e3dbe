"""Time from a checkpoint to a checked engine, beside MMDeploy's own flow on the same checkpoint.

    .venv/bin/python benchmarks/conversion.py [--config configs/demo.toml] [--size 640] [--rounds 3]

Takes the checkpoint of a finished run (``make demo``). Ours: the steps ``export`` and ``engine``,
which run the engine against its ONNX file on random pictures, until the engine is in the store.
Theirs: `mmdeploy_flow.py`, until both pictures are drawn. They take turns in who goes first.
"""

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean

from end_to_end import finished

from mmdet_jetson.cli.request import Request
from mmdet_jetson.cli.verbs import Session, session
from mmdet_jetson.config.settings import ROOT, read_settings
from mmdet_jetson.environments.packages import Environment, python_of, train_environment
from mmdet_jetson.running.run_step import RunContext, run_step

FLOW = Path(__file__).with_name("mmdeploy_flow.py")
TARGET = "pc-onnxruntime"
OURS, THEIRS = "`export` and `engine`", "MMDeploy's flow"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", default="configs/demo.toml")
    parser.add_argument("--size", type=int, default=640)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    settings = [f"input_size=[{options.size}, {options.size}]", f'targets=["{TARGET}"]']
    seconds: dict[str, list[float]] = {OURS: [], THEIRS: []}
    request = Request(config=options.config, overrides=settings)
    with tempfile.TemporaryDirectory() as name, session(request) as now:
        folder = Path(name)
        contenders = [(OURS, lambda: ours(now)), (THEIRS, their_flow(now, options.size, folder))]
        for number in range(options.rounds):
            for contender, convert in contenders if number % 2 else reversed(contenders):
                seconds[contender].append(timed(convert))
    print("| | mean | runs |\n|---|---:|---|")
    for contender, runs in seconds.items():
        listed = ", ".join(f"{each:.1f}" for each in runs)
        print(f"| {contender} | {mean(runs):.1f} s | {listed} |")
    print(f"\nof MMDeploy's time: {mean(seconds[OURS]) / mean(seconds[THEIRS]):.2f}")


def ours(now: Session) -> None:
    """Make the engine anew from the checkpoint."""
    names = (f"export-{TARGET}", f"engine-{TARGET}")
    context = RunContext(now.runtimes, now.store, now.display, frozenset(names))
    artifacts = {"train": finished(now, "train")}
    for step in now.steps:
        if step.name in names:
            artifacts[step.name] = run_step(step, context, artifacts)


def their_flow(now: Session, size: int, folder: Path) -> Callable[[], None]:
    """Prepare MMDeploy's flow: a command of environment `train` with ONNX Runtime beside it."""
    for step in ("train", "dataset"):
        now.store.checkout(finished(now, step), folder / step)
    deploy_config = folder / "deploy_config.py"
    shipped = (ROOT / "configs/deploy/detection_onnxruntime_static.py").read_text()
    deploy_config.write_text(f"{shipped}\nonnx_config['input_shape'] = [{size}, {size}]\n")
    settings = read_settings()
    python = python_of(train_environment(ROOT, "cpu"), settings, print)
    inside = Environment("inside-train", ROOT / "docker/inside-train.lock", ("3.8",))
    beside = python_of(inside, settings, print).parents[1]
    env = {**os.environ, "PYTHONPATH": str(next(beside.glob("lib/python3.8/site-packages")))}
    picture = min((folder / "dataset/val").iterdir())
    checkpoint = folder / "train"
    words = (deploy_config, checkpoint / "config.py", checkpoint / "best.pth", picture, folder)
    command = [str(word) for word in (python, FLOW, *words)]

    def convert() -> None:
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr.decode())

    return convert


def timed(convert: Callable[[], None]) -> float:
    began = time.perf_counter()
    convert()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
