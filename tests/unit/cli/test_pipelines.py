"""`invoke export-for`: where an engine is found, and what may be in the way of its files."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from small_artifacts import PROVENANCE

from mmdet_jetson.cli import pipelines
from mmdet_jetson.cli import preflight as before_opening
from mmdet_jetson.cli.pipelines import export_for
from mmdet_jetson.contract.job import Result
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.store import Store

WARNING = "it pads with black"


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, also stored as ``demo.engine-pc``, and a stage that exports a copy of its file."""
    folder = tmp_path / "engine"
    folder.mkdir()
    (folder / "engine.onnx").write_text("an engine")
    monkeypatch.setenv("MMDET_JETSON_ARTIFACTS", str(tmp_path / "artifacts"))
    Store(tmp_path / "artifacts").put("engine", folder, PROVENANCE, ["demo.engine-pc"])

    def run_stage(step: Step, inputs: Mapping[str, Path], job: Path) -> Result:
        (job / "output").mkdir(parents=True)
        text = (inputs["engine"] / "engine.onnx").read_text()
        (job / "output/model").write_text(f"{step.stage.module}: {text}")
        return Result(warnings=(WARNING,))

    monkeypatch.setattr(pipelines, "run_stage", run_stage)
    return folder


@pytest.mark.parametrize("by", ["folder", "tag"])
def test_an_engine_is_found_by_folder_or_tag(
    by: str, engine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = str(engine) if by == "folder" else "demo.engine-pc"

    export_for("triton", name, str(tmp_path / "models"))

    assert [path.name for path in (tmp_path / "models").iterdir()] == ["model"]
    assert (tmp_path / "models/model").read_text() == "export_for: an engine"
    said = capsys.readouterr().out
    assert WARNING in said
    assert said.endswith(": model\n")


def test_the_store_is_left_alone(engine: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="models is inside this machine's store"):
        export_for("triton", str(engine), str(tmp_path / "artifacts/models"))
    assert not (tmp_path / "artifacts/models").exists()


def test_what_is_there_stays(engine: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    (models / "another").touch()
    export_for("triton", str(engine), str(models))
    (models / "model").write_text("edited")

    with pytest.raises(UserError, match=r"models/model exists already"):
        export_for("triton", str(engine), str(models))

    assert {path.name: path.read_text() for path in models.iterdir()} == {
        "another": "",
        "model": "edited",
    }


def test_a_link_to_nothing_stays(engine: Path, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models/model").symlink_to("nowhere")
    with pytest.raises(UserError, match=r"models/model exists already"):
        export_for("triton", str(engine), str(tmp_path / "models"))
    assert (tmp_path / "models/model").is_symlink()


def test_what_is_no_engine_is_refused_and_leaves_no_folder(engine: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "artifacts")
    made = msgspec.structs.replace(PROVENANCE, step="dataset")
    store.put("dataset", engine, made, ["demo.dataset"])
    for name, words in (
        ("demo.dataset", "demo.dataset is no engine, but the dataset of step dataset"),
        ("demo.engine-pd", "no artifact is tagged 'demo.engine-pd'"),
        ("/nowhere", "/nowhere is no folder, and an engine is one"),
        (str(engine / "engine.onnx"), "engine.onnx is a file, and an engine is one"),
    ):
        with pytest.raises(UserError, match=words):
            export_for("triton", name, str(tmp_path / "models"))
    assert not (tmp_path / "models").exists()


def test_an_engine_that_is_not_there_is_answered_with_engines(engine: Path, tmp_path: Path) -> None:
    made = msgspec.structs.replace(PROVENANCE, step="export-orin")
    Store(tmp_path / "artifacts").put("onnx", engine, made, ["demo.export-orin"])
    with pytest.raises(UserError, match=r"no artifact is tagged 'demo\.engine-orin'") as refused:
        export_for("triton", "demo.engine-orin", str(tmp_path / "models"))
    assert refused.value.hint == (
        "invoke engine --target orin makes one; did you mean 'demo.engine-pc'?"
    )


def test_preflight_takes_what_export_for_takes(
    engine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def run_stage(step: Step, inputs: Mapping[str, Path], job: Path) -> Result:
        asked.append((inputs["engine"] / "engine.onnx").read_text())
        return Result()

    monkeypatch.setattr(before_opening, "run_stage", run_stage)
    for name in (str(engine), "demo.engine-pc"):
        before_opening.preflight(name, str(engine / "engine.onnx"))
    assert asked == ["an engine", "an engine"]
    with pytest.raises(UserError, match="--onnx /nope is not a file") as refused:
        before_opening.preflight("demo.engine-pc", "/nope")
    assert "the ONNX file that the engine was built from" in refused.value.hint


def test_a_pipeline_that_does_not_exist_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'tritium'") as refused:
        export_for("tritium", "an engine", str(tmp_path / "models"))
    assert "triton" in refused.value.hint
