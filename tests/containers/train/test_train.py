"""Short real trainings of the demo's detector on a handful of 64 x 64 pictures."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from mmdet.apis import inference_detector
from mmengine import Config

from mmdet_jetson.contract.job import Result
from mmdet_jetson.stages import evaluate_checkpoint, train
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.job import StageJob

if TYPE_CHECKING:
    from collections.abc import Callable

    TrainJob = Callable[..., StageJob]

CLASSES = ["ellipse", "rectangle"]
FIGURES = {"AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"}


@pytest.fixture(scope="module")
def trained(
    train_job: TrainJob, tmp_path_factory: pytest.TempPathFactory
) -> tuple[StageJob, Result]:
    """Two epochs, of which MMEngine by itself would validate none, and every box is shown."""
    every_box = {"model.test_cfg.score_thr": 0.0, "model.test_cfg.min_bbox_size": -1}
    overrides = {"train_cfg.val_interval": 5, **every_box}
    job = train_job(tmp_path_factory.mktemp("trained"), epochs=2, overrides=overrides)
    return job, train.run(job)


def progress(job: StageJob) -> list[dict[str, Any]]:
    path = Path(job.channel.name)
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_artifact_has_exactly_its_files(trained: tuple[StageJob, Result]) -> None:
    folder = trained[0].output
    names = {path.name for path in folder.iterdir()}
    assert names == {"best.pth", "last.pth", "config.py", "train.log", "metrics.json"}


def test_the_last_epoch_is_validated_whatever_the_interval(
    trained: tuple[StageJob, Result],
) -> None:
    metrics = json.loads((trained[0].output / "metrics.json").read_text())
    (validated,) = metrics["curves"]["val"]
    assert validated.keys() == {"epoch", *FIGURES}
    assert metrics["best"] == {"epoch": 2, "AP": validated["AP"]}
    assert (metrics["epochs"], metrics["device"]) == (2, "cpu")
    steps = metrics["curves"]["train"]
    assert [(point["step"], point["epoch"]) for point in steps] == [(1, 1), (2, 2)]
    assert all(point["loss"] > 0 and point["lr"] > 0 for point in steps)


def test_progress_counts_every_iteration(trained: tuple[StageJob, Result]) -> None:
    lines = [line for line in progress(trained[0]) if line["label"].startswith("epoch")]
    assert [(line["step"], line["total"]) for line in lines] == [(1, 2), (2, 2)]
    assert {"loss", "lr"} <= lines[0]["metrics"].keys()


def test_the_config_is_flat_and_fits_the_weights(trained: tuple[StageJob, Result]) -> None:
    folder = trained[0].output
    text = (folder / "config.py").read_text()
    for local in (trained[0].inputs["dataset"], trained[0].work, Path.home()):
        assert str(local) not in text
    config = Config.fromfile(str(folder / "config.py"))
    model, warnings = evaluate_checkpoint.load_model(config, folder / "best.pth")
    assert warnings == []
    assert model.bbox_head.num_classes == 2
    meta = torch.load(str(folder / "best.pth"))["meta"]
    assert tuple(meta["dataset_meta"]["classes"]) == tuple(CLASSES)


def evaluate_job(trained: StageJob, folder: Path, **inputs: Path) -> StageJob:
    (folder / "out").mkdir()
    return StageJob(
        stage="evaluate_checkpoint",
        parameters={
            "subject": "base" if inputs else "checkpoint",
            "pictures": 1,
            "draw_threshold": 0.3,
            "device": "cpu",
            "evidence": "measured",
        },
        inputs={
            "checkpoint": trained.output,
            "dataset": trained.inputs["dataset"],
            **inputs,
        },
        outputs={"evaluation": folder / "out"},
        work=folder,
        channel=(folder / "progress").open("w"),
    )


def test_a_checkpoint_is_evaluated_as_mmdetection_did(
    trained: tuple[StageJob, Result], tmp_path: Path
) -> None:
    job = evaluate_job(trained[0], tmp_path)
    result = evaluate_checkpoint.run(job)
    for name in FIGURES:
        ours, mmdetection = result.metrics[name], trained[1].metrics[name]
        assert ours == pytest.approx(mmdetection, abs=0.0006)
    files = {path.relative_to(tmp_path / "out").as_posix() for path in tmp_path.rglob("out/**/*.*")}
    assert files == {
        "metrics.json",
        "predictions.json",
        "output_pytorch.jpg",
        "pictures/1.ppm.jpg",
    }
    described = json.loads((tmp_path / "out/metrics.json").read_text())
    assert described["subject"] == "checkpoint"
    assert described["preprocessing"]["keep_ratio"] is True
    assert described["preprocessing"]["input_size"] == [64, 64]


def test_detections_are_those_of_mmdetection_inside_the_picture(
    trained: tuple[StageJob, Result],
) -> None:
    folder, picture = trained[0].output, trained[0].inputs["dataset"] / "val/1.ppm"
    config = Config.fromfile(str(folder / "config.py"))
    model, _ = evaluate_checkpoint.load_model(config, folder / "best.pth")
    ours = evaluate_checkpoint.detector(model, config)(picture)
    model.cfg = config
    theirs = inference_detector(model, str(picture)).pred_instances
    boxes = theirs.bboxes.clamp(0, 64)
    covers = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
    theirs, boxes = theirs[covers], boxes[covers]
    assert len(ours) > 0
    assert [list(found.box) for found in ours] == boxes.tolist()
    assert [found.score for found in ours] == theirs.scores.tolist()
    assert [found.label for found in ours] == theirs.labels.tolist()


def test_a_base_of_other_classes_gets_new_class_layers(
    trained: tuple[StageJob, Result], tmp_path: Path
) -> None:
    state = torch.load(str(trained[0].output / "best.pth"))["state_dict"]
    for key in [key for key in state if "rtm_cls" in key]:
        state[key] = torch.zeros(80, *state[key].shape[1:])
    (tmp_path / "base").mkdir()
    torch.save(state, str(tmp_path / "base/coco.pth"))
    job = evaluate_job(trained[0], tmp_path, weights=tmp_path / "base")
    result = evaluate_checkpoint.run(job)
    (warning,) = result.warnings
    assert "6 of" in warning
    assert "bbox_head.rtm_cls.0" in warning


def test_training_from_weights_starts_there(
    trained: tuple[StageJob, Result], train_job: TrainJob, tmp_path: Path
) -> None:
    (tmp_path / "base").mkdir()
    source = trained[0].output / "last.pth"
    (tmp_path / "base/base.pth").write_bytes(source.read_bytes())
    overrides = {"optim_wrapper.optimizer.lr": 0.0}
    job = train_job(tmp_path / "job", weights=tmp_path / "base", overrides=overrides)
    assert train.run(job).warnings == trained[1].warnings
    before, after = (
        torch.load(str(path))["state_dict"]["backbone.stem.0.conv.weight"]
        for path in (source, job.output / "last.pth")
    )
    assert torch.equal(before, after)


def test_a_loss_that_is_no_number_stops_the_training(train_job: TrainJob, tmp_path: Path) -> None:
    overrides = {"optim_wrapper.optimizer.lr": 1e9, "param_scheduler.0.start_factor": 1.0}
    with pytest.raises(StageError) as error:
        train.run(train_job(tmp_path, epochs=3, overrides=overrides))
    assert "NaN or infinite at iteration 2" in error.value.message
    assert "learning rate" in error.value.hint


def start(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mmdet_jetson.stages.train", str(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def test_a_killed_training_goes_on_from_its_newest_whole_checkpoint(
    train_job: TrainJob, tmp_path: Path
) -> None:
    overrides = {"default_hooks.checkpoint.interval": 1, "train_cfg.val_interval": 1}
    job = train_job(tmp_path, epochs=30, overrides=overrides)
    process = start(tmp_path)
    while not (job.work / "epoch_3.pth").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    newest = max(job.work.glob("epoch_*.pth"), key=lambda path: int(path.stem[6:]))
    # The kill may have hit while this one was written; make sure that it did.
    newest.write_bytes(newest.read_bytes()[:10_000])
    whole = int(newest.stem[6:]) - 1

    content = json.loads((tmp_path / "job.json").read_text())
    content["parameters"]["epochs"] = whole + 2
    (tmp_path / "job.json").write_text(json.dumps(content))
    resumed = Job.load(tmp_path, (tmp_path / "progress").open("w"))
    train.run(resumed)

    labels = [line["label"] for line in progress(resumed)]
    # Validation of the epoch that was saved, but perhaps not validated, comes first.
    assert labels[0].startswith(f"validating epoch {whole}/")
    assert labels[1] == f"epoch {whole + 1}/{whole + 2}"
    metrics = json.loads((resumed.output / "metrics.json").read_text())
    epochs = list(range(1, whole + 3))
    assert [entry["epoch"] for entry in metrics["curves"]["val"]] == epochs
    assert [point["epoch"] for point in metrics["curves"]["train"]] == epochs


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"classes": ["ellipse"]}, "has the classes ellipse, rectangle"),
        ({"classes": CLASSES[::-1]}, "told rectangle, ellipse"),
        ({"device": "cuda"}, "there is no GPU that PyTorch can use"),
        ({"config": "configs/train/absent.py"}, "there is no training config absent.py"),
        ({"overrides": {"model.typ": "x"}}, 'the nearest is "type"'),
        ({"overrides": {"model.type": "NoNet"}}, "cannot build the training config's model"),
        (
            {"overrides": {"+train_dataloader.drop_last": True}, "batch_size": 9},
            "a batch has 9 pictures, the training split 4",
        ),
        (
            {"overrides": {"train_dataloader.dataset.filter_cfg.min_size": 65}},
            "none of the 4 training pictures",
        ),
    ],
)
def test_a_training_that_cannot_be_is_one_sentence(
    train_job: TrainJob, tmp_path: Path, wanted: dict[str, Any], sentence: str
) -> None:
    if "device" in wanted and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(StageError) as error:
        train.run(train_job(tmp_path, **wanted))
    assert sentence in error.value.message
    assert "\n" not in error.value.message
    assert error.value.hint


def test_without_annotations_to_validate_the_last_is_the_best(
    write_split: Callable[..., None], train_job: TrainJob, tmp_path: Path
) -> None:
    write_split(tmp_path / "data", "train", 2, CLASSES)
    write_split(tmp_path / "data", "val", 1, CLASSES, annotated=False)
    result = train.run(train_job(tmp_path / "job", data=tmp_path / "data"))
    assert result.warnings[0].startswith("no validation picture has an annotation")
    assert result.metrics["AP"] is None


def test_memory_that_runs_out_is_one_sentence(
    train_job: TrainJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: Any, **__: Any) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr("mmdet.models.detectors.SingleStageDetector.loss", exhausted)
    with pytest.raises(StageError, match="ran out of memory") as error:
        train.run(train_job(tmp_path))
    assert "train.batch_size (it was 4)" in error.value.hint


def test_a_bug_keeps_its_traceback(
    train_job: TrainJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("mmdet.models.detectors.SingleStageDetector.loss", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        train.run(train_job(tmp_path))


def test_a_part_that_cannot_be_built_is_one_sentence(train_job: TrainJob, tmp_path: Path) -> None:
    overrides = {"optim_wrapper.optimizer.lr": "fast"}
    with pytest.raises(StageError, match="cannot build a part of the training config"):
        train.run(train_job(tmp_path, overrides=overrides))
