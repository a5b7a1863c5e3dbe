"""What ``invoke plan --matrix`` lists, from what a registry has."""

import json
import shlex
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeRuntime, everywhere
from in_process import our_commands
from invoke.program import Program
from registry_server import RegistryServer

from mmdet_jetson.cli import machines, pack, verbs
from mmdet_jetson.cli.matrix import FORMS
from mmdet_jetson.cli.request import Request, config_file
from mmdet_jetson.contract.job import Result, read_job
from mmdet_jetson.planning.steps import Step, StepOutput
from mmdet_jetson.runtimes.protocol import StageRun
from mmdet_jetson.store import Store, cache_tag

DEMO = "configs/demo.toml"
REPOSITORY = "team/mugs"
MADE_BEFORE = [
    "dataset", "train", "evaluate-checkpoint", "export-documented", "evaluate-documented",
    "export-pc-onnxruntime", "export-orin-jp62",
]  # fmt: skip
OF_A_TARGET = ["engine-{}", "evaluate-{}", "prove-{}", "profile-{}", "report"]
TARGETS = ("pc-onnxruntime", "orin-jp62")


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


Commands = Callable[..., Said]


@pytest.fixture
def invoke(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Commands:
    """`invoke` as it is typed; what goes to each stream, since CI reads one of them alone."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*words: str) -> Said:
        code = 0
        try:
            Program(namespace=our_commands()).run(["invoke", *words])
        except SystemExit as exited:
            code = int(exited.code or 0)
        return Said(code, *capsys.readouterr())

    return run


class Machine(FakeRuntime):
    """Writes whatever a later step reads of a result."""

    def __init__(self, environment: str = "lock-1") -> None:
        super().__init__(environment)
        self.read: dict[str, set[str]] = defaultdict(set)
        """What is read of each step, by name."""

    def run(self, stage: StageRun) -> Result:
        self.runs.append(stage.step.stage.module)
        parameters = read_job(stage.folder).parameters
        for name in ("out.txt", *self.read[stage.step.name]):
            (stage.folder / "output" / name).write_text(f"{name} of {parameters}")
        return Result(metrics={"AP": 0.5}, warnings=())


class Gpu(Machine):
    """One with a GPU, which is in the keys of what is measured there."""

    def identity(self, step: Step) -> str:
        return super().identity(step) + (":RTX 9999:sm89" if step.belongs_to_gpu else "")


class Site:
    """Machines that share a registry: each has a store of its own, empty at first."""

    def __init__(
        self, server: RegistryServer, monkeypatch: pytest.MonkeyPatch, folder: Path
    ) -> None:
        self.server, self.monkeypatch, self.folder = server, monkeypatch, folder
        self.machines = 0
        self.runs: list[str] = []
        self.goes_to(Machine())

    @property
    def words(self) -> tuple[str, ...]:
        place = self.server.place(REPOSITORY)
        targets = (word for target in TARGETS for word in ("--target", target))
        return ("--config", DEMO, "--set", f"store.registry={place}", *targets)

    def goes_to(self, machine: Machine) -> Store:
        self.machines += 1
        store = self.folder / f"machine-{self.machines}"
        self.monkeypatch.setenv("MMDET_JETSON_ARTIFACTS", str(store))
        self.monkeypatch.setattr(machines, "open_runtimes", lambda *_: everywhere(machine))
        return Store(store)

    def make(self, verb: str, machine: Machine, *overrides: str) -> Store:
        """Make on a new machine what a command makes, and push it."""
        store = self.goes_to(machine)
        registry = f"store.registry={self.server.place(REPOSITORY)}"
        request = Request(config=DEMO, overrides=(registry, *overrides), targets=TARGETS, push=True)
        with verbs.session(request) as now:
            for each in (each for step in now.steps for each in step.inputs.values()):
                if isinstance(each, StepOutput):
                    machine.read[each.step] |= set(each.parts)
            goals = pack.packed(now) if verb == "pack" else now.steps_of(verb)
            verbs.make(now, goals)
        self.goes_to(Machine())
        return store


@pytest.fixture
def site(
    server: RegistryServer, own_home: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Site:
    return Site(server, monkeypatch, tmp_path / "site")


def planned(invoke: Commands, site: Site, *words: str) -> dict[str, list[dict[str, object]]]:
    """The jobs of each wave, as GitHub is told."""
    done = invoke("plan", "--json", "--matrix", *words, *site.words)
    assert done.code == 0, done.err
    assert done.out.count("\n") == 1
    matrix = json.loads(done.out)
    assert list(matrix) == ["dataset", "train", "engine"]
    assert all(list(wave) == ["include"] for wave in matrix.values())
    return {name: wave["include"] for name, wave in matrix.items()}


def made(jobs: list[dict[str, object]]) -> list[object]:
    return [job["makes"] for job in jobs]


def test_with_an_empty_registry_everything_is_listed(invoke: Commands, site: Site) -> None:
    matrix = planned(invoke, site)
    assert made(matrix["dataset"]) == [["dataset"]]
    assert made(matrix["train"]) == [MADE_BEFORE[1:]]
    assert made(matrix["engine"]) == [
        [name.format(target) for name in OF_A_TARGET] for target in TARGETS
    ]
    labels = [job["labels"] for wave in matrix.values() for job in wave]
    assert labels == [
        ["ubuntu-22.04"], ["self-hosted", "linux", "x64", "gpu"],
        *(["self-hosted", target] for target in TARGETS),
    ]  # fmt: skip
    assert [job["group"] for job in matrix["engine"]] == [f"device-{each}" for each in TARGETS]


def test_commands_have_the_options_of_the_plan(invoke: Commands, site: Site) -> None:
    matrix = planned(invoke, site, "--precision", "fp32")
    options = f"--config {DEMO} --set store.registry={site.server.place(REPOSITORY)}"
    commands = [job["commands"] for wave in matrix.values() for job in wave]
    both = "--target pc-onnxruntime --target orin-jp62"
    assert commands[:3] == [
        [f"invoke dataset {options} --push"],
        [f"invoke pack handed-over {options} --precision fp32 {both} --push"],
        [
            f"invoke pull demo {options}",
            f"invoke report {options} --precision fp32 --target pc-onnxruntime --onnx demo --push",
        ],
    ]


def test_what_is_made_is_not_listed(invoke: Commands, site: Site) -> None:
    site.make("dataset", Machine())
    matrix = planned(invoke, site)
    assert matrix["dataset"] == []
    assert made(matrix["train"]) == [MADE_BEFORE[1:]]
    machine = Machine()
    site.make("pack", machine)
    assert "dataset" not in machine.runs
    assert "train" in machine.runs
    matrix = planned(invoke, site)
    assert (matrix["dataset"], matrix["train"]) == ([], [])
    assert [job["target"] for job in matrix["engine"]] == list(TARGETS)


def test_a_name_that_another_commit_moved_is_given_again_and_nothing_is_computed(
    invoke: Commands, site: Site
) -> None:
    site.make("pack", Machine())
    site.make("pack", Machine(), "train.epochs=3")
    (job,) = planned(invoke, site)["train"]
    # Both trainings give the same graph here, which is evaluated once.
    same = ("dataset", "evaluate-documented")
    assert job["makes"] == [name for name in MADE_BEFORE if name not in same]
    assert job["runner"] == "x64"
    machine = Machine()
    site.make("pack", machine)
    assert machine.runs == []
    assert planned(invoke, site)["train"] == []


def test_what_was_measured_with_a_gpu_is_known_where_there_is_none(
    invoke: Commands, site: Site
) -> None:
    store = site.make("pack", Gpu())
    evaluation = store.find("demo.evaluate-checkpoint")
    assert evaluation
    assert "RTX 9999" in evaluation.provenance.environment
    assert planned(invoke, site)["train"] == []
    # With other packages it would be another result.
    site.goes_to(Machine("lock-2"))
    (job,) = planned(invoke, site)["train"]
    assert job["runner"] == "gpu"


def test_only_in_this_machine_s_store_is_not_made(invoke: Commands, site: Site) -> None:
    """Other machines read the registry."""
    store = site.make("pack", Machine())
    site.server.repositories.clear()
    site.monkeypatch.setenv("MMDET_JETSON_ARTIFACTS", str(store.root))
    matrix = planned(invoke, site)
    assert made(matrix["dataset"]) == [["dataset"]]
    assert made(matrix["train"]) == [MADE_BEFORE[1:]]


def test_a_name_without_its_key_is_not_made(invoke: Commands, site: Site) -> None:
    """As where somebody pushed by hand what is of another configuration."""
    store = site.make("dataset", Machine())
    found = store.find("demo.dataset")
    assert found
    del site.server.repositories[REPOSITORY].tags[cache_tag(found.provenance.key)]
    assert made(planned(invoke, site)["dataset"]) == [["dataset"]]


def gitlab(invoke: Commands, site: Site) -> dict[str, Any]:
    done = invoke("plan", "--json", "--matrix", "gitlab", *site.words)
    assert done.code == 0, done.err
    pipeline: dict[str, Any] = json.loads(done.out)
    return pipeline


def test_gitlab_is_told_jobs_of_a_child_pipeline(invoke: Commands, site: Site) -> None:
    pipeline = gitlab(invoke, site)
    assert pipeline["include"] == [{"local": ".gitlab/detector.yml"}]
    assert pipeline["dataset"] == {
        "extends": ".dataset",
        "parallel": {"matrix": [{"RUNNER": "x64"}]},
    }
    assert pipeline["train"]["parallel"] == {"matrix": [{"RUNNER": "gpu"}]}
    assert pipeline["engine"]["parallel"] == {
        "matrix": [{"RUNNER": target, "TARGET": target} for target in TARGETS]
    }
    assert pipeline["release"] == {"extends": ".release"}


def test_in_gitlab_the_job_that_names_results_is_never_left_out(
    invoke: Commands, site: Site
) -> None:
    site.make("pack", Machine())
    pipeline = gitlab(invoke, site)
    assert "dataset" not in pipeline
    assert pipeline["train"]["parallel"] == {"matrix": [{"RUNNER": "x64"}]}


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--matrix", "gitlb"], 1, "--matrix gitlb: it is for github or gitlab"),
        (["--matrix", "--onnx", "demo"], 1, "--onnx demo is on this machine"),
        (["--matrix", "--runtime", "slurm"], 1, "--runtime slurm makes batch jobs"),
        (["--matrix", "--set", "store.registry="], 1, "share their results through a registry"),
        (
            ["--matrix", "--set", "store.registry=docker://127.0.0.1:9/a"],
            1, "docker://127.0.0.1:9/a does not answer, so nobody knows what it lacks",
        ),
    ],
)  # fmt: skip
def test_what_would_be_no_matrix_is_refused(
    invoke: Commands, site: Site, words: list[str], code: int, told: str
) -> None:
    done = invoke("plan", "--json", *site.words, *words)
    assert done.code == code, done.err
    assert done.out == ""
    assert told in done.err


def test_offline_there_is_no_matrix(invoke: Commands, site: Site) -> None:
    site.monkeypatch.setenv("MMDET_JETSON_OFFLINE", "1")
    done = invoke("plan", "--json", "--matrix", *site.words)
    assert (done.code, done.out) == (1, "")
    assert "through a registry, and none is asked" in done.err


@pytest.mark.parametrize("form", FORMS)
def test_more_targets_than_a_matrix_may_have_are_refused(
    invoke: Commands, site: Site, tmp_path: Path, form: str
) -> None:
    limit, _ = FORMS[form]
    configs = Path(DEMO).parent
    for name in ("targets.toml", "sources.toml", "demo.toml"):
        (tmp_path / name).write_text((config_file(str(configs / name), Path())).read_text())
    names = [f"pc-{number}" for number in range(limit + 1)]
    with (tmp_path / "targets.toml").open("a") as targets:
        for name in names:
            targets.write(f'\n[{name}]\ndescription = "one of many"\nlike = "pc-onnxruntime"\n')
    chosen = [word for name in names for word in ("--target", name)]
    registry = f"store.registry={site.server.place(REPOSITORY)}"
    words = ("plan", "--matrix", form, "--config", str(tmp_path / "demo.toml"), "--set", registry)
    done = invoke(*words, *chosen)
    assert (done.code, done.out) == (1, "")
    assert f"{limit + 1} targets, and a matrix has at most {limit} jobs there" in done.err
    assert shlex.join(chosen[:2]) not in done.err
