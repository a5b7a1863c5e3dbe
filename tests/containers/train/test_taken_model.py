"""A model that is trained already, as people have it: taken whole, or refused in a sentence."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any, Callable, Dict, Mapping

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine import Config
from trainings import CLASSES, ROOT

from mmdet_jetson.contract.job import Result
from mmdet_jetson.contract.parameters.model import TakenModelParameters
from mmdet_jetson.stages import model as stage
from mmdet_jetson.stages.checkpoints.checkpoint_file import read_checkpoint
from mmdet_jetson.stages.checkpoints.trained_model import load_trained_model
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.job import StageJob
from mmdet_jetson.stages.taking.class_names import class_names
from mmdet_jetson.stages.taking.literal_config import literal_config

CONFIG = "configs/train/rtmdet_tiny_demo.py"
COCO = "mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py"
SIZE = (96, 96)
OWN = TakenModelParameters(CONFIG, (), SIZE)
SPEAKS = {"dataset_meta": {"CLASSES": CLASSES}, "epoch": 8, "mmengine_version": "0.7.1"}
State = Dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    """The weights of the demo's model, untrained."""
    register_all_modules()
    torch.manual_seed(0)
    config = Config.fromfile(str(ROOT / CONFIG))
    return dict(MODELS.build(config.model).state_dict())


def take(
    folder: Path,
    content: object,
    parameters: TakenModelParameters = OWN,
    config: str = "",
    name: str = "model.pth",
) -> Result:
    """Run the stage on what ``torch.save`` makes of the content; bytes are a file as they are."""
    weights = folder / "weights"
    weights.mkdir()
    if isinstance(content, bytes):
        (weights / name).write_bytes(content)
    else:
        torch.save(content, weights / name)
    inputs = {"weights": weights}
    if parameters.config and "::" not in parameters.config:
        inputs["config"] = folder / "config"
        target = inputs["config"] / parameters.config
        target.parent.mkdir(parents=True)
        if config:
            target.write_text(config)
        else:
            shutil.copyfile(ROOT / CONFIG, target)
    return run(folder, parameters, inputs)


def run(folder: Path, parameters: TakenModelParameters, inputs: Mapping[str, Path]) -> Result:
    for each in ("output", "work"):
        (folder / each).mkdir()
    job = StageJob(parameters, inputs, folder / "output", folder / "work", channel=io.StringIO())
    return stage.run(job)


def saved_in(path: Path) -> Any:
    return read_checkpoint(path)


def test_a_published_checkpoint_becomes_one_of_ours(tmp_path: Path, state: State) -> None:
    result = take(tmp_path, {"meta": SPEAKS, "state_dict": state})
    model = load_trained_model(tmp_path / "output")
    assert model.classes == CLASSES
    assert json.loads((tmp_path / "output/classes.json").read_text()) == list(CLASSES)
    assert result.warnings == ()
    assert result.metrics["classes"] == 2
    saved = saved_in(tmp_path / "output/best.pth")
    assert saved["meta"]["dataset_meta"] == {"classes": CLASSES}
    assert saved["state_dict"].keys() == state.keys()
    assert all(torch.equal(saved["state_dict"][key], state[key]) for key in state)


def test_it_is_the_same_each_time(tmp_path: Path, state: State) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        take(tmp_path / name, {"meta": SPEAKS, "state_dict": state})
    for name in ("best.pth", "config.py", "classes.json", "metrics.json"):
        first, second = ((tmp_path / each / "output" / name).read_bytes() for each in "ab")
        assert first == second, name


def test_of_a_trainings_checkpoint_the_averaged_weights_are_taken(
    tmp_path: Path, state: State
) -> None:
    raw = {"module." + key: torch.zeros_like(value) for key, value in state.items()}
    optimizer = {"state": {}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    content = {"meta": SPEAKS, "state_dict": state, "ema_state_dict": raw, "optimizer": optimizer}
    result = take(tmp_path, content)
    (remark,) = result.warnings
    assert "averaged weights (EMA)" in remark
    saved = saved_in(tmp_path / "output/best.pth")["state_dict"]
    assert all(torch.equal(saved[key], state[key]) for key in state)


def test_what_hangs_before_the_names_does_not_matter(tmp_path: Path, state: State) -> None:
    parallel = {f"module.{key}": value for key, value in state.items()}
    take(tmp_path, {"meta": SPEAKS, "state_dict": parallel})
    load_trained_model(tmp_path / "output")


def test_averages_of_the_old_kind_are_left_out(tmp_path: Path, state: State) -> None:
    copies = {"ema_" + key.replace(".", "_"): value for key, value in state.items()}
    result = take(tmp_path, {"meta": SPEAKS, "state_dict": {**state, **copies}})
    assert f"{len(state)} weights twice (ema_...)" in result.warnings[0]


def test_half_precision_becomes_single(tmp_path: Path, state: State) -> None:
    half = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    result = take(tmp_path, {"meta": SPEAKS, "state_dict": half})
    assert "are torch.float16: they become torch.float32" in result.warnings[0]
    saved = saved_in(tmp_path / "output/best.pth")["state_dict"]
    assert {value.dtype for value in saved.values()} == {torch.float32, torch.int64}


def test_counters_of_batches_may_be_missing(tmp_path: Path, state: State) -> None:
    old = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    take(tmp_path, {"meta": SPEAKS, "state_dict": old})
    load_trained_model(tmp_path / "output")


def test_normalising_is_compared(tmp_path: Path, state: State) -> None:
    mean, std = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)
    buffers = {
        f"data_preprocessor.{name}": torch.tensor(value).view(3, 1, 1)
        for name, value in (("mean", mean), ("std", std))
    }
    take(tmp_path, {"meta": SPEAKS, "state_dict": {**state, **buffers}})
    other = tmp_path / "other"
    other.mkdir()
    buffers["data_preprocessor.mean"] = torch.zeros(3, 1, 1)
    with pytest.raises(StageError, match=r"data_preprocessor.mean 0, 0, 0, and its config says"):
        take(other, {"meta": SPEAKS, "state_dict": {**state, **buffers}})


def without_head(state: State) -> State:
    return {key: value for key, value in state.items() if "rtm_cls" not in key}


def with_more(state: State) -> State:
    return {**state, "bbox_head.rtm_kernel.weight": torch.ones(3)}


def of_three_classes(state: State) -> State:
    def other(key: str, value: torch.Tensor) -> torch.Tensor:
        return value[:1].repeat(3, *([1] * (value.dim() - 1))) if "rtm_cls" in key else value

    return {key: other(key, value) for key, value in state.items()}


def of_mmyolo(state: State) -> State:
    return {key.replace("bbox_head.", "bbox_head.head_module."): v for key, v in state.items()}


@pytest.mark.parametrize(
    ("change", "sentence", "hint"),
    [
        (without_head, r"though it has 9\d\.\d% of the numbers: of its weights 6 are missing", "c"),
        (with_more, r"1 is of no layer of it \(bbox_head.rtm_kernel.weight\)", "model.config"),
        (of_three_classes, "rtm_cls.0.weight is 3x96x1x1 there and 2x96x1x1 in", "dataset.classes"),
        (of_mmyolo, "are missing .* of no layer of it", "MMYOLO"),
        (lambda _: {"weight": torch.ones(4)}, "it has 0% of the numbers that RTMDet needs", "name"),
        (
            lambda state: {k[9:]: v for k, v in state.items() if k.startswith("backbone.")},
            "does not fit its config|belongs to another model",
            "name the config",
        ),
    ],
    ids=["no-head", "more", "classes", "mmyolo", "other", "backbone-alone"],
)
def test_a_model_that_would_detect_noise_is_refused(
    tmp_path: Path, state: State, change: Callable[[State], State], sentence: str, hint: str
) -> None:
    with pytest.raises(StageError, match=sentence) as error:
        take(tmp_path, {"meta": SPEAKS, "state_dict": change(state)})
    assert hint in error.value.hint
    assert not (tmp_path / "output/best.pth").exists()


def test_what_it_says_it_is_of_helps_to_find_its_config(tmp_path: Path) -> None:
    meta = {**SPEAKS, "experiment_name": "yolox_tiny_8xb8-300e_coco_20220919_090908"}
    with pytest.raises(StageError) as error:
        take(tmp_path, {"meta": meta, "state_dict": {"weight": torch.ones(4)}})
    assert "of yolox_tiny_8xb8-300e_coco" in error.value.hint


SAFETENSORS = (2).to_bytes(8, "little") + b"{}"


def torchscript() -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(torch.nn.Conv2d(1, 1, 1), torch.ones(1, 1, 2, 2)), buffer)
    return buffer.getvalue()


def pickle_of(module: str, name: str) -> bytes:
    """A file as ``torch.save`` writes one that has an object of another program's class."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        content = b"\x80\x02c" + f"{module}\n{name}\n".encode() + b"q\x00)\x81q\x01."
        archive.writestr("best/data.pkl", content)
        archive.writestr("best/version", b"3\n")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "name", "sentence"),
    [
        (pickle_of("ultralytics.nn.tasks", "DetectionModel"), "best.pt", "is an Ultralytics check"),
        (pickle_of("models.yolo", "Model"), "best.pt", "is a checkpoint of YOLOv5 or YOLOv7"),
        (pickle_of("os", "system"), "best.pth", "want to run os.system"),
        (torchscript(), "traced.pt", "is a program in TorchScript"),
        (SAFETENSORS, "model.safetensors", "is a safetensors file"),
        (b"\x08\x07", "model.onnx", "is an ONNX file"),
        (b"\x89HDF\r\n\x1a\n", "model.h5", "is an HDF5 file"),
        (b"ftrt\0\0", "model.engine", "is an engine of TensorRT"),
        (b"<html>", "model.pth", "are text"),
        (b"", "model.pth", "are an empty file"),
    ],
    ids=[
        *("ultralytics", "yolov5", "bad", "torchscript", "safetensors", "onnx", "hdf5"),
        *("tensorrt", "html", "empty"),
    ],
)
def test_what_is_no_checkpoint_of_mmdetection_is_named(
    tmp_path: Path, content: bytes, name: str, sentence: str
) -> None:
    with pytest.raises(StageError, match=sentence) as error:
        take(tmp_path, content, name=name)
    assert error.value.hint


def test_an_mmdetection_checkpoint_that_talks_of_others_is_none_of_theirs(
    tmp_path: Path, state: State
) -> None:
    talk = {**SPEAKS, "cfg": "# compared with ultralytics and models.yolo\n"}
    take(tmp_path, {"meta": talk, "state_dict": state})


def test_the_config_inside_a_checkpoint_will_do(tmp_path: Path, state: State) -> None:
    meta = {**SPEAKS, "cfg": Config.fromfile(str(ROOT / CONFIG)).pretty_text}
    content = {"meta": meta, "state_dict": state}
    result = take(tmp_path, content, TakenModelParameters(None, (), (64, 64)))
    assert load_trained_model(tmp_path / "output").description == "RTMDet with RTMDetSepBNHead"
    (warning,) = result.warnings
    assert "for pictures of 96x96" in warning
    assert "input_size is 64x64" in warning


def test_without_any_config_it_says_what_to_write(tmp_path: Path, state: State) -> None:
    content = {"meta": SPEAKS, "state_dict": state}
    with pytest.raises(StageError, match="nothing says which config") as error:
        take(tmp_path, content, TakenModelParameters(None, (), SIZE))
    assert "mmdet::rtmdet/" in error.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "import os\nmodel = dict(type='RTMDet')",
        "model = dict(type=open('/etc/passwd').read())",
        "model = __import__('os').system('true')",
        "for a in (1, 2): pass",
        "model = dict(**{'a': 1})",
        "model = [x for x in (1, 2)]",
        "a.b = 1",
        "model = (",
    ],
)
def test_a_config_inside_a_checkpoint_is_never_run(text: str) -> None:
    with pytest.raises(StageError, match="more than plain data, so it is not run"):
        literal_config(text, "model.pth")


def test_a_config_inside_a_checkpoint_is_read_as_mmengine_writes_it(tmp_path: Path) -> None:
    config = Config.fromfile(str(ROOT / CONFIG))
    assert literal_config(config.pretty_text, "x").to_dict() == config.to_dict()


def test_one_of_mmdetections_own_configs(tmp_path: Path, state: State) -> None:
    """Its 80 classes give way to those that the checkpoint names; its 640 pixels are said."""
    result = take(
        tmp_path, {"meta": SPEAKS, "state_dict": state}, TakenModelParameters(COCO, (), SIZE)
    )
    assert load_trained_model(tmp_path / "output").classes == CLASSES
    assert any("640x640" in each and "96x96" in each for each in result.warnings)
    config = (tmp_path / "output/config.py").read_text()
    assert "train_dataloader" not in config
    assert "data/coco" not in config


def test_a_config_that_mmdetection_does_not_have(tmp_path: Path, state: State) -> None:
    wanted = TakenModelParameters("mmdet::rtmdet/rtmdet_tiny_8xb32-300e.py", (), SIZE)
    with pytest.raises(StageError, match="has no config mmdet::rtmdet") as error:
        take(tmp_path, {"meta": SPEAKS, "state_dict": state}, wanted)
    assert "rtmdet/rtmdet_tiny_8xb32-300e_coco.py" in error.value.hint


BASE = f"_base_ = '{ROOT}/{CONFIG}'\n"


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ("default_scope = 'mmyolo'\nmodel = dict(type='YOLODetector')\n", "is one of mmyolo's"),
        ("data = 1\n", "the config has no model"),
        (BASE + "model = dict(type='Nothing')\n", "MMDetection cannot build the model"),
        (BASE + "model = dict(bbox_head=dict(type='RTMDetInsSepBNHead'))\n", "for instance segm"),
        (BASE + "raise ValueError('no')\n", "ValueError: no"),
        (BASE + "test_dataloader = dict(dataset=dict(pipeline=[dict(type='LoadImageFromFile')]))",
         "no Resize to one size"),
    ],
    ids=["mmyolo", "no-model", "unknown", "masks", "raises", "no-size"],
)  # fmt: skip
def test_a_config_that_is_none_of_a_detector_here(
    tmp_path: Path, state: State, config: str, sentence: str
) -> None:
    with pytest.raises(StageError, match=sentence):
        take(tmp_path, {"meta": SPEAKS, "state_dict": state}, OWN, config)


def test_batch_norm_of_several_gpus(tmp_path: Path) -> None:
    config = BASE + "model = dict(backbone=dict(norm_cfg=dict(type='SyncBN')))\n"
    register_all_modules()
    (tmp_path / "source.py").write_text(config)
    own = MODELS.build(Config.fromfile(str(tmp_path / "source.py")).model).state_dict()
    take(tmp_path, {"meta": SPEAKS, "state_dict": dict(own)}, OWN, config)
    assert load_trained_model(tmp_path / "output").classes == CLASSES


def test_an_artifact_stays_as_it_is_unless_its_size_changes(tmp_path: Path, state: State) -> None:
    first = tmp_path / "first"
    first.mkdir()
    take(first, {"meta": SPEAKS, "state_dict": state})
    same, other = tmp_path / "same", tmp_path / "other"
    for folder, size in ((same, SIZE), (other, (64, 64))):
        folder.mkdir()
        told = TakenModelParameters(None, (), size)
        run(folder, told, {"checkpoint": first / "output"})
    for name in ("best.pth", "config.py"):
        assert (same / "output" / name).read_bytes() == (first / "output" / name).read_bytes()
    config = load_trained_model(other / "output").config
    assert config.test_dataloader.dataset.pipeline[1].scale == (64, 64)


def config_with(**metainfo: object) -> Config:
    head = {"num_classes": 80}
    dataset = {"type": "CocoDataset", "metainfo": metainfo}
    return Config({"model": {"bbox_head": head}, "test_dataloader": {"dataset": dataset}})


@pytest.mark.parametrize(
    ("says", "config", "given", "names"),
    [
        ({"dataset_meta": {"classes": ["a", "b"]}}, {}, (), ("a", "b")),
        ({"dataset_meta": {"CLASSES": ("a", "b")}}, {}, ("a", "b"), ("a", "b")),
        ({"CLASSES": ("a", "b")}, {}, (), ("a", "b")),
        ({"CLASSES": "balloon"}, {}, (), ("balloon",)),
        ({}, {"classes": ("c",)}, (), ("c",)),
        ({"CLASSES": None}, {"CLASSES": ("c",)}, ("c",), ("c",)),
    ],
)
def test_who_says_what_the_classes_are(
    says: Mapping[str, Any], config: Mapping[str, Any], given: tuple[str, ...], names: object
) -> None:
    found = class_names(says, config_with(**config), given, "m.pth")
    assert found.names == names
    assert found.remarks == ()


def test_the_datasets_own_names_are_taken_with_a_word() -> None:
    found = class_names({}, config_with(), (), "m.pth")
    assert len(found.names) == 80
    assert found.names[0] == "person"
    assert "the 80 of CocoDataset are taken" in found.remarks[0]


def test_names_that_nothing_can_check_are_taken_with_a_word() -> None:
    found = class_names({}, config_with(), ("a", "b"), "m.pth")
    assert found.names == ("a", "b")
    assert "which nothing here can check" in found.remarks[0]


def test_a_checkpoint_and_its_config_that_disagree() -> None:
    found = class_names({"CLASSES": ("a",)}, config_with(classes=("b",)), (), "m.pth")
    assert found.names == ("a",)
    assert "the checkpoint's are taken" in found.remarks[0]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("b", "a", "c"), 'in another order: its number 1 is "a", not "b"'),
        (("a", "b"), "detects 3 classes, and dataset.classes are others: it has c, which"),
        (("a", "b", "c", "d"), "it has no d"),
        (("x", "b", "c"), "it has a, which are not in dataset.classes; it has no x"),
    ],
)
def test_other_classes_are_refused_with_the_difference(
    given: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(StageError) as error:
        class_names({"CLASSES": ("a", "b", "c")}, config_with(), given, "m.pth")
    assert sentence in error.value.message
    assert "leave dataset.classes out" in error.value.hint


def test_a_model_whose_classes_nobody_names() -> None:
    config = config_with()
    config.model.bbox_head.num_classes = 3
    with pytest.raises(StageError, match="names the classes of the model") as error:
        class_names({}, config, (), "m.pth")
    assert "write dataset.classes" in error.value.hint
