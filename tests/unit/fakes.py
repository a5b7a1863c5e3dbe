"""Stand-ins for what a step runs in and who it tells, and two steps to run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from mmdet_jetson.contract.job import Progress, Result, read_job
from mmdet_jetson.contract.parameters.dataset import DatasetParameters, DrawnPictures
from mmdet_jetson.contract.parameters.train import TrainParameters
from mmdet_jetson.environments.this_machine import Machine
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning import stages
from mmdet_jetson.planning.stages import TRAIN
from mmdet_jetson.planning.steps import Input, Step
from mmdet_jetson.running.context import Ending
from mmdet_jetson.runtimes.protocol import OnWait, Place, Runtimes, StageRun
from mmdet_jetson.runtimes.selection import DEVICE_ENVIRONMENTS
from mmdet_jetson.store import Artifact


def dataset_step(seed: int = 0, inputs: Mapping[str, Input] | None = None) -> Step:
    """The first step of a pipeline, which reads nothing unless it is told to."""
    parameters = DatasetParameters(
        classes=("a", "b"),
        format="drawn",
        label_attribute="label",
        default_class=None,
        train=None,
        val=None,
        drawn=DrawnPictures(train=1, val=1, size=(64, 64), seed=seed),
    )
    return Step(stage=stages.DATASET, parameters=parameters, inputs=inputs or {})


def train_step(epochs: int = 40, workers: int = 2) -> Step:
    """The step that reads what `dataset_step` makes."""
    parameters = TrainParameters(
        config="configs/train/x.py",
        epochs=epochs,
        batch_size=None,
        seed=0,
        workers=workers,
        device="cpu",
        overrides={},
        classes=("a", "b"),
        input_size=(64, 64),
    )
    inputs = {"dataset": dataset_step().output()}
    return Step(stage=stages.TRAINING, parameters=parameters, inputs=inputs)


class Quiet:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.endings: dict[str, Ending] = {}

    def started(self, step: Step) -> None:
        self.heard.append(f"started {step.name}")

    def waiting(self, step: Step) -> None:
        self.heard.append(f"waiting {step.name}")

    def progress(self, step: Step, progress: Progress) -> None:
        self.heard.append(f"{step.name} {progress.step}/{progress.total}")

    def finished(self, step: Step, artifact: Artifact, *, cached: bool) -> None:
        self.heard.append(f"{'cached' if cached else 'made'} {step.name}")

    def in_registry(self, step: Step, artifact: Artifact) -> None:
        self.heard.append(f"in the registry {step.name}")

    def left_out(self, step: Step, why: str) -> None:
        self.heard.append(f"left out {step.name}: {why}")

    def held_up(self, step: Step, why: str) -> None:
        self.heard.append(f"held up {step.name}: {why}")

    def failed(self, step: Step, error: UserError) -> None:
        self.heard.append(f"failed {step.name}: {error.message}")

    def ended(self, endings: Sequence[Ending]) -> None:
        self.endings = {each.step.name: each for each in endings}


class FakeRuntime:
    """Writes one output file that holds the parameters and what the inputs hold.

    ``before_run`` is called with each stage's job before it is run.
    """

    def __init__(self, environment: str = "lock-1", *, machine: Machine | None = None) -> None:
        self.environment = environment
        self.machine = machine or Machine("amd64", has_gpu=False)
        self.grade, self.device_name = "measured", "fake device"
        self.runs: list[str] = []
        self.fails = False
        self.refuses = ""
        self.before_run: Callable[[StageRun], object] = lambda _: None
        self.place = Place()
        self.alone_for: list[str] = []

    def identity(self, step: Step) -> str:
        return f"{step.environment}:{self.environment}"

    def evidence(self, step: Step) -> str:
        return self.grade

    def device(self, step: Step) -> str:
        return self.device_name

    def check(self, steps: Sequence[Step]) -> None:
        if self.refuses:
            raise UserError(f"{self.refuses} for {steps[-1].name}")

    def prepare(self, step: Step) -> None:
        """Nothing to build."""

    @contextmanager
    def alone(self, step: Step, run: str, on_wait: OnWait) -> Iterator[None]:
        self.alone_for.append(step.name)
        yield

    def run(self, stage: StageRun) -> Result:
        self.runs.append(stage.step.stage.module)
        self.before_run(stage)
        stage.on_progress(Progress(1, 2))
        if self.fails:
            (stage.folder / "work/newest.pth").write_text("half way")
            raise UserError(f"{stage.step.stage.module}: broke")
        job = read_job(stage.folder)
        read = [(stage.folder / path / "out.txt").read_text() for path in job.inputs.values()]
        (stage.folder / "output/out.txt").write_text(f"{job.parameters} {read}")
        return Result(metrics={"AP": 0.5}, warnings=("mind the gap",))


def everywhere(runtime: FakeRuntime) -> Runtimes:
    """One runtime for all environments."""
    return Runtimes(dict.fromkeys((TRAIN, *DEVICE_ENVIRONMENTS), runtime))
