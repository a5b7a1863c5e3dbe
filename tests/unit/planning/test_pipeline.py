from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from mmdet_jetson.config.pipeline import Project, load_project
from mmdet_jetson.config.settings import Settings
from mmdet_jetson.contract.gates import DEFAULT_TOLERANCES
from mmdet_jetson.contract.parameters.check import CheckParameters
from mmdet_jetson.contract.parameters.dataset import DatasetParameters
from mmdet_jetson.contract.parameters.evaluate import (
    EvaluateCheckpointParameters,
    EvaluateEngineParameters,
)
from mmdet_jetson.contract.parameters.export import ExportParameters
from mmdet_jetson.contract.parameters.prove import ProveParameters
from mmdet_jetson.contract.parameters.rehearse import RehearseParameters
from mmdet_jetson.contract.parameters.report import ReportParameters
from mmdet_jetson.contract.parameters.train import TrainParameters
from mmdet_jetson.errors import ConfigError
from mmdet_jetson.planning import pipeline, stages
from mmdet_jetson.planning.inputs import Inputs
from mmdet_jetson.planning.steps import ExternalInput, Step, StepOutput, needed_for

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
STEPS = [
    "dataset", "check", "check-pc-onnxruntime", "train", "evaluate-base", "evaluate-checkpoint",
    "export-documented", "evaluate-documented", "export-pc-onnxruntime", "engine-pc-onnxruntime", "evaluate-pc-onnxruntime",
    "prove-pc-onnxruntime", "profile-pc-onnxruntime", "report",
]  # fmt: skip
BEFORE = STEPS[:3]


def planned(settings: Settings, *overrides: str) -> tuple[Project, tuple[Step, ...]]:
    project = load_project(CONFIGS / "pipeline.toml", overrides)
    inputs = Inputs(project, settings, lambda name, done, total: None)
    return project, pipeline.plan(project, inputs)


def test_the_plan_is_in_order_and_touches_nothing(settings: Settings) -> None:
    _, steps = planned(settings)
    assert [step.name for step in steps] == STEPS
    assert not settings.cache.exists()
    assert not settings.artifacts.exists()


def test_every_step_reads_only_what_stands_before_it(settings: Settings) -> None:
    seen: set[str] = set()
    for step in planned(settings)[1]:
        outputs = (each for each in step.inputs.values() if isinstance(each, StepOutput))
        assert {each.step for each in outputs} <= seen
        seen.add(step.name)


def test_without_weights_there_is_no_base_to_evaluate(settings: Settings) -> None:
    _, steps = planned(settings, "train.weights=")
    assert "evaluate-base" not in [step.name for step in steps]
    assert "weights" not in steps[3].inputs


@pytest.mark.parametrize("wished", [None, 0.9])
def test_every_evaluation_is_told_the_precision_that_is_wished(
    wished: float | None, settings: Settings
) -> None:
    _, steps = planned(settings, *([] if wished is None else [f"evaluate.precision={wished}"]))
    told = {
        step.name: step.parameters.precision
        for step in steps
        if isinstance(step.parameters, EvaluateCheckpointParameters | EvaluateEngineParameters)
    }
    assert told == dict.fromkeys([name for name in STEPS if name.startswith("evaluate-")], wished)


def test_each_target_has_its_own_steps(settings: Settings) -> None:
    _, steps = planned(settings, 'targets=["pc-onnxruntime", "agx-orin-jp501"]')
    exports = {
        step.name: step.parameters.backend
        for step in steps
        if isinstance(step.parameters, ExportParameters)
    }
    assert exports == {
        "export-documented": "onnxruntime",
        "export-pc-onnxruntime": "onnxruntime",
        "export-agx-orin-jp501": "tensorrt",
    }
    assert {"engine-agx-orin-jp501", "profile-pc-onnxruntime"} <= set(steps[-1].inputs)


def test_goals_pull_in_what_they_need_and_no_more(settings: Settings) -> None:
    _, steps = planned(settings, "train.weights=")
    goals = [step for step in steps if step.name == "export-pc-onnxruntime"]
    names = [step.name for step in needed_for(steps, goals)]
    assert names == [*BEFORE, "train", "export-pc-onnxruntime"]


def test_a_check_comes_before_a_training_and_is_no_part_of_it(settings: Settings) -> None:
    """Else another target would train anew."""
    _, steps = planned(settings)
    dataset, check, rehearsal, train = steps[:4]
    assert train.after == (check.name, rehearsal.name)
    read = {
        each.step
        for step in steps
        for each in step.inputs.values()
        if isinstance(each, StepOutput) and step is not rehearsal
    }
    assert not read & {check.name, rehearsal.name}
    # What is there of a dataset to be looked at only never starts a training again.
    assert train.inputs["dataset"] == StepOutput(
        "dataset", ("train", "train.json", "val", "val.json")
    )
    assert [step.name for step in needed_for(steps, [dataset])] == ["dataset"]
    assert [step.name for step in needed_for(steps, [train])] == [*BEFORE, "train"]


def check_of(settings: Settings, *overrides: str) -> tuple[Step, CheckParameters]:
    check = planned(settings, *overrides)[1][1]
    assert isinstance(check.parameters, CheckParameters)
    return check, check.parameters


def test_a_check_knows_every_export_that_differs(settings: Settings) -> None:
    targets = ["pc-onnxruntime", "pc-onnxruntime-int8", "agx-orin-jp501"]
    override = f"targets={targets}"
    check, parameters = check_of(settings, override)
    exports = {
        step.subject: step.parameters
        for step in planned(settings, override)[1]
        if step.stage is stages.EXPORT
    }
    del exports["pc-onnxruntime-int8"]  # as pc-onnxruntime's
    assert parameters.exports == exports
    assert set(check.inputs) == {"dataset", "config", "onnxruntime", "tensorrt"}


def rehearsed(steps: Sequence[Step]) -> dict[str, Step]:
    return {step.subject: step for step in steps if step.stage is stages.REHEARSE}


def test_an_engine_is_rehearsed_where_it_is_made_with_what_it_is_told(settings: Settings) -> None:
    targets = ["pc-onnxruntime", "pc-onnxruntime-int8", "pc-openvino"]
    steps = planned(settings, f"targets={targets}")[1]
    engines = {step.subject: step for step in steps if step.stage is stages.ENGINE}
    found = rehearsed(steps)

    assert list(found) == targets
    for target, step in found.items():
        assert isinstance(step.parameters, RehearseParameters)
        assert step.parameters.engine == engines[target].parameters
        assert (step.environment, step.image) == (
            engines[target].environment,
            engines[target].image,
        )
    assert set(found["pc-onnxruntime"].inputs) == {"check"}
    assert set(found["pc-onnxruntime-int8"].inputs) == {"check", "training", "validation"}


def test_targets_that_share_an_export_are_rehearsed_with_the_same(settings: Settings) -> None:
    targets = ["pc-onnxruntime", "pc-onnxruntime-int8", "orin-jp60"]
    steps = planned(settings, f"targets={targets}")[1]
    read = {name: step.inputs["check"] for name, step in rehearsed(steps).items()}
    ours, orins = (("export-pc-onnxruntime", "sizes.json"), ("export-orin-jp60", "sizes.json"))

    assert read == {
        "pc-onnxruntime": StepOutput("check", ours),
        "pc-onnxruntime-int8": StepOutput("check", ours),
        "orin-jp60": StepOutput("check", orins),
    }
    check = next(step for step in steps if step.stage is stages.CHECK)
    assert isinstance(check.parameters, CheckParameters)
    assert check.parameters.kept == ("pc-onnxruntime", "orin-jp60")


def test_what_a_device_compiles_is_rehearsed_in_the_image_of_a_pc(settings: Settings) -> None:
    """Its own has the device's processor."""
    with_pc, alone = ['["orin-jp60", "pc-onnxruntime"]', '["orin-jp60"]']
    images = [
        rehearsed(planned(settings, f"targets={targets}")[1])["orin-jp60"].image
        for targets in (with_pc, alone)
    ]
    assert images == ["pc", ""]


def test_a_check_sees_the_pictures_that_engines_will(settings: Settings) -> None:
    seen = {
        target: check_of(settings, f'targets=["{target}"]')[0].inputs["dataset"]
        for target in ("pc-onnxruntime", "pc-onnxruntime-int8")
    }
    assert seen["pc-onnxruntime"] == StepOutput("dataset", ("val.json",))
    assert seen["pc-onnxruntime-int8"] == StepOutput("dataset", ("train.json", "val.json"))


def test_a_check_knows_how_large_a_picture_each_engine_takes(settings: Settings) -> None:
    targets = ["pc-onnxruntime", "agx-orin-jp501", "orin-jp62", "orin-nano-jp62-fp16", "pc-rtx"]
    _, parameters = check_of(settings, f"targets={targets}")
    assert parameters.largest == {"orin-jp62": 4096, "orin-nano-jp62-fp16": 2048, "pc-rtx": 4096}


def test_a_check_knows_whether_there_are_weights_to_start_from(settings: Settings) -> None:
    for weights, has in (("rtmdet-tiny-coco", True), ("", False)):
        training = check_of(settings, f"train.weights={weights}")[1].training
        assert training
        assert training.has_weights is has


def test_a_check_knows_which_other_parts_a_training_is_given(settings: Settings) -> None:
    """A hook that the config misspells may be none that is trained with."""
    given = (
        "custom_hooks=[]",
        "optim_wrapper.optimizer.type=SGD",
        "train_dataloader.drop_last=true",
    )
    _, parameters = check_of(settings, *(f"train.overrides.{each}" for each in given))
    assert parameters.training
    assert parameters.training.overrides == {
        "custom_hooks": [],
        "optim_wrapper.optimizer.type": "SGD",
        "train_dataloader.drop_last": True,
    }


def test_a_check_looks_for_the_gpu_that_a_training_asks_for(settings: Settings) -> None:
    """In a container it sees none that is not asked for."""
    for device, sees in (("cuda", True), ("auto", False), ("cpu", False)):
        check, parameters = check_of(settings, f"train.device={device}")
        assert (check.uses_gpu, parameters.device) == (sees, device)


@pytest.mark.parametrize("name", ["check", "evaluate-base"])
def test_how_long_and_how_fast_is_trained_decides_no_more_than_the_training(
    settings: Settings, name: str
) -> None:
    """A base is evaluated once, and not again for every learning rate."""

    def told(*overrides: str) -> tuple[object, set[str]]:
        _, steps = planned(settings, *overrides)
        (step,) = (each for each in steps if each.name == name)
        outputs = (each for each in step.inputs.values() if isinstance(each, StepOutput))
        return step.parameters, {each.step for each in outputs}

    lr = "train.overrides.optim_wrapper.optimizer.lr"
    pace = ("train.epochs=3", "train.batch_size=2", "train.seed=1", "train.workers=0")
    assert told(*pace) == told()
    assert told(f"{lr}=0.1") == told(f"{lr}=0.2")
    assert told()[1] == {"dataset"}
    for other in ("train.overrides.model.backbone.frozen_stages=1", "input_size=[320, 320]"):
        assert told(other) != told()


def test_of_a_number_in_an_override_the_check_knows_the_key_alone(settings: Settings) -> None:
    """So it refuses one that is misspelt, and a base's evaluation does not hear of it."""
    lr = "train.overrides.optim_wrapper.optimizer.lr=0.1"
    training = check_of(settings, lr)[1].training
    assert training
    assert training.overrides == {"optim_wrapper.optimizer.lr": None}

    def base(*overrides: str) -> object:
        _, steps = planned(settings, *overrides)
        return next(each.parameters for each in steps if each.name == "evaluate-base")

    assert base(lr) == base()


def test_a_base_is_none_of_the_trainings_weights(settings: Settings) -> None:
    steps = {step.name: step for step in planned(settings)[1]}
    base, checkpoint = steps["evaluate-base"], steps["evaluate-checkpoint"]
    assert (base.judges, checkpoint.judges) == ("", "train")
    assert base.inputs["weights"] is steps["train"].inputs["weights"]


def test_a_pipeline_can_do_without_the_documented_graph(settings: Settings) -> None:
    """MMDeploy cannot write it of every detector that can be fused."""
    _, steps = planned(settings, "export.compare_documented=false")
    assert [step.name for step in steps] == [name for name in STEPS if "documented" not in name]
    (proof,) = (step for step in steps if step.stage is stages.PROVE)
    assert set(proof.inputs) == {"dataset", "graph", "checkpoint", "engine"}
    assert set(check_of(settings, "export.compare_documented=false")[1].exports) == {
        "pc-onnxruntime"
    }


def test_engines_read_only_the_validation_split(settings: Settings) -> None:
    for step in planned(settings)[1]:
        if step.stage in (stages.EVALUATE_CHECKPOINT, stages.EVALUATE_ENGINE, stages.PROFILE):
            assert step.inputs["dataset"] == StepOutput("dataset", ("val", "val.json"))


def test_a_targets_name_may_hold_a_verb(settings: Settings, tmp_path: Path) -> None:
    """The report looks its inputs up by kind and target, whatever the target is called."""
    for name in ("pipeline.toml", "sources.toml"):
        (tmp_path / name).write_text((CONFIGS / name).read_text())
    target = '[nano-export-evaluate-1]\ndescription = ""\nbackend = "onnxruntime"\n'
    (tmp_path / "targets.toml").write_text(target)
    override = 'targets=["nano-export-evaluate-1"]'
    project = load_project(tmp_path / "pipeline.toml", [override])
    steps = pipeline.plan(project, Inputs(project, settings, lambda name, done, total: None))
    assert set(steps[-1].inputs) == {
        "dataset", "checkpoint", "evaluation-base", "evaluation-checkpoint", "onnx-documented",
        "evaluation-documented",
        *(
            f"{kind}-nano-export-evaluate-1"
            for kind in ("onnx", "engine", "evaluation", "proof", "profile")
        ),
    }  # fmt: skip


def test_a_source_that_was_never_fetched_is_not_fetched_to_look(settings: Settings) -> None:
    _, steps = planned(settings)
    dataset = steps[0].inputs["source"]
    assert isinstance(dataset, ExternalInput)
    assert not dataset.is_known()


def test_overrides_reach_the_train_stage_flat(settings: Settings) -> None:
    _, steps = planned(settings, "train.overrides.optim_wrapper.optimizer.lr=0.1")
    assert isinstance(steps[3].parameters, TrainParameters)
    assert steps[3].parameters.overrides == {"optim_wrapper.optimizer.lr": 0.1}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dataset.source=baloon", "pipeline.toml: dataset.source: 'baloon' is neither a name in"),
        ("train.weights=absent.pth", "train.weights: 'absent.pth' is neither"),
        ("train.weights=configs", "pipeline.toml: train.weights: 'configs' is a folder"),
        (
            "train.weights=mmdeploy",
            r"'mmdeploy' is an archive \(v1.0.0.tar.gz\) and no checkpoint",
        ),
        ("train.config=configs/train/absent.py", "absent.py: no such config"),
        ("export.onnxruntime=configs/deploy/absent.py", "absent.py: no such config"),
    ],
)
def test_what_is_not_there_is_named(settings: Settings, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        planned(settings, override)


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("dataset.source=configs/pipelin.toml", "did you mean 'configs/pipeline.toml'?"),
        ("dataset.source=https://host/mugs.zip", '[sources.mugs] url = "https://host/mugs.zip"'),
        ("dataset.source=elsewhere", "one of: balloon, mmdeploy"),
        ("train.weights=absent.pth", "one of: rtmdet-tiny-coco"),
    ],
)
def test_what_may_have_been_meant_is_of_the_same_kind(
    settings: Settings, override: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        planned(settings, override)
    assert refused.value.hint.endswith(hint)


def test_a_step_with_the_parameters_of_another_stage_cannot_be_planned(
    settings: Settings,
) -> None:
    dataset = planned(settings)[1][0]
    assert isinstance(dataset.parameters, DatasetParameters)
    with pytest.raises(TypeError, match="dataset: not the parameters of dataset"):
        replace(dataset, parameters=ProveParameters("pc-onnxruntime", DEFAULT_TOLERANCES["fp32"]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"environment": "deploy"}, "dataset: dataset runs in train"),
        ({"uses_gpu": True}, "dataset: dataset needs no GPU"),
    ],
)
def test_a_step_that_contradicts_its_stage_cannot_be_planned(
    settings: Settings, change: dict[str, str | bool], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        replace(planned(settings)[1][0], **change)  # type: ignore[arg-type]


def test_a_proof_runs_no_detector(settings: Settings) -> None:
    """It reads what evaluations have kept, so it needs neither a device nor pictures."""
    steps = {step.name: step for step in planned(settings)[1]}
    proof = steps["prove-pc-onnxruntime"]
    assert not proof.stage.runs_engines
    assert proof.inputs["engine"] == StepOutput(
        "evaluate-pc-onnxruntime", ("predictions.json", "metrics.json")
    )
    assert proof.inputs["dataset"] == StepOutput("dataset", ("val.json",))


def test_every_fused_engine_has_to_be_proven_within_what_its_precision_allows(
    settings: Settings,
) -> None:
    names = ["pc-onnxruntime", "pc-onnxruntime-int8", "agx-orin-jp501"]
    changes = ("gates.proof.int8.alone=0.25", "gates.proof.int8.from_score=0.5")
    steps = {each.name: each for each in planned(settings, f"targets={names}", *changes)[1]}
    report = steps["report"].parameters
    assert isinstance(report, ReportParameters)
    int8 = replace(DEFAULT_TOLERANCES["int8"], alone=0.25, from_score=0.5)
    fp32 = DEFAULT_TOLERANCES["fp32"]

    assert report.proofs == {"pc-onnxruntime": fp32, "pc-onnxruntime-int8": int8, names[2]: fp32}
    for name, tolerances in report.proofs.items():
        assert steps[f"prove-{name}"].parameters == ProveParameters(name, tolerances)


def test_a_documented_graph_is_what_others_are_compared_with_and_needs_no_proof(
    settings: Settings,
) -> None:
    project, _ = planned(settings)
    targets = {
        name: msgspec.structs.replace(target, graph="documented")
        for name, target in project.targets.items()
    }
    documented = msgspec.structs.replace(project, targets=targets)
    steps = pipeline.plan(documented, Inputs(documented, settings, lambda name, done, total: None))
    report = steps[-1].parameters
    assert isinstance(report, ReportParameters)
    assert report.proofs == {}
    assert "prove-pc-onnxruntime" not in [step.name for step in steps]


def test_steps_say_where_they_run(settings: Settings) -> None:
    names = ["pc-onnxruntime", "jetson-onnxruntime", "agx-orin-jp501", "pc-rtx"]
    overrides = [f"targets={names}"]
    steps = {step.name: step for step in planned(settings, *overrides)[1]}
    images = {name: step.image for name, step in steps.items() if step.environment == "deploy"}
    assert images["profile-pc-onnxruntime"] == "pc"
    assert images["engine-jetson-onnxruntime"] == images["evaluate-agx-orin-jp501"] == "jp501"
    assert {step.image for step in steps.values() if step.environment == "train"} == {"train"}
    assert steps["engine-pc-rtx"].image == ""
    gpu = {name for name, step in steps.items() if step.uses_gpu}
    assert {"train", "evaluate-checkpoint", "profile-agx-orin-jp501", "evaluate-pc-rtx"} <= gpu
    assert not {"dataset", "export-agx-orin-jp501", "evaluate-documented", "report"} & gpu
    judged = {name for name, step in steps.items() if step.stage.is_evidence}
    assert judged == {name for name in steps if name.startswith(("evaluate", "profile"))}
    environments = {steps[f"engine-{name}"].environment for name in names}
    assert environments == {"deploy", "deploy-rtx"}


def test_a_checkpoint_has_the_modules_that_its_config_imports(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text("custom_imports = {'imports': ['my_transforms']}")
    (tmp_path / "my_transforms.py").touch()
    (tmp_path / "deploy.py").touch()
    _, steps = planned(
        msgspec.structs.replace(settings, root=tmp_path),
        *("train.config=mine.py", "train.weights=", "export.onnxruntime=deploy.py"),
    )
    checkpoint = StepOutput("train", ("best.pth", "config.py", "custom_imports"))
    readers = [step.stage for step in steps if step.inputs.get("checkpoint") == checkpoint]
    assert readers == [stages.EVALUATE_CHECKPOINT, stages.EXPORT, stages.EXPORT]


def test_how_many_processes_train_is_no_part_of_what_a_training_is_told(settings: Settings) -> None:
    one, shared = (
        next(
            step
            for step in planned(settings, "train.batch_size=12", *more)[1]
            if step.name == "train"
        )
        for more in ((), ("train.processes=3", "train.nodes=2"))
    )
    assert (shared.spread.nodes, shared.spread.processes, shared.spread.world) == (2, 3, 6)
    assert shared.parameters == one.parameters
    assert one.spread.world == 1


def test_a_scaled_learning_rate_is_told_before_the_training_as_well(settings: Settings) -> None:
    steps = {step.name: step.parameters for step in planned(settings, "train.scale_lr=true")[1]}
    check, train = steps["check"], steps["train"]
    assert isinstance(train, TrainParameters)
    assert isinstance(check, CheckParameters)
    assert check.training
    assert train.scale_lr
    assert check.training.scale_lr
