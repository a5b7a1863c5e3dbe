from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path

import pytest
from fakes import FakeRuntime, Quiet, dataset_step, everywhere, train_step

from mmdet_jetson.errors import UserError
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


def test_a_result_without_what_is_read_of_it_is_named(artifacts: dict[str, Artifact]) -> None:
    """As something else may have made that lies under its key in a registry."""
    reading = replace(train_step(), inputs={"dataset": dataset_step().output("val", "val.json")})
    expected = f"dataset: its result {artifacts['dataset'].digest[7:19]} has no val\n  try: somethi"
    with pytest.raises(UserError) as error:
        of(reading, artifacts)
    assert str(error.value).startswith(expected)


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


def test_a_proof_belongs_to_its_engine(artifacts: dict[str, Artifact]) -> None:
    """Two engines may detect alike to the last bit: a proof of one is none of the other."""
    proof = replace(train_step(), judges="engine")
    keys_of = {
        of(proof, {**artifacts, "engine": artifacts[name]}).key for name in ("dataset", "other")
    }
    assert len(keys_of) == 2
    read_anyway = replace(train_step(), judges="dataset")
    assert of(read_anyway, artifacts).key == of(train_step(), artifacts).key


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
