"""The plan with a model that is trained already, and what a configuration says of one."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import small_releases
from msgspec.structs import replace

from mmdet_jetson.config.pipeline import Project, load_project
from mmdet_jetson.config.references import check_references
from mmdet_jetson.config.settings import Settings
from mmdet_jetson.contract.parameters.check import CheckParameters
from mmdet_jetson.contract.parameters.evaluate import EvaluateCheckpointParameters
from mmdet_jetson.contract.parameters.model import TakenModelParameters
from mmdet_jetson.errors import ConfigError
from mmdet_jetson.planning import pipeline, stages
from mmdet_jetson.planning.inputs import Inputs
from mmdet_jetson.planning.steps import ExternalInput, Step, StepOutput, needed_for
from mmdet_jetson.store import Provenance, Store

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
TAKEN = """
name = "taken"
input_size = [96, 96]
targets = ["pc-onnxruntime"]
[dataset]
source = "pictures"
format = "coco"
val = { pictures = "val", annotations = "val.json" }
[model]
"""
COCO = "mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py"
STEPS = [
    "model", "dataset", "check", "check-pc-onnxruntime", "evaluate-checkpoint",
    "export-documented", "evaluate-documented", "export-pc-onnxruntime", "engine-pc-onnxruntime", "evaluate-pc-onnxruntime",
    "prove-pc-onnxruntime", "profile-pc-onnxruntime", "report",
]  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with a checkpoint, a dataset and nothing to train with."""
    root = tmp_path / "project"
    shutil.copytree(CONFIGS, root / "configs")
    shutil.copytree(CONFIGS.parent / "docker", root / "docker")
    (root / "pictures").mkdir()
    (root / "model.pth").write_bytes(b"weights")
    return root


@pytest.fixture
def settings(tmp_path: Path, root: Path) -> Settings:
    return replace(small_releases.settings_in(tmp_path), root=root)


def project_of(root: Path, model: str, overrides: Sequence[str] = ()) -> Project:
    path = root / "configs/taken.toml"
    path.write_text(TAKEN + model)
    return load_project(path, overrides)


def planned(settings: Settings, model: str, overrides: Sequence[str] = ()) -> dict[str, Step]:
    project = project_of(settings.root, model, overrides)
    inputs = Inputs(project, settings, lambda name, done, total: None)
    return {step.name: step for step in pipeline.plan(project, inputs)}


FILE = f'checkpoint = "model.pth"\nconfig = "{COCO}"\n'


def told(steps: dict[str, Step]) -> TakenModelParameters:
    parameters = steps["model"].parameters
    assert isinstance(parameters, TakenModelParameters)
    return parameters


def test_nothing_is_trained(root: Path, settings: Settings) -> None:
    steps = planned(settings, FILE)
    assert list(steps) == STEPS
    assert told(steps) == TakenModelParameters(COCO, (), (96, 96))
    assert set(steps["model"].inputs) == {"weights"}
    assert steps["report"].inputs["checkpoint"] == StepOutput("model", ("metrics.json",))


def test_the_classes_are_the_models_unless_they_are_given(root: Path, settings: Settings) -> None:
    own = planned(settings, FILE)["dataset"]
    assert own.inputs["model"] == StepOutput("model", ("classes.json",))
    given = planned(settings, FILE, ['dataset.classes=["a"]'])
    assert set(given["dataset"].inputs) == {"source"}
    assert told(given).classes == ("a",)


def test_the_check_is_of_the_checkpoint_and_comes_before_what_takes_long(
    root: Path, settings: Settings
) -> None:
    steps = planned(settings, FILE)
    check = steps["check"].parameters
    assert isinstance(check, CheckParameters)
    assert check.model is None
    assert check.training is None
    weights = StepOutput("model", ("best.pth", "config.py"))
    assert steps["check"].inputs["checkpoint"] == weights
    assert steps["evaluate-checkpoint"].inputs["checkpoint"] == weights
    assert steps["evaluate-checkpoint"].after == ("check", "check-pc-onnxruntime")
    goals = [steps["evaluate-checkpoint"]]
    assert [each.name for each in needed_for(list(steps.values()), goals)] == STEPS[:5]


def test_it_is_measured_on_the_device_that_model_names(root: Path, settings: Settings) -> None:
    for device, uses_gpu in (("cpu", False), ("auto", True), ("cuda", True)):
        step = planned(settings, f'{FILE}device = "{device}"\n')["evaluate-checkpoint"]
        assert isinstance(step.parameters, EvaluateCheckpointParameters)
        assert step.parameters.device == device
        assert step.uses_gpu == uses_gpu


def test_a_name_in_sources_will_do(root: Path, settings: Settings) -> None:
    steps = planned(settings, f'checkpoint = "rtmdet-tiny-coco"\nconfig = "{COCO}"\n')
    weights = steps["model"].inputs["weights"]
    assert isinstance(weights, ExternalInput)
    assert weights.digest() == "78e30dcce0c6f594eaff0d6977b84b4103688b4aff0ad1aa16008a8cc854a7fb"


def test_other_names_in_sources_are_neither_taken_nor_offered(
    root: Path, settings: Settings
) -> None:
    for name, hint in (
        ("modl.pth", "did you mean 'model.pth'?"),
        ("nothing", "one of: rtmdet-tiny-coco"),
        ("https://host/a.pth", 'give it a name in sources.toml: [sources.a] url = "https'),
        ("mmdeploy", "name a .pth file"),
    ):
        with pytest.raises(ConfigError) as refused:
            planned(settings, f'checkpoint = "{name}"\nconfig = "{COCO}"\n')
        assert refused.value.hint.startswith(hint)


def test_a_config_of_the_project_comes_with_its_modules(root: Path, settings: Settings) -> None:
    (root / "mine.py").write_text("custom_imports = dict(imports=['my_head'])\n")
    (root / "my_head.py").write_text("")
    steps = planned(settings, 'checkpoint = "model.pth"\nconfig = "mine.py"\n')
    assert told(steps).config == "mine.py"
    assert set(steps["model"].inputs) == {"weights", "config"}
    assert steps["export-documented"].inputs["checkpoint"] == StepOutput(
        "model", ("best.pth", "config.py", "custom_imports")
    )


def test_a_config_beside_the_checkpoint_is_taken(root: Path, settings: Settings) -> None:
    folder = root.parent / "work_dirs"
    folder.mkdir()
    (folder / "epoch_300.pth").write_bytes(b"weights")
    model = f'checkpoint = "{folder}/epoch_300.pth"\n'
    assert told(planned(settings, model)).config is None
    (folder / "config.py").write_text("model = dict(type='RTMDet')\n")
    steps = planned(settings, model)
    assert told(steps).config == "config.py"
    before = steps["model"].inputs["config"]
    assert isinstance(before, ExternalInput)
    old = before.digest()
    (folder / "config.py").write_text("model = dict(type='YOLOX')\n")
    after = planned(settings, model)["model"].inputs["config"]
    assert isinstance(after, ExternalInput)
    assert after.digest() != old


def stored(settings: Settings, kind: str, tag: str) -> str:
    store = Store(settings.artifacts)
    folder = settings.root / f"made-{tag}"
    folder.mkdir()
    for name in ("best.pth", "config.py", "metrics.json"):
        (folder / name).write_text(name)
    made = Provenance(
        stage="train", step="train", source="", parameters={}, inputs={}, environment="", key="",
        commit="", created="2026-01-01T00:00:00+00:00", seconds=1, metrics={}, facts={}, warnings=[],
    )  # fmt: skip
    return store.put(kind, folder, made, [tag]).digest


def test_an_artifact_has_a_config_of_its_own(root: Path, settings: Settings) -> None:
    digest = stored(settings, "checkpoint", "balloon.train")
    for named in ("balloon.train", digest.removeprefix("sha256:")[:12]):
        steps = planned(settings, f'checkpoint = "{named}"\n')
        assert told(steps).config is None
        assert set(steps["model"].inputs) == {"checkpoint"}
    other = planned(settings, f'checkpoint = "balloon.train"\nconfig = "{COCO}"\n')
    assert told(other).config == COCO
    assert set(other["model"].inputs) == {"checkpoint"}


def test_what_is_no_checkpoint_is_refused(root: Path, settings: Settings) -> None:
    stored(settings, "checkpoint", "balloon.train")
    stored(settings, "onnx", "balloon.export-pc")
    with pytest.raises(ConfigError, match=r"is onnx, not a checkpoint \(try: one of: ball|is onnx"):
        planned(settings, 'checkpoint = "balloon.export-pc"\n')
    with pytest.raises(ConfigError, match="nor a checkpoint in") as error:
        planned(settings, 'checkpoint = "balloon.trian"\n')
    assert "balloon.train" in error.value.hint
    with pytest.raises(ConfigError, match="is a folder"):
        planned(settings, 'checkpoint = "pictures"\n')


def test_a_config_of_another_package_is_refused(root: Path, settings: Settings) -> None:
    with pytest.raises(ConfigError, match="'mmyolo' is no package that brings configs"):
        planned(settings, 'checkpoint = "model.pth"\nconfig = "mmyolo::rtmdet/a.py"\n')


def test_a_config_that_is_not_there_is_refused_at_once(root: Path) -> None:
    project = project_of(root, 'checkpoint = "model.pth"\nconfig = "configs/none.py"\n')
    with pytest.raises(ConfigError, match=r"model\.config: .*none\.py: no such config"):
        check_references(project, root)
    check_references(project_of(root, FILE), root)


def test_something_has_to_make_or_bring_a_checkpoint(root: Path) -> None:
    path = root / "configs/taken.toml"
    path.write_text(TAKEN.replace("[model]", ""))
    with pytest.raises(ConfigError, match=r"train: needed, unless there is a \[model\]"):
        load_project(path)


def test_a_training_needs_classes_and_pictures(root: Path) -> None:
    path = root / "configs/taken.toml"
    train = '[train]\nconfig = "configs/train/rtmdet_tiny_demo.py"\n'
    path.write_text(TAKEN.replace("[model]", train))
    with pytest.raises(ConfigError, match=r"dataset\.classes: needed for a training"):
        load_project(path)
    with pytest.raises(ConfigError, match=r"dataset\.train: needed"):
        load_project(path, ['dataset.classes=["a"]'])


def test_eight_bits_need_training_pictures(root: Path) -> None:
    chosen = ['targets=["pc-onnxruntime-int8"]']
    with pytest.raises(ConfigError, match=r"dataset\.train: needed for pc-onnxruntime-int8"):
        project_of(root, FILE, chosen)
    split = "dataset.train={pictures='train', annotations='train.json'}"
    assert project_of(root, FILE, [*chosen, split]).pipeline.dataset.train


def test_beside_a_model_a_training_is_not_planned(root: Path, settings: Settings) -> None:
    steps = planned(settings, FILE + '[train]\nconfig = "no/such.py"\n')
    assert list(steps) == STEPS
    project = project_of(root, FILE + '[train]\nconfig = "no/such.py"\n')
    check_references(project, root)
    with pytest.raises(TypeError, match="does not train"):
        _ = project.pipeline.training


def test_the_store_knows_what_can_make_a_checkpoint() -> None:
    assert {stage.makes for stage in stages.CHECKPOINTS} == {"checkpoint"}
    assert [stage.verb for stage in stages.CHECKPOINTS] == ["train", "model"]
