"""Train with the same seeds on the host and in the training image, and compare the checkpoints.

    .venv/bin/python benchmarks/runtimes.py [SEEDS] [--config configs/demo.toml] [--set KEY=VALUE]

Prints the AP of each checkpoint in PyTorch. Needs the image: ``invoke images.test --name train``.
"""

import argparse
import statistics

from mmdet_jetson.cli.request import Request
from mmdet_jetson.cli.verbs import make, session
from mmdet_jetson.contract.report import CHECKPOINT
from mmdet_jetson.runtimes.selection import RUNTIMES, RuntimeOptions


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("seeds", type=int, nargs="?", default=3)
    parser.add_argument("--config", default="configs/demo.toml")
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    found: dict[str, list[float]] = {runtime: [] for runtime in RUNTIMES}
    for seed in range(options.seeds):
        for runtime in RUNTIMES:
            settings = [*options.set, f"train.seed={seed}"]
            found[runtime].append(ap(options.config, settings, runtime))
    print(f"| | {' | '.join(f'seed {seed}' for seed in range(options.seeds))} | deviation |")
    print(f"|---|{'---:|' * (options.seeds + 1)}")
    for runtime, figures in found.items():
        cells = [*figures, statistics.stdev(figures)]
        print(f"| {runtime} | {' | '.join(f'{each:.4f}' for each in cells)} |")
    pairs = zip(*found.values(), strict=True)
    worst = max(abs(host - docker) for host, docker in pairs)
    print(f"\nlargest difference between the runtimes with one seed: {worst:.6f}")


def ap(config: str, settings: list[str], runtime: str) -> float:
    """Make the checkpoint's evaluation, and return its AP."""
    request = Request(config=config, overrides=settings, runtime=RuntimeOptions(runtime))
    with session(request) as now:
        (goal,) = (step for step in now.steps_of("evaluate") if step.subject == CHECKPOINT)
        return float(str(make(now, [goal])[goal.name].provenance.metrics["AP"]))


if __name__ == "__main__":
    main()
