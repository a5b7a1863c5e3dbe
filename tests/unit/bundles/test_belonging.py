"""Artifacts that do not belong together, each made here, and found by what it was made from."""

import json

import pytest
from small_artifacts import found
from small_releases import INT8, OPENVINO, PC, SmallRun, as_json, of_stage

from mmdet_jetson.bundles.belonging import contradictions
from mmdet_jetson.bundles.contents import PartName, of_run
from mmdet_jetson.bundles.making import check, choose
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning import stages

OTHER = "sha256:" + "7" * 64


def sentences(run: SmallRun) -> list[str]:
    return [each.sentence for each in contradictions(of_run(run.store, run.name))]


def test_a_run_from_one_training_belongs_together(run: SmallRun) -> None:
    assert sentences(run) == []


def test_what_was_made_of_the_last_training_does_not_belong_to_a_new_one(run: SmallRun) -> None:
    run.salt = "new"
    run.make("train")

    said = sentences(run)

    for export in of_stage(run, stages.EXPORT):
        assert f"demo.{export} was made from another checkpoint than demo.train" in said
    assert "demo.evaluate-checkpoint was measured with another checkpoint than demo.train" in said
    assert "demo.report shows another checkpoint than demo.train" not in said  # the same curves


def test_each_step_that_runs_again_takes_one_contradiction_away(run: SmallRun) -> None:
    run.salt = "new"
    run.make("train")
    for step in run.steps:
        if step.name not in ("dataset", "check", "train", "report"):
            run.make(step.name)

    assert {each.partition(" ")[0] for each in sentences(run)} == {"demo.report"}
    run.make("report")
    assert sentences(run) == []


def test_a_training_on_other_pictures(run: SmallRun) -> None:
    run.salt = "other pictures"
    run.make("dataset")

    assert "demo.train was made from another set of pictures than demo.dataset" in sentences(run)


def test_a_training_of_an_earlier_release_read_all_that_the_dataset_has(run: SmallRun) -> None:
    read = run.made["train"].provenance.inputs
    run.make("train", inputs={**read, "dataset": run.made["dataset"].content})

    assert not [each for each in sentences(run) if each.startswith("demo.train was made from")]


def test_an_engine_of_another_onnx(run: SmallRun) -> None:
    run.make(f"engine-{PC}", inputs={"onnx": OTHER})

    assert sentences(run)[0] == f"demo.engine-{PC} was made from another ONNX than demo.export-{PC}"


@pytest.mark.parametrize("read", ["training", "validation"])
def test_an_engine_that_was_calibrated_with_other_pictures(run: SmallRun, read: str) -> None:
    inputs = dict(run.made[f"engine-{INT8}"].provenance.inputs)
    run.make(f"engine-{INT8}", inputs={**inputs, read: OTHER})

    said = f"demo.engine-{INT8} was made from another set of pictures than demo.dataset"
    assert sentences(run) == [said]


@pytest.mark.parametrize("stage", [stages.EVALUATE_ENGINE, stages.PROFILE, stages.PROVE])
def test_evidence_about_another_engine(run: SmallRun, stage: stages.Stage) -> None:
    name = f"{stage.verb}-{OPENVINO}"
    run.make(name, subject=f"engine-{PC}")

    short = run.made[f"engine-{PC}"].digest[7:19]
    said = f"demo.{name} is about another engine ({short}) than demo.engine-{OPENVINO}"
    assert said in sentences(run)


@pytest.mark.parametrize("stage", [stages.EVALUATE_ENGINE, stages.PROFILE, stages.PROVE])
def test_evidence_that_read_another_engine(run: SmallRun, stage: stages.Stage) -> None:
    name = f"{stage.verb}-{PC}"
    read = "judged" if stage is stages.PROVE else "engine"
    inputs = {**run.made[name].provenance.inputs, read: OTHER}
    run.make(name, inputs=inputs)

    assert any(
        each.startswith(f"demo.{name} ") and each.endswith(f"engine than demo.engine-{PC}")
        for each in sentences(run)
    )


def test_evidence_that_says_nothing_of_its_engine(run: SmallRun) -> None:
    step = run.step(f"evaluate-{PC}")
    folder = run.scratch / "nameless"
    folder.mkdir()
    for title, content in run.files[step.name].items():
        (folder / title).write_bytes(content)
    made = run.made[step.name].provenance
    nameless = type(made)(stage=made.stage, step=made.step, created=made.created)
    run.store.put("evaluation", folder, nameless, [f"demo.{step.name}"])

    assert f"demo.{step.name} does not say that it is about demo.engine-{PC}" in sentences(run)


@pytest.mark.parametrize("name", [f"evaluate-{PC}", "evaluate-checkpoint", f"profile-{OPENVINO}"])
def test_evidence_over_other_pictures(run: SmallRun, name: str) -> None:
    run.make(name, inputs={**run.made[name].provenance.inputs, "dataset": OTHER})

    said = f"demo.{name} was measured with another set of pictures than demo.dataset"
    assert said in sentences(run)


def test_evidence_over_other_pictures_without_a_dataset_to_compare_with(run: SmallRun) -> None:
    run.make(f"evaluate-{PC}", inputs={"engine": OTHER, "dataset": OTHER})
    run.store.untag("demo.dataset")

    assert any("another set of pictures" in each for each in sentences(run))


def test_a_proof_of_other_detections(run: SmallRun) -> None:
    run.make(f"evaluate-{PC}", {"predictions.json": b"others"})

    said = sentences(run)

    assert f"demo.prove-{PC} was made from another evaluation than demo.evaluate-{PC}" in said
    assert f"demo.report shows another evaluation than demo.evaluate-{PC}" in said


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"target": "another"}, "has a passport for another"),
        ({"onnx": {"sha256": "1" * 64}}, "names another end2end.onnx in its passport than"),
        ({"checkpoint": {"sha256": "1" * 64}}, "names other weights in its passport than"),
        ({"files": {"graph.json": "1" * 64}}, "has a passport for another graph.json than"),
        (
            {"engine": {"file": "engine.onnx", "sha256": "1" * 64}},
            "has a passport for another engine.onnx than",
        ),
    ],
)
def test_a_passport_that_contradicts(run: SmallRun, change: dict[str, object], says: str) -> None:
    passport = json.loads(run.files[f"engine-{PC}"]["passport.json"])
    run.make(f"engine-{PC}", {"passport.json": as_json({**passport, **change})})

    assert any(each.startswith(f"demo.engine-{PC} {says}") for each in sentences(run))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"onnx": {"sha256": "1" * 64}}, "describes another end2end.onnx in its graph.json"),
        ({"checkpoint": {"sha256": "1" * 64}}, "names other weights in its graph.json"),
    ],
)
def test_a_graph_that_contradicts(run: SmallRun, change: dict[str, object], says: str) -> None:
    graph = json.loads(run.files[f"export-{PC}"]["graph.json"])
    run.make(f"export-{PC}", {"graph.json": as_json({**graph, **change})})

    assert any(each.startswith(f"demo.export-{PC} {says}") for each in sentences(run))


def test_a_passport_that_is_none(run: SmallRun) -> None:
    run.make(f"engine-{PC}", {"passport.json": b"[]"})

    with pytest.raises(UserError, match=rf"passport.json of demo.engine-{PC} cannot be read"):
        sentences(run)


def test_a_name_that_was_moved_to_something_else(run: SmallRun) -> None:
    run.store.tag(found(run.store, f"demo.evaluate-{PC}"), f"demo.evaluate-{OPENVINO}")

    assert f"demo.evaluate-{OPENVINO} is what step evaluate-{PC} made" in sentences(run)


def test_targets_may_share_an_export(run: SmallRun) -> None:
    assert run.made[f"export-{PC}"].content == run.made[f"export-{INT8}"].content
    run.store.tag(run.made[f"export-{PC}"], f"demo.export-{INT8}")

    assert sentences(run) == []


def test_an_engine_that_came_out_the_same_again_keeps_its_evidence(run: SmallRun) -> None:
    before = run.made[f"engine-{PC}"]
    run.make(f"engine-{PC}", created="2026-11-02T10:00:00+00:00")

    assert found(run.store, f"demo.engine-{PC}").digest != before.digest
    assert sentences(run) == []


def test_the_sentence_names_both_and_the_hint_what_to_run(run: SmallRun) -> None:
    run.make(f"evaluate-{PC}", subject=f"engine-{OPENVINO}")
    chosen = choose(of_run(run.store, "demo"), run.project, (), run.steps)

    with pytest.raises(UserError) as caught:
        check(chosen, run.project)

    assert f"demo.evaluate-{PC} is about another engine" in caught.value.message
    assert f"than demo.engine-{PC}" in caught.value.message
    assert caught.value.hint == f"invoke evaluate --target {PC}"


def test_what_is_to_be_made_again_is_named(run: SmallRun) -> None:
    run.make(f"engine-{PC}", inputs={"onnx": OTHER})

    (first, *_) = contradictions(of_run(run.store, "demo"))

    assert first.part == PartName("engine", PC)
