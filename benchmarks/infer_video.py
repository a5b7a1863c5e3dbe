"""Time ``infer.py`` on a video beside the engine's own rate, and watch its memory.

    .venv/bin/python benchmarks/infer_video.py [--config configs/demo.toml] [--size 640]
        [--video 1280x720] [--frames 150] [--rounds 5] [--long 10000]

Takes the checkpoint of a finished run (``make demo``), exports it at ``--size`` and builds an
engine for ONNX Runtime. In turns, each a process of its own: the engine on frames that are scaled
already; a detector on decoded frames; a plain loop that reads, detects, draws and writes;
``infer.py`` with JSON lines; and with an annotated video, too. Then one video of ``--long`` frames,
with the demo's own engine, whose memory is looked at ten times a second.
"""

import argparse
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import cv2
import numpy as np
from end_to_end import finished

from mmdet_jetson.cli.request import Request
from mmdet_jetson.cli.verbs import session
from mmdet_jetson.config.settings import ROOT, read_settings
from mmdet_jetson.environments.packages import device_environment, python_of
from mmdet_jetson.running.run_step import RunContext, run_step

WORKER = Path(__file__).with_name("video_worker.py")
TARGET = "pc-onnxruntime"
ALONE, LOOP = "the engine alone, on a scaled frame", "a plain loop, with a video"
DECODED = "`detect` on decoded frames"
RATE = re.compile(r"([\d.]+) a second")
MB = 1024

Rates = dict[str, list[float]]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", default="configs/demo.toml")
    parser.add_argument("--size", type=int, default=640)
    parser.add_argument("--video", default="1280x720")
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--long", type=int, default=10000)
    options = parser.parse_args()
    width, height = map(int, options.video.split("x"))
    python = str(python_of(device_environment(ROOT, "deploy"), read_settings(), print))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        engine, video = folder / "engine", folder / "video.mp4"
        build(options.config, [f"input_size=[{options.size}, {options.size}]"], engine)
        write_video(video, options.frames, (width, height))
        print(table(take_turns(contenders(python, engine, video, folder), options.rounds)))
        if options.long:
            build(options.config, [], folder / "small")
            write_video(video, options.long, (320, 240))
            runner = [python, str(folder / "small/infer.py"), str(video), "--json"]
            print("\n" + memory([*runner, "--save", str(folder / "long.mp4")]))


def build(config: str, overrides: list[str], into: Path) -> None:
    """Put an engine of a finished run's checkpoint into a folder."""
    with session(Request(config=config, overrides=overrides, targets=[TARGET])) as now:
        made = {step: finished(now, step) for step in ("dataset", "train")}
        steps = {step.name: step for step in now.steps}
        context = RunContext(now.runtimes, now.store, now.display)
        for name in (f"export-{TARGET}", f"engine-{TARGET}"):
            made[name] = run_step(steps[name], context, made)
        now.store.checkout(made[f"engine-{TARGET}"], into)


def write_video(path: Path, frames: int, size: tuple[int, int]) -> None:
    """Draw a rectangle and an ellipse that move over noise."""
    width, height = size
    noise = np.random.default_rng(0).integers(60, 120, (height // 8, width // 8, 3), np.uint8)
    behind = cv2.resize(noise, size)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30, size)
    for number in range(frames):
        frame, x = behind.copy(), width * (number % 200) // 300
        corner = (x + width // 4, height // 2)
        cv2.rectangle(frame, (x, height // 4), corner, (40, 200, 90), -1)
        middle = (width - x - width // 8, height * 3 // 4)
        cv2.ellipse(frame, middle, (width // 10, height // 8), 0, 0, 360, (200, 60, 220), -1)
        writer.write(frame)
    writer.release()


def contenders(
    python: str, engine: Path, video: Path, folder: Path
) -> Mapping[str, Callable[[], float]]:
    """Give what runs once and tells its frames per second."""
    out = str(folder / "out.mp4")
    worker = [python, str(WORKER), str(engine), str(video)]
    runner = [python, str(engine / "infer.py"), str(video), "--json"]
    return {
        ALONE: lambda: float(output([*worker, "network", out]).stdout),
        DECODED: lambda: float(output([*worker, "alone", out]).stdout),
        LOOP: lambda: float(output([*worker, "loop", out]).stdout),
        "`infer.py --json`": lambda: rate(runner),
        "`infer.py --json --save out.mp4`": lambda: rate([*runner, "--save", out]),
    }


def rate(command: list[str]) -> float:
    """Read how many frames a second ``infer.py`` tells."""
    found = RATE.search(output(command).stderr)
    assert found
    return float(found[1])


def output(command: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, check=True)


def take_turns(all_of_them: Mapping[str, Callable[[], float]], rounds: int) -> Rates:
    """Run each once a round; who begins changes."""
    rates: Rates = {name: [] for name in all_of_them}
    for number in range(rounds):
        names = list(all_of_them)
        first = number % len(names)
        for name in names[first:] + names[:first]:
            rates[name].append(all_of_them[name]())
    return rates


def table(rates: Rates) -> str:
    """Show medians, and the median of the shares of the engine's rate in the same round."""
    lines = ["| | frames a second | of the engine's | runs |", "|---|---:|---:|---|"]
    for name, each in rates.items():
        share = median(one / alone for one, alone in zip(each, rates[ALONE], strict=True))
        runs = ", ".join(f"{one:.1f}" for one in each)
        lines.append(f"| {name} | {median(each):.1f} | {share:.2f} | {runs} |")
    return "\n".join(lines)


def memory(command: list[str]) -> str:
    """Run it, and tell the memory that it had after a tenth, in the middle, and at most later."""
    seen: list[int] = []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while process.poll() is None:
            resident = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
            seen += [int(resident[1])] if resident else []
            time.sleep(0.1)
        told = process.stderr.read().decode().splitlines() if process.stderr else []
    looks = [seen[len(seen) // 10], seen[len(seen) // 2], max(seen[len(seen) // 10 :])]
    early, middle, most = (f"{each / MB:.0f}" for each in looks)
    return (
        f"{next(line for line in told if 'a second' in line)}\n"
        f"memory in MiB: {early} after a tenth, {middle} in the middle, {most} at most from there"
    )


if __name__ == "__main__":
    main()
