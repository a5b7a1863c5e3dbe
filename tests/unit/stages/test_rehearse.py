"""A rehearsal: what the engine of an untrained model would be refused for, and what it says."""

import json
from pathlib import Path

import onnx
import pytest
from built_engines import fixed_network, job, onnx_folder
from fused import fused_folder, fused_model, split_folder
from onnx import helper

from mmdet_jetson.contract.job import Result
from mmdet_jetson.contract.parameters.engine import EngineParameters
from mmdet_jetson.contract.parameters.rehearse import SIZES, RehearseParameters, export_folder
from mmdet_jetson.stages import rehearse
from mmdet_jetson.stages.backends import onnxruntime
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.size_classes import size_classes

THREE = {"smallest": [40, 30], "largest": [200, 100], "tallest": [30, 60]}
NMS = helper.make_node("TRTBatchedNMS", ["fixed_dets"], ["boxes"], domain="mmdeploy")


def checked(folder: Path, sizes: object = THREE) -> Path:
    """The part of a `check` artifact that is there whatever the graph is."""
    folder.mkdir()
    (folder / SIZES).write_text(json.dumps(sizes))
    return folder


def rehearsal(tmp_path: Path, check: Path, told: EngineParameters, **more: Path) -> Result:
    parameters = RehearseParameters("first", told)
    made = job(tmp_path, parameters, {"check": check, **more}, "rehearsal")
    made.work.mkdir()
    return rehearse.run(made)


def fp32(backend: str = "onnxruntime") -> EngineParameters:
    return EngineParameters("pc", backend, "fp32", (), None)


def int8(pictures: int) -> EngineParameters:
    return EngineParameters("pc", "onnxruntime", "int8", (), pictures)


def test_it_says_what_it_built_and_what_went_through(tmp_path: Path) -> None:
    check = checked(tmp_path / "check")
    fused_folder(check / export_folder("first"))

    result = rehearsal(tmp_path, check, fp32())

    found = str(result.facts["found"])
    assert found.startswith("an engine for pc was built in ")
    assert found.endswith(" s; pictures of 3 sizes went through")
    written = json.loads((tmp_path / "rehearsal/rehearsal.json").read_text())
    assert (written["found"], written["sizes"]) == (found, THREE)
    assert [path.name for path in (tmp_path / "rehearsal").iterdir()] == ["rehearsal.json"]


def test_a_documented_graph_is_rehearsed_with_its_own_preprocessing(tmp_path: Path) -> None:
    check = checked(tmp_path / "check", {"most common": [64, 48]})
    onnx_folder(check / export_folder("first"))

    result = rehearsal(tmp_path, check, fp32())

    assert str(result.facts["found"]).endswith("a picture of the one size there is went through")


def test_a_graph_that_the_compiler_refuses_is_refused_now(tmp_path: Path) -> None:
    check = checked(tmp_path / "check")
    model = fused_model()
    model.opset_import[0].version = 99
    folder = fused_folder(check / export_folder("first"))
    (folder / "end2end.onnx").write_bytes(model.SerializeToString())

    with pytest.raises(StageError, match=r"pc could not be used after this training: .*end2end"):
        rehearsal(tmp_path, check, fp32())


def test_an_operator_that_nobody_has_is_refused_now(tmp_path: Path) -> None:
    check = checked(tmp_path / "check")
    fixed_network(onnx_folder(check / export_folder("first")) / "end2end.onnx", extra=[NMS])

    with pytest.raises(StageError, match="after this training: this graph holds TRTBatchedNMS"):
        rehearsal(tmp_path, check, fp32())


def test_a_picture_that_does_not_go_through_is_refused_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = checked(tmp_path / "check")
    fused_folder(check / export_folder("first"))

    def fails(*_: object) -> object:
        raise RuntimeError("no kernel for this size")

    monkeypatch.setattr(onnxruntime, "open_session", lambda *_: fails)

    with pytest.raises(StageError, match=r"a picture of 40x30 \(the smallest of the dataset\)"):
        rehearsal(tmp_path, check, fp32())


@pytest.mark.parametrize("batch", [1, 3])
def test_batches_go_through(tmp_path: Path, batch: int) -> None:
    check = checked(tmp_path / "check")
    folder = fused_folder(check / export_folder("first"))
    if batch > 1:
        graph = json.loads((folder / "graph.json").read_text())
        (folder / "graph.json").write_text(json.dumps({**graph, "batch": batch}))
        with pytest.raises(StageError, match="does not go through"):  # it is a graph of one
            rehearsal(tmp_path, check, fp32())
        return
    assert rehearsal(tmp_path, check, fp32()).metrics["sizes"] == 3


def test_a_precision_that_the_backend_lacks_is_refused_now(tmp_path: Path) -> None:
    check = checked(tmp_path / "check")
    fused_folder(check / export_folder("first"))

    with pytest.raises(StageError, match="does not build engines in fp16"):
        rehearsal(tmp_path, check, EngineParameters("pc", "onnxruntime", "fp16", (), None))


def test_int8_with_too_few_pictures_is_said(tmp_path: Path) -> None:
    check = checked(tmp_path / "check")
    fused_folder(check / export_folder("first"))
    splits = {
        "training": split_folder(tmp_path / "training", "train", [1, 2, 3]),
        "validation": split_folder(tmp_path / "validation", "val", [9]),
    }

    result = rehearsal(tmp_path, check, int8(64), **splits)

    assert result.warnings == (
        "int8 is calibrated with 3 pictures, which is all of the training split, and not with 64 "
        "(calibration_pictures in targets.toml)",
    )


@pytest.mark.parametrize(
    ("training", "sentence"),
    [([], "the training split has no pictures"), ([1, 9], "shows the same as val_01.png")],
)
def test_int8_without_pictures_of_its_own_is_refused_now(
    tmp_path: Path, training: list[int], sentence: str
) -> None:
    check = checked(tmp_path / "check")
    fused_folder(check / export_folder("first"))
    splits = {
        "training": split_folder(tmp_path / "training", "train", training),
        "validation": split_folder(tmp_path / "validation", "val", [9]),
    }

    with pytest.raises(StageError, match=f"pc could not be used after this training.*{sentence}"):
        rehearsal(tmp_path, check, int8(64), **splits)


def test_what_only_its_device_compiles_is_tried_as_far_as_it_goes(tmp_path: Path) -> None:
    check = checked(tmp_path / "check")
    fused_folder(check / export_folder("first"))

    found = rehearsal(tmp_path, check, fp32("tensorrt")).facts["found"]

    assert found == (
        "pc: TensorRT compiles on its device only, so that was not tried; its graph went through "
        "ONNX Runtime with pictures of 3 sizes"
    )


def test_what_needs_a_plugin_is_not_tried_and_that_is_said(tmp_path: Path) -> None:
    check = checked(tmp_path / "check")
    fixed_network(onnx_folder(check / export_folder("first")) / "end2end.onnx", extra=[NMS])

    result = rehearsal(tmp_path, check, fp32("tensorrt"))

    assert "TRTBatchedNMS of its graph needs TensorRT's plugin" in str(result.facts["found"])
    assert result.metrics["sizes"] == 0


def test_a_damaged_export_is_no_crash(tmp_path: Path) -> None:
    check = checked(tmp_path / "check")
    folder = fused_folder(check / export_folder("first"))
    model = onnx.load(str(folder / "end2end.onnx"))
    del model.graph.node[3]
    onnx.save(model, str(folder / "end2end.onnx"))

    with pytest.raises(StageError, match="after this training"):
        rehearsal(tmp_path, check, fp32())


def test_sizes_that_stand_for_all() -> None:
    sizes = [(100, 100)] * 3 + [(50, 40), (300, 200), (400, 50), (60, 240)]

    assert dict(size_classes(sizes)) == {
        "smallest": (50, 40),
        "largest": (300, 200),
        "widest": (400, 50),
        "tallest": (60, 240),
        "most common": (100, 100),
    }


def test_a_size_that_is_several_is_there_once() -> None:
    assert size_classes([(64, 64)] * 5) == (
        ("smallest, largest, widest, tallest, most common", (64, 64)),
    )
    assert size_classes([]) == ()
