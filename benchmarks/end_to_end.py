"""Time detection from a decoded picture to boxes: our engines beside MMDeploy's SDK.

    .venv/bin/python benchmarks/end_to_end.py [--config configs/demo.toml] [--size 640]
        [--rounds 20] [--pictures 1024x768] [--plot docs/end_to_end.svg]

Takes the checkpoint of a finished run (``make demo``), exports it at ``--size`` and builds engines
for ONNX Runtime and for OpenVINO in all their precisions. Each contender is a process that waits
for its turn; one after the other detects on the same ten pictures, on the same cores, and who
begins changes with every round. Ten, since a device sees one picture after the other; in turns of
one, ours takes longer. The SDK (``mmdeploy-runtime``, with the ONNX Runtime in its wheel) reads the
documented graph.
"""

import argparse
import json
import math
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from mmdet_jetson.cli.request import Request
from mmdet_jetson.cli.verbs import Session, session
from mmdet_jetson.config.settings import ROOT, read_settings
from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.environments.packages import (
    Environment,
    device_environment,
    python_of,
    train_environment,
)
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.running.run_step import RunContext, run_step
from mmdet_jetson.store import Artifact

WORKER = Path(__file__).with_name("detect_worker.py")
PLOT = Path(__file__).with_name("plot_steps.py")
SDK = "mmdeploy-runtime"
TARGETS = {
    "ONNX Runtime, fp32": "pc-onnxruntime",
    "ONNX Runtime, int8": "pc-onnxruntime-int8",
    "OpenVINO, fp32": "pc-openvino",
    "OpenVINO, bf16": "pc-openvino-bf16",
    "OpenVINO, int8": "pc-openvino-int8",
}
STEPS = ("resize", "normalize", "format", "network", "postprocess")
NETWORK = STEPS.index("network")
MOST_PICTURES = 20
PICTURES = 10  # in a turn
PAUSE_SECONDS = 0.1

Times = dict[str, list[list[float]]]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", default="configs/demo.toml")
    parser.add_argument("--size", type=int, default=640)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--pictures", default="1024x768")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environments = {SDK: Environment("sdk", ROOT / "docker/sdk.lock", ("3.8",))}
        environments |= build(options.config, options.size, folder)
        pictures = sorted((folder / "dataset/val").iterdir())[:MOST_PICTURES]
        with ExitStack() as stack:
            contenders = {}
            for contender, environment in environments.items():
                python = python_of(environment, read_settings(), print)
                kind = "sdk" if contender == SDK else "ours"
                process = Contender(python, kind, folder / contender, options.pictures, *pictures)
                contenders[contender] = stack.enter_context(process)
            times = take_turns(contenders, len(pictures), options.rounds)
    print(table(times))
    if options.plot:
        draw(times, options.plot)


def build(config: str, size: int, folder: Path) -> dict[str, Environment]:
    """Put the documented graph, our engines and the dataset into folders.

    Returns:
        The environment that each of our engines runs in.
    """
    asked = Request(
        config=config,
        overrides=[f"input_size=[{size}, {size}]"],
        targets=list(TARGETS.values()),
    )
    environments: dict[str, Environment] = {}
    with session(asked) as now:
        made = {step: finished(now, step) for step in ("dataset", "train")}
        steps = {step.name: step for step in now.steps}

        def make(step: Step) -> Artifact:
            made[step.name] = run_step(step, context, made)
            return made[step.name]

        context = RunContext(now.runtimes, now.store, now.display)
        now.store.checkout(made["dataset"], folder / "dataset")
        now.store.checkout(make(steps["export-documented"]), folder / SDK)
        for contender, target in TARGETS.items():
            make(steps[f"export-{target}"])
            now.store.checkout(make(steps[f"engine-{target}"]), folder / contender)
            backend = BACKENDS[now.project.targets[target].backend]
            environments[contender] = device_environment(ROOT, backend.environment)
    return environments


def finished(now: Session, step: str) -> Artifact:
    """An artifact of the run that the configuration names, made earlier."""
    found = now.store.find(f"{now.name}.{step}")
    if found is None:
        raise SystemExit(f"error: there is no {now.name}.{step} yet; run the pipeline first")
    return found


class Contender:
    """A process that detects when told to."""

    def __init__(self, python: Path, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [str(each) for each in (python, WORKER, *arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        if self._answer() != "ready":
            raise SystemExit(f"error: {arguments[1]} does not start")

    def __enter__(self) -> "Contender":
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()

    def detect(self, picture: int) -> list[float]:
        """Milliseconds of each step."""
        assert self.process.stdin
        print(picture, file=self.process.stdin, flush=True)
        steps: list[float] = json.loads(self._answer())
        return steps

    def _answer(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()


def take_turns(contenders: Mapping[str, Contender], pictures: int, rounds: int) -> Times:
    """Let one after the other detect; milliseconds by contender [rounds * PICTURES, steps]."""
    times: Times = {name: [] for name in contenders}
    order = list(contenders)
    for number in range(rounds):
        for name in order:
            # Threads of ONNX Runtime go on spinning for a moment.
            time.sleep(PAUSE_SECONDS)
            first = number * PICTURES
            times[name] += [
                contenders[name].detect(picture % pictures)
                for picture in range(first, first + PICTURES)
            ]
        order = [*order[1:], order[0]]
    return times


def table(times: Times) -> str:
    """Totals and medians of the steps in milliseconds, as Markdown."""
    reference = median(sum(steps) for steps in times[SDK])
    lines = [
        f"| | fastest | p50 | p99 | of the SDK's p50 | {' | '.join(STEPS)} | outside the network |",
        f"|---|{'---:|' * (5 + len(STEPS))}",
    ]
    for name, rows in times.items():
        totals = sorted(sum(steps) for steps in rows)
        middle, late = median(totals), totals[math.ceil(0.99 * len(totals)) - 1]
        cells = [f"{each:.1f}" for each in (totals[0], middle, late)]
        cells.append(f"{middle / reference:.2f}")
        if name == SDK:
            cells += [""] * (len(STEPS) + 1)
        else:
            cells += [f"{each:.2f}" for each in medians(rows)]
            outside = median(1 - steps[NETWORK] / sum(steps) for steps in rows)
            cells.append(f"{100 * outside:.1f} %")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def medians(rows: Sequence[Sequence[float]]) -> list[float]:
    """The median of each step."""
    return [median(column) for column in zip(*rows, strict=True)]


def draw(times: Times, plot: Path) -> None:
    """Draw the medians with the Matplotlib of environment `train`."""
    python = python_of(train_environment(ROOT, "cpu"), read_settings(), print)
    bars = {name: medians(rows) for name, rows in times.items()}
    content = json.dumps({"steps": STEPS, "bars": bars})
    subprocess.run([python, PLOT, plot], input=content, text=True, check=True)


if __name__ == "__main__":
    main()
