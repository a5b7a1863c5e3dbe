"""What a command records of its training: here, and at an MLflow server, should there be one."""

import os
import sys
import threading
import time
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from fakes import dataset_step, train_step
from small_artifacts import PROVENANCE

from mmdet_jetson.contract.job import Progress, Recorded
from mmdet_jetson.planning.keys import Ingredients
from mmdet_jetson.store import Store
from mmdet_jetson.tracking.mlflow_runs import ADDRESS, QUIET
from mmdet_jetson.tracking.trainings import Trainings

NOW = Ingredients(
    "train", "sha256:s", "train:1", {"epochs": 3, "overrides": {"lr": 0.1}}, {"dataset": "sha256:d"}
)
FILE = "events.out.tfevents.1.vm.2.0"


@dataclass
class FakeMlflow:
    """The part of MLflow's client that is used, and what it was told."""

    told: list[tuple[str, object]] = field(default_factory=list)
    known: list[SimpleNamespace] = field(default_factory=list)
    is_down: bool = False

    def get_experiment_by_name(self, name: str) -> None:
        if self.is_down:
            raise ConnectionError("connection refused")
        self.told.append(("experiment", name))

    def create_experiment(self, name: str) -> str:
        return f"id of {name}"

    def search_runs(self, *_: object, **__: object) -> list[SimpleNamespace]:
        return self.known

    def create_run(self, experiment: str, tags: dict[str, str], run_name: str) -> SimpleNamespace:
        self.told.append(("run", (experiment, tags, run_name)))
        self.known = [SimpleNamespace(info=SimpleNamespace(run_id="run 1"))]
        return self.known[0]

    def log_batch(self, _: str, **batch: list[tuple[object, ...]]) -> None:
        self.told += [(kind, each) for kind, entries in batch.items() for each in entries]

    def update_run(self, _: str, status: str) -> None:
        self.told.append(("status", status))

    def set_terminated(self, _: str, status: str) -> None:
        self.told.append(("status", status))

    def all(self, kind: str) -> list[object]:
        return [what for name, what in self.told if name == kind]


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> FakeMlflow:
    client = FakeMlflow()
    entities = ModuleType("mlflow.entities")
    package = ModuleType("mlflow")
    vars(entities).update(
        Param=lambda *it: it,
        RunTag=lambda *it: it,
        Metric=lambda name, value, _, step: (name, value, step),
    )
    vars(package).update(MlflowClient=lambda: client, entities=entities)
    monkeypatch.setitem(sys.modules, "mlflow", package)
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    monkeypatch.setenv(ADDRESS, "http://there")
    for variable in QUIET:
        monkeypatch.setenv(variable, os.environ.get(variable, "1"))
    return client


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def trainings(tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> Trainings:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    return Trainings(Store(tmp_path / "artifacts"), "mugs", said.append)


def epoch(number: int, **figures: float) -> Progress:
    return Progress(number, 3, recorded=Recorded(epoch=number, figures=figures))


def test_a_training_says_where_its_curves_are(
    trainings: Trainings, said: list[str], tmp_path: Path
) -> None:
    content = b64encode(b"one").decode()
    with trainings.recording(train_step(), NOW) as record:
        record(Progress(0, 3, recorded=Recorded(file=FILE, content=content)))

    assert said == [f"{'train':<28} its curves: tensorboard --logdir artifacts/tensorboard"]
    (path,) = (tmp_path / "artifacts/tensorboard").rglob("*.tfevents.*")
    assert path.parent.name == f"mugs-{NOW.key[:8]}"


def test_other_steps_record_nothing(trainings: Trainings, said: list[str], tmp_path: Path) -> None:
    with trainings.recording(dataset_step(), NOW) as record:
        record(Progress(1, 2))

    assert (said, list(tmp_path.iterdir())) == ([], [])


def test_mlflow_is_told_of_a_training(trainings: Trainings, mlflow: FakeMlflow) -> None:
    with trainings.recording(train_step(), NOW) as record:
        record(epoch(1, **{"train/loss": 2.0}))
        record(epoch(2, **{"coco/bbox_mAP": 0.5, "odd:name": 1.0, "none": float("nan")}))

    assert mlflow.all("experiment") == ["mugs"]
    tags = {"mmdet_jetson.key": NOW.key}
    assert mlflow.all("run") == [("id of mugs", tags, f"mugs-{NOW.key[:8]}")]
    assert mlflow.all("params") == [("epochs", "3"), ("overrides.lr", "0.1")]
    assert ("input.dataset", "sha256:d") in mlflow.all("tags")
    assert mlflow.all("metrics") == [
        ("train/loss", 2.0, 1), ("coco/bbox_mAP", 0.5, 2), ("odd_name", 1.0, 2),
    ]  # fmt: skip
    assert mlflow.all("status") == ["RUNNING", "FINISHED"]


def _interrupted(trainings: Trainings, error: BaseException) -> None:
    content = b64encode(b"one").decode()
    with trainings.recording(train_step(), NOW) as record:
        record(Progress(0, 3, recorded=Recorded(file=FILE, content=content)))
        raise error


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt(), "KILLED"), (RuntimeError("broke"), "FAILED")]
)
def test_one_that_did_not_end_well_is_marked_and_goes_on_in_its_run(
    trainings: Trainings,
    mlflow: FakeMlflow,
    tmp_path: Path,
    error: BaseException,
    status: str,
) -> None:
    with pytest.raises(type(error)):
        _interrupted(trainings, error)
    assert mlflow.all("status") == ["RUNNING", status]
    (folder,) = (tmp_path / "artifacts/tensorboard").iterdir()
    assert folder.suffix == ".unfinished"

    with trainings.recording(train_step(), NOW) as record:
        record(epoch(3, **{"train/loss": 1.0}))

    assert len(mlflow.all("run")) == 1
    assert mlflow.all("status")[2:] == ["RUNNING", "FINISHED"]
    assert not folder.exists()


def test_a_server_that_is_down_ends_no_training_and_is_told_of_once(
    trainings: Trainings, mlflow: FakeMlflow, said: list[str]
) -> None:
    mlflow.is_down = True
    for _ in range(2):
        with trainings.recording(train_step(), NOW) as record:
            record(epoch(1, **{"train/loss": 2.0}))

    warnings = [line for line in said if "warning" in line]
    assert [line.partition(" (")[0] for line in warnings] == [
        "  warning: MLflow cannot be told", "  warning: MLflow was not told everything",
    ]  # fmt: skip
    assert "ConnectionError: connection refused" in warnings[0]
    assert "and the training goes on" in warnings[0]


def test_a_server_that_hangs_is_waited_for_once_a_command(
    trainings: Trainings,
    mlflow: FakeMlflow,
    said: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hangs = threading.Event()
    monkeypatch.setattr(mlflow, "get_experiment_by_name", lambda _: hangs.wait())
    monkeypatch.setattr(trainings, "_patience", 1.0)
    store = Store(tmp_path / "artifacts")
    (made := tmp_path / "made").mkdir()
    (made / "best.pth").write_bytes(b"weights")
    began = time.monotonic()
    with trainings.recording(train_step(), NOW) as record:
        record(epoch(1, **{"train/loss": 2.0}))
        assert time.monotonic() - began < 1, "the training itself waits for nothing"
    trainings.made({"train": store.put("checkpoint", made, PROVENANCE, [])})

    assert trainings._patience == 0
    warnings = [line for line in said if "warning" in line]
    assert len(warnings) == 1
    assert "MLflow was not told everything" in warnings[0]
    hangs.set()


@pytest.mark.parametrize(
    ("first", "told"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "(Connection refused)"),
        (TimeoutError("timed out"), "(no answer in time)"),
        (ValueError("no such experiment\nat line 5"), "(ValueError: no such experiment)"),
    ],
)
def test_of_an_error_in_an_error_the_first_is_told(
    trainings: Trainings,
    mlflow: FakeMlflow,
    said: list[str],
    first: Exception,
    told: str,
) -> None:
    def failing(_: str) -> None:
        raise RuntimeError("API request to http://there failed: HTTPConnectionPool") from first

    vars(mlflow)["get_experiment_by_name"] = failing
    with trainings.recording(train_step(), NOW):
        pass
    assert any(f"MLflow cannot be told {told}" in line for line in said)


def test_without_the_package_one_sentence_says_how_to_get_it(
    trainings: Trainings, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ADDRESS, "http://there")
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.setitem(sys.modules, "mlflow.entities", None)
    for variable in QUIET:
        monkeypatch.setenv(variable, "1")

    with trainings.recording(train_step(), NOW):
        pass

    assert len(said) == 2
    assert "MLFLOW_TRACKING_URI is set, but Invoke's Python has no MLflow" in said[1]
    assert "-m pip install mlflow-skinny" in said[1]


def test_what_was_made_of_a_training_is_told_at_the_end(
    trainings: Trainings, mlflow: FakeMlflow, tmp_path: Path
) -> None:
    store = Store(tmp_path / "artifacts")
    (made := tmp_path / "made").mkdir()
    (made / "best.pth").write_bytes(b"weights")
    checkpoint = store.put("checkpoint", made, PROVENANCE, [])

    trainings.made({"dataset": checkpoint})
    assert mlflow.told == [], "a training is none of it"
    trainings.made({"train": checkpoint, "engine-pc": checkpoint})

    assert mlflow.all("tags")[-2:] == [
        ("artifact.train", checkpoint.digest), ("artifact.engine-pc", checkpoint.digest),
    ]  # fmt: skip
    assert mlflow.all("status") == ["FINISHED"]


def test_a_disk_that_is_full_ends_no_training(
    trainings: Trainings, said: list[str], tmp_path: Path
) -> None:
    (tmp_path / "artifacts").write_text("a file where the folder should be")
    content = b64encode(b"one").decode()

    with trainings.recording(train_step(), NOW) as record:
        for _ in range(2):
            record(Progress(0, 3, recorded=Recorded(file=FILE, content=content)))

    assert ["not all there" in line for line in said] == [False, True]
