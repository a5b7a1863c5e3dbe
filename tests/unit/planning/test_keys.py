from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path

import pytest
from fakes import FakeRuntime, Quiet, dataset_step, everywhere, train_step

from mmdet_jetson.planning import keys, stages
from mmdet_jetson.planning.keys import Ingredients, ingredients, provenance_read
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.running.run_step import RunContext, run_step
from mmdet_jetson.store import Artifact, Store


@pytest.fixture
def artifacts(tmp_path: Path) -> dict[str, Artifact]:
    """What the steps before a training have made: the dataset, once with each of two seeds."""
    context = RunContext(everywhere(FakeRuntime()), Store(tmp_path / "artifacts"), Quiet())
    return {
        "dataset": run_step(dataset_step(1), context, {}),
        "other": run_step(dataset_step(2), context, {}),
    }


def of(step: Step, artifacts: Mapping[str, Artifact], **changed: str) -> Ingredients:
    told = {"environment": "lock-1", "evidence": "measured", **changed}
    return ingredients(
        step, environment=told["environment"], evidence=told["evidence"], artifacts=artifacts
    )


def test_the_same_ingredients_have_the_same_key(artifacts: dict[str, Artifact]) -> None:
    assert of(train_step(), artifacts).key == of(train_step(), artifacts).key


def test_every_field_of_the_ingredients_is_in_the_key(artifacts: dict[str, Artifact]) -> None:
    known = of(train_step(), artifacts)
    changes: dict[str, object] = {
        "stage": "export",
        "source": "changed",
        "environment": "lock-2",
        "parameters": {**known.parameters, "seed": 1},
        "inputs": {"dataset": "sha256:2"},
    }
    assert set(changes) == {field.name for field in fields(Ingredients)}
    for name, value in changes.items():
        assert replace(known, **{name: value}).key != known.key, name  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        lambda step, made: of(replace(step, stage=replace(step.stage, module="export")), made),
        lambda step, made: of(train_step(epochs=41), made),
        lambda step, made: of(step, {"dataset": made["other"]}),
        lambda step, made: of(step, made, environment="lock-2"),
        lambda step, made: of(step, made, evidence="emulated"),
    ],
    ids=["stage", "parameters", "input", "environment", "evidence"],
)
def test_what_a_result_depends_on_changes_its_key(
    change: Callable[[Step, Mapping[str, Artifact]], Ingredients], artifacts: dict[str, Artifact]
) -> None:
    assert change(train_step(), artifacts).key != of(train_step(), artifacts).key


def test_a_changed_source_changes_the_key(
    artifacts: dict[str, Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = of(train_step(), artifacts).key
    monkeypatch.setattr(keys, "source_digest", lambda stage: "changed")
    assert of(train_step(), artifacts).key != before


def test_a_stage_that_reads_provenance_has_it_in_its_key(artifacts: dict[str, Artifact]) -> None:
    step = replace(train_step(), stage=replace(stages.TRAINING, reads_provenance=True))
    told = of(step, artifacts).parameters["artifacts"]
    assert isinstance(told, list)
    assert [each["digest"] for each in told] == [artifacts["dataset"].digest]
    assert "artifacts" not in of(train_step(), artifacts).parameters


PACKAGE = {
    "contract/__init__.py": "",
    "contract/told.py": "",
    "contract/untold.py": "",
    "stages/__init__.py": "",
    "stages/one.py": "from mmdet_jetson.stages.two import x\nfrom mmdet_jetson.contract import told",
    "stages/two.py": "from mmdet_jetson.stages import three\nfrom mmdet_jetson.stages.kinds import load",
    "stages/three.py": "",
    "stages/other.py": "",
    "stages/one.html.j2": "",
    "stages/kinds/__init__.py": "from importlib import import_module",
    "stages/kinds/by_name.py": "",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in PACKAGE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(keys, "PACKAGE", tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", PACKAGE)
def test_the_source_digest_follows_imports(package: Path, name: str) -> None:
    """Also into the contract, and to modules that a package loads by their names."""

    def digest() -> str:
        keys.source_digest.cache_clear()
        keys._needed_by.cache_clear()
        return keys.source_digest("one")

    before = digest()
    (package / name).write_text(f"{PACKAGE[name]}\n# changed")
    is_of_another = name in ("contract/untold.py", "stages/other.py")
    assert (digest() == before) == is_of_another
    keys.source_digest.cache_clear()


def test_every_stage_has_a_source() -> None:
    for stage in stages.STAGES:
        assert len(keys.source_digest(stage.module)) == 64


def test_a_stage_does_not_depend_on_what_others_are_told() -> None:
    """Else a new gate, or a new parameter of the profile, would train everything anew."""
    modules = {path.relative_to(keys.PACKAGE).as_posix() for path in keys._closure("train")}
    assert "contract/parameters/train.py" in modules
    others = {"contract/gates.py", "contract/backends.py", "contract/parameters/profile.py"}
    assert modules & others == set()
    gates = {path.name for path in keys._closure("report")}
    assert {"gates.py", "min_ap50.py"} <= gates


@pytest.mark.parametrize(
    ("stage", "others"),
    [
        ("train", {"conversion", "building", "backends", "engines", "gates", "reporting"}),
        ("export", {"annotations", "building", "backends", "engines", "gates", "reporting"}),
        ("engine", {"training", "checkpoints", "conversion", "gates", "proving", "reporting"}),
        ("evaluate_engine", {"training", "checkpoints", "conversion", "gates", "reporting"}),
        ("prove", {"training", "conversion", "building", "backends", "engines", "gates"}),
    ],
)
def test_a_stage_does_not_depend_on_the_source_of_others(stage: str, others: set[str]) -> None:
    """Else a word in the report would build every engine anew."""
    folders = {path.parent.name for path in keys._closure(stage)}
    assert "contract" in folders
    assert folders & others == set()


def test_an_artifact_that_steps_share_is_told_under_the_name_of_each(
    artifacts: dict[str, Artifact],
) -> None:
    """Two targets may export the same graph; the report lists both steps."""
    shared = {"dataset": artifacts["dataset"], "other": artifacts["dataset"]}
    outputs = {name: replace(dataset_step().output(), step=name) for name in shared}
    step = replace(
        train_step(), stage=replace(stages.TRAINING, reads_provenance=True), inputs=outputs
    )
    assert [each.step for each in provenance_read(step, shared)] == ["dataset", "other"]
