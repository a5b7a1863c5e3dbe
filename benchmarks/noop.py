"""Time a run in which nothing changed: ``invoke demo`` beside ``dvc repro`` on the same stages.

    .venv/bin/python benchmarks/noop.py [REPEATS]

DVC gets the same graph, the same files (our artifacts, checked out) and a command for each stage
that copies them into place, so that its cache holds what ours holds.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from mmdet_jetson.config.pipeline import load_project
from mmdet_jetson.config.settings import ROOT, read_settings
from mmdet_jetson.planning import pipeline
from mmdet_jetson.planning.inputs import Inputs
from mmdet_jetson.planning.steps import Step, StepOutput
from mmdet_jetson.store import Store

DEMO = ROOT / "configs/demo.toml"
INVOKE = [str(Path(sys.executable).with_name("invoke")), "demo"]


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 11
    subprocess.run(INVOKE, cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dvc = prepare_dvc(folder)
        ours, theirs = [], []
        for _ in range(repeats):
            ours.append(timed(INVOKE, ROOT))
            theirs.append(timed(dvc, folder / "project"))
    print(f"\n| nothing to do, {len(steps())} steps | median | fastest | slowest |")
    print("|---|---:|---:|---:|")
    for what, seconds in (("`invoke demo`", ours), ("`dvc repro`", theirs)):
        middle = statistics.median(seconds)
        print(f"| {what} | {middle:.2f} s | {min(seconds):.2f} s | {max(seconds):.2f} s |")


def steps() -> tuple[Step, ...]:
    settings = read_settings()
    project = load_project(DEMO)
    return pipeline.plan(project, Inputs(project, settings, lambda name, done, total: None))


def prepare_dvc(folder: Path) -> list[str]:
    """Install DVC, lay out a project with our stages and run it once; return the command."""
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", str(folder / "venv")], check=True)
    python = str(folder / "venv/bin/python")
    lock = str(ROOT / "benchmarks/dvc.lock")
    subprocess.run(
        [*uv, "pip", "sync", "--quiet", "--python", python, "--require-hashes", lock], check=True
    )
    project = folder / "project"
    project.mkdir()
    store = Store(read_settings().artifacts)
    stages = []
    for step in steps():
        artifact = store.find(f"demo.{step.name}")
        assert artifact, step.name
        store.checkout(artifact, folder / "made" / step.name)
        stages.append(as_yaml(step, folder / "made" / step.name))
    (project / "dvc.yaml").write_text("stages:\n" + "".join(stages))
    command = [str(folder / "venv/bin/dvc"), "repro", "--quiet"]
    subprocess.run(["git", "init", "--quiet"], cwd=project, check=True)
    subprocess.run([command[0], "init", "--quiet"], cwd=project, check=True)
    subprocess.run(command, cwd=project, check=True)
    shutil.rmtree(folder / "made", ignore_errors=True)
    return command


def as_yaml(step: Step, made: Path) -> str:
    outputs = (each for each in step.inputs.values() if isinstance(each, StepOutput))
    needed = sorted({output.step for output in outputs})
    name = step.name
    lines = [f"  {name}:", f"    cmd: cp -r {made} {name}"]
    if needed:
        lines += ["    deps:", *(f"      - {each}" for each in needed)]
    return "\n".join([*lines, "    outs:", f"      - {name}", ""])


def timed(command: list[str], cwd: Path) -> float:
    began = time.perf_counter()
    subprocess.run(
        command, cwd=cwd, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "DVC_NO_ANALYTICS": "1"},
    )  # fmt: skip
    return time.perf_counter() - began


if __name__ == "__main__":
    Console(stderr=True).print(f"on {os.cpu_count()} cores, Python {sys.version.split()[0]}")
    main()
