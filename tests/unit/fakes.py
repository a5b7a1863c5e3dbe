"""Stand-ins for what a step runs in and who it tells."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from mmdet_jetson.environments.this_machine import Machine
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.runtimes.outcome import Progress, StageResult
from mmdet_jetson.store import Artifact


class Quiet:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def started(self, step: Step) -> None:
        self.heard.append(f"started {step.name}")

    def waiting(self, step: Step) -> None:
        self.heard.append(f"waiting {step.name}")

    def progress(self, step: Step, progress: Progress) -> None:
        self.heard.append(f"{step.name} {progress.step}/{progress.total}")

    def finished(self, step: Step, artifact: Artifact, *, cached: bool) -> None:
        self.heard.append(f"{'cached' if cached else 'made'} {step.name}")


class FakeRuntime:
    """Writes one output file that holds the parameters and what the inputs hold."""

    machine = Machine("amd64", has_gpu=False)

    def __init__(self, environment: str = "lock-1") -> None:
        self.environment = environment
        self.runs: list[str] = []
        self.fails = False

    def identity(self, step: Step) -> str:
        return f"{step.environment}:{self.environment}"

    def evidence(self, step: Step) -> str:
        return "measured"

    def device(self, step: Step) -> str:
        return "fake device"

    def check(self, steps: Sequence[Step]) -> None:
        pass

    def prepare(self, step: Step) -> None:
        """Nothing to build."""

    def run(
        self,
        step: Step,
        job: Path,
        inputs: Mapping[str, str],
        on_progress: Callable[[Progress], None],
        *,
        keep_open: Sequence[int] = (),
    ) -> StageResult:
        self.runs.append(step.stage)
        on_progress(Progress(1, 2))
        if self.fails:
            (job / "work/newest.pth").write_text("half way")
            raise UserError(f"{step.stage}: broke")
        description = msgspec.json.decode((job / "job.json").read_bytes())
        read = [(job / folder / "out.txt").read_text() for folder in description["inputs"].values()]
        (job / "output/out.txt").write_text(f"{description['parameters']} {read}")
        return StageResult(metrics={"AP": 0.5}, warnings=["mind the gap"])
