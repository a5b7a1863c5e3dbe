"""Short real trainings of the demo's detector on a handful of 64 x 64 pictures."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from base64 import b64decode
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from mmdet.apis import inference_detector
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from torch.serialization import load
from trainings import (
    CLASSES,
    PARAMETERS,
    ROOT,
    load_job,
    metrics_of,
    progress_of,
    train_job,
    write_split,
)

from mmdet_jetson.contract.analysis import Analysis
from mmdet_jetson.contract.job import Result, read_job, write_job
from mmdet_jetson.contract.parameters.evaluate import (
    DrawingParameters,
    EvaluateCheckpointParameters,
)
from mmdet_jetson.contract.parameters.train import ModelParameters, TrainParameters
from mmdet_jetson.contract.records import read_record
from mmdet_jetson.contract.report import EvaluationMetrics
from mmdet_jetson.stages import evaluate_checkpoint, train
from mmdet_jetson.stages.checkpoints.trained_model import load_trained_model
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.job import StageJob

# A transform that asks for what no other one has written.
UNPACKED = {"type": "PackDetInputs", "meta_keys": ("flip",)}
FIGURES = {"AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"}


class Trained(NamedTuple):
    """A finished training."""

    job: StageJob[TrainParameters]
    result: Result


@pytest.fixture(scope="module")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Two epochs, of which MMEngine by itself would validate none, and every box is shown."""
    every_box = {"model.test_cfg.score_thr": 0.0, "model.test_cfg.min_bbox_size": -1}
    overrides = {"train_cfg.val_interval": 5, **every_box}
    wanted = replace(PARAMETERS, epochs=2, overrides=overrides)
    job = train_job(tmp_path_factory.mktemp("trained"), dataset, wanted)
    return Trained(job, train.run(job))


def test_the_artifact_has_exactly_its_files(trained: Trained) -> None:
    folder = trained.job.output
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "best.pth", "last.pth", "config.py", "train.log", "metrics.json", "tensorboard",
    }  # fmt: skip


def test_the_last_epoch_is_validated_whatever_the_interval(trained: Trained) -> None:
    metrics = metrics_of(trained.job)
    (validated,) = metrics["curves"]["val"]
    assert validated.keys() == {"epoch", *FIGURES}
    assert metrics["best"] == {"epoch": 2, "AP": validated["AP"]}
    assert (metrics["epochs"], metrics["device"]) == (2, "cpu")
    steps = metrics["curves"]["train"]
    assert [(point["step"], point["epoch"]) for point in steps] == [(1, 1), (2, 2)]
    assert all(point["loss"] > 0 and point["lr"] > 0 for point in steps)


def test_progress_counts_every_iteration(trained: Trained) -> None:
    told = [line for line in progress_of(trained.job) if not line.recorded]
    lines = [line for line in told if line.label.startswith("epoch")]
    assert [(line.step, line.total) for line in lines] == [(1, 2), (2, 2)]
    assert {"loss", "lr"} <= lines[0].metrics.keys()


def test_what_tensorboard_shows_is_told_as_it_is_written(trained: Trained, tmp_path: Path) -> None:
    """Losses of every epoch, however short, and validations."""
    lines = [line.recorded for line in progress_of(trained.job) if line.recorded]
    assert [each.begins for each in lines] == [True, *[False] * (len(lines) - 1)]
    for each in filter(lambda line: line.file, lines):
        with (tmp_path / each.file).open("ab") as stream:
            assert stream.tell() == each.offset
            stream.write(b64decode(each.content))
    (copied,), (kept,) = (list(f.iterdir()) for f in (tmp_path, trained.job.output / "tensorboard"))
    assert (copied.name, copied.read_bytes()) == (kept.name, kept.read_bytes())
    shown = scalars(tmp_path)
    assert shown["loss"] == shown["lr"] == [1, 2]
    assert shown["coco/bbox_mAP"] == [2]


def test_figures_are_told_by_epoch(trained: Trained) -> None:
    lines = [line.recorded for line in progress_of(trained.job) if line.recorded]
    told = [(each.epoch, each.figures) for each in lines if each.figures]
    assert [epoch for epoch, _ in told] == [1, 2, 2]
    points = metrics_of(trained.job)["curves"]["train"]
    assert told[0][1]["train/loss"] == pytest.approx(points[0]["loss"])
    assert all("train/lr" in figures for _, figures in told[:2])
    assert "coco/bbox_mAP" in told[2][1]


def scalars(folder: Path) -> dict[str, list[int]]:
    """Read event files as TensorBoard does: the steps of every curve."""
    steps: dict[str, list[int]] = {}
    for path in sorted(folder.glob("*.tfevents.*")):
        for event in LegacyEventFileLoader(str(path)).Load():
            for value in event.summary.value:
                steps.setdefault(value.tag, []).append(event.step)
    return steps


def test_the_config_is_flat_and_goes_with_the_weights(trained: Trained) -> None:
    folder = trained.job.output
    text = (folder / "config.py").read_text()
    for local in (trained.job.inputs["dataset"], trained.job.work, Path.home()):
        assert str(local) not in text
    model = load_trained_model(folder)
    assert model.classes == CLASSES
    assert model.network.bbox_head.num_classes == 2
    assert "test_cfg" not in model.config.model.bbox_head
    meta = load(str(folder / "best.pth"))["meta"]
    assert tuple(meta["dataset_meta"]["classes"]) == CLASSES


def evaluate_job(
    trained: StageJob[TrainParameters], folder: Path, weights: Path | None = None
) -> StageJob[EvaluateCheckpointParameters]:
    """Evaluate what was trained, or ``weights`` in the model that it was trained as."""
    (folder / "out").mkdir()
    told = trained.parameters
    model = ModelParameters(told.config, told.overrides, told.classes, told.input_size)
    drawing = DrawingParameters(1, 0.3)
    inputs = {"dataset": trained.inputs["dataset"]}
    if weights:
        parameters = EvaluateCheckpointParameters("base", "cpu", drawing, model)
        inputs.update(config=trained.inputs["config"], weights=weights)
    else:
        parameters = EvaluateCheckpointParameters("checkpoint", "cpu", drawing)
        inputs.update(checkpoint=trained.output)
    return StageJob(
        parameters=parameters,
        inputs=inputs,
        output=folder / "out",
        work=folder,
        evidence="measured",
        artifacts=(),
        channel=(folder / "progress").open("w"),
    )


def test_a_base_detects_as_a_checkpoint_with_its_weights(trained: Trained, tmp_path: Path) -> None:
    """Its config comes from the training config, and is the one that a training leaves."""
    (tmp_path / "weights").mkdir()
    shutil.copy(trained.job.output / "best.pth", tmp_path / "weights")
    results = []
    for name, weights in (("base", tmp_path / "weights"), ("checkpoint", None)):
        (tmp_path / name).mkdir()
        results.append(evaluate_checkpoint.run(evaluate_job(trained.job, tmp_path / name, weights)))
    base, checkpoint = results
    assert base == checkpoint
    found = [(tmp_path / name / "out/predictions.json") for name in ("base", "checkpoint")]
    assert found[0].read_bytes() == found[1].read_bytes()


def test_a_checkpoint_is_evaluated_as_mmdetection_did(trained: Trained, tmp_path: Path) -> None:
    job = evaluate_job(trained.job, tmp_path)
    result = evaluate_checkpoint.run(job)
    for name in FIGURES:
        expected = pytest.approx(trained.result.metrics[name], abs=0.0006)
        assert result.metrics[name] == expected
    assert result.warnings == ()
    files = {path.relative_to(tmp_path / "out").as_posix() for path in tmp_path.rglob("out/**/*.*")}
    assert {name for name in files if not name.startswith("worst/")} == {
        "analysis.json",
        "matches.npz",
        "metrics.json",
        "predictions.json",
        "output_pytorch.jpg",
        "pictures/1.ppm.jpg",
    }
    analysis = read_record(tmp_path / "out/analysis.json", Analysis)
    drawn = {name for name in files if name.startswith("worst/")}
    assert {f"worst/{each.file}" for each in analysis.worst} == drawn
    metrics = read_record(tmp_path / "out/metrics.json", EvaluationMetrics)
    assert (metrics.subject, metrics.evidence) == ("checkpoint", "measured")
    assert metrics.preprocessing["keep_ratio"] is True
    assert metrics.preprocessing["input_size"] == [64, 64]


def test_detections_are_those_of_mmdetection_inside_the_picture(trained: Trained) -> None:
    folder, picture = trained.job.output, trained.job.inputs["dataset"] / "val/1.ppm"
    opened = load_trained_model(folder)
    model, config = opened.network, opened.config
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


def test_a_base_of_other_classes_gets_new_class_layers(trained: Trained, tmp_path: Path) -> None:
    state = load(str(trained.job.output / "best.pth"))["state_dict"]
    for key in [key for key in state if "rtm_cls" in key]:
        state[key] = torch.zeros(80, *state[key].shape[1:])
    (tmp_path / "base").mkdir()
    torch.save(state, str(tmp_path / "base/coco.pth"))
    job = evaluate_job(trained.job, tmp_path, weights=tmp_path / "base")
    result = evaluate_checkpoint.run(job)
    (warning,) = result.warnings
    assert "6 of" in warning
    assert "bbox_head.rtm_cls.0" in warning
    assert read_record(tmp_path / "out/metrics.json", EvaluationMetrics).subject == "base"


def test_training_from_weights_starts_there(
    trained: Trained, dataset: Path, tmp_path: Path
) -> None:
    (tmp_path / "base").mkdir()
    source = trained.job.output / "last.pth"
    (tmp_path / "base/base.pth").write_bytes(source.read_bytes())
    overrides = {"optim_wrapper.optimizer.lr": 0.0}
    wanted = replace(PARAMETERS, overrides=overrides)
    job = train_job(tmp_path / "job", dataset, wanted, weights=tmp_path / "base")
    assert train.run(job).warnings == trained.result.warnings
    before, after = (
        load(str(path))["state_dict"]["backbone.stem.0.conv.weight"]
        for path in (source, job.output / "last.pth")
    )
    assert torch.equal(before, after)


def test_a_loss_that_is_no_number_stops_the_training(dataset: Path, tmp_path: Path) -> None:
    overrides = {"optim_wrapper.optimizer.lr": 1e9, "param_scheduler.0.start_factor": 1.0}
    with pytest.raises(StageError) as error:
        train.run(train_job(tmp_path, dataset, replace(PARAMETERS, epochs=3, overrides=overrides)))
    assert "NaN or infinite at iteration 2" in error.value.message
    assert "learning rate" in error.value.hint


def start(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mmdet_jetson.stages.train", str(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def test_a_killed_training_goes_on_from_its_newest_whole_checkpoint(
    dataset: Path, tmp_path: Path
) -> None:
    overrides = {"default_hooks.checkpoint.interval": 1, "train_cfg.val_interval": 1}
    job = train_job(tmp_path, dataset, replace(PARAMETERS, epochs=30, overrides=overrides))
    process = start(tmp_path)
    while not (job.work / "epoch_3.pth").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    newest = max(job.work.glob("epoch_*.pth"), key=lambda path: int(path.stem[6:]))
    # The kill may have hit while this one was written; make sure that it did.
    newest.write_bytes(newest.read_bytes()[:10_000])
    whole = int(newest.stem[6:]) - 1

    content = read_job(tmp_path)
    longer = {**content.parameters, "epochs": whole + 2}
    write_job(tmp_path, replace(content, parameters=longer))
    resumed = load_job(tmp_path)
    train.run(resumed)

    labels = [line.label for line in progress_of(resumed)]
    # Validation of the epoch that was saved, but perhaps not validated, comes first.
    assert labels[0].startswith(f"validating epoch {whole}/")
    assert labels[1] == f"epoch {whole + 1}/{whole + 2}"
    metrics = metrics_of(resumed)
    epochs = list(range(1, whole + 3))
    assert [entry["epoch"] for entry in metrics["curves"]["val"]] == epochs
    assert [point["epoch"] for point in metrics["curves"]["train"]] == epochs


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (replace(PARAMETERS, classes=("ellipse",)), "has the classes ellipse, rectangle"),
        (replace(PARAMETERS, classes=CLASSES[::-1]), "expects rectangle, ellipse"),
        (replace(PARAMETERS, device="cuda"), "there is no GPU that PyTorch can use"),
        (replace(PARAMETERS, config="configs/train/absent.py"), "no training config absent.py"),
        (replace(PARAMETERS, overrides={"model.typ": "x"}), 'the nearest is "type"'),
        (
            replace(PARAMETERS, overrides={"model.type": "NoNet"}),
            "cannot build the model of the training config: KeyError",
        ),
        (
            replace(PARAMETERS, overrides={"+train_dataloader.drop_last": True}, batch_size=9),
            "a batch has 9 pictures, the training split 4",
        ),
        (
            replace(PARAMETERS, overrides={"train_dataloader.dataset.filter_cfg.min_size": 65}),
            "none of the 4 training pictures",
        ),
        (
            replace(PARAMETERS, overrides={"train_dataloader.dataset.pipeline.3.type": "Albu"}),
            "rtmdet_tiny_demo.py cannot be used: TypeError: Albu: __init__() got an unexpected",
        ),
        (
            replace(PARAMETERS, overrides={"test_dataloader.dataset.pipeline.1.type": "NoStep"}),
            "NoStep is not in the",
        ),
        (
            replace(PARAMETERS, overrides={"val_dataloader.dataset.pipeline.3": {"type": "Fit"}}),
            "Fit is not in the",
        ),
        (
            replace(PARAMETERS, overrides={"visualizer.type": "NoVisualizer"}),
            "the visualizer of the training config is a NoVisualizer, which is not registered",
        ),
        (
            replace(PARAMETERS, overrides={"custom_hooks.0.type": "NoHook"}),
            "a hook in custom_hooks of the training config is a NoHook, which is not registered",
        ),
        (
            replace(PARAMETERS, overrides={"optim_wrapper.optimizer.type": "NoOptimizer"}),
            "the optimizer of optim_wrapper of the training config is a NoOptimizer, which",
        ),
        (
            replace(PARAMETERS, overrides={"train_dataloader.sampler.type": "NoSampler"}),
            "the sampler in train_dataloader of the training config is a NoSampler, which",
        ),
        (
            replace(PARAMETERS, overrides={"param_scheduler.0.type": "NoSchedule"}),
            "a param_scheduler of the training config is a NoSchedule, which is not",
        ),
        (
            replace(PARAMETERS, overrides={"val_dataloader.dataset.pipeline.3": UNPACKED}),
            "val_dataloader of the training config cannot prepare the validation picture 1.ppm: "
            "AssertionError: `flip` is not found",
        ),
        (
            replace(PARAMETERS, overrides={"train_dataloader.dataset.pipeline.3": UNPACKED}),
            "a picture cannot be prepared: PackDetInputs of the training config fails: Assertion",
        ),
        (replace(PARAMETERS, overrides={"+model.neck.colour": 1}), "CSPNeXtPAFPN: __init__() got"),
        (replace(PARAMETERS, overrides={"+load_from": "x.pth"}), "starts from x.pth (load_from)"),
        (replace(PARAMETERS, overrides={"+custom_imports.imports": "x"}), "changes custom_imports"),
    ],
)
def test_a_training_that_cannot_be_is_one_sentence(
    dataset: Path, tmp_path: Path, wanted: TrainParameters, sentence: str
) -> None:
    if wanted.device == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(StageError) as error:
        train.run(train_job(tmp_path, dataset, wanted))
    assert sentence in error.value.message
    assert "\n" not in error.value.message
    assert error.value.hint


OWN_MODULE = """
from mmcv.transforms import BaseTransform
from mmdet.models.backbones import CSPNeXt
from mmdet.registry import MODELS, TRANSFORMS

@MODELS.register_module()
class OwnBackbone(CSPNeXt):
    pass

@TRANSFORMS.register_module()
class Darker(BaseTransform):
    def transform(self, results):
        results["img"] = (results["img"] * 0.9).astype("uint8")
        return results
"""


def test_a_module_of_the_user_s_goes_with_the_checkpoint(dataset: Path, tmp_path: Path) -> None:
    """Also where each stage is a process of its own, which has only what it is handed."""
    project = tmp_path / "config"
    (project / "custom_imports").mkdir(parents=True)
    (project / "custom_imports/own_module.py").write_text(OWN_MODULE)
    (project / "mine.py").write_text(
        f"_base_ = {str(ROOT / PARAMETERS.config)!r}\n"
        "custom_imports = dict(imports=['own_module'], allow_failed_imports=False)\n"
        "model = dict(backbone=dict(type='OwnBackbone'))\n"
        "test_dataloader = dict(dataset=dict(pipeline=[\n"
        "    dict(type='mmdet.LoadImageFromFile'), dict(type='Darker'),\n"
        "    dict(type='mmdet.Resize', scale=(96, 96), keep_ratio=True),\n"
        "    dict(type='mmdet.Pad', size=(96, 96), pad_val=dict(img=(114, 114, 114))),\n"
        "    dict(type='mmdet.PackDetInputs')]))\n"
    )
    wanted = replace(PARAMETERS, config="mine.py")
    job = train_job(tmp_path / "job", dataset, wanted, config=project)
    process = start(tmp_path / "job")
    assert process.wait() == 0
    assert {path.name for path in job.output.iterdir()} >= {"config.py", "custom_imports"}
    assert [path.name for path in job.output.glob("custom_imports/*")] == ["own_module.py"]
    opens = (
        "import sys; from pathlib import Path;"
        "from mmdet_jetson.stages.checkpoints.trained_model import load_trained_model;"
        "print(type(load_trained_model(Path(sys.argv[1])).network.backbone).__name__)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", opens, str(job.output)]
    opened = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert opened.stdout.splitlines()[-1] == "OwnBackbone"


@pytest.mark.parametrize("norm", ["SyncBN", "MMSyncBN"])
def test_what_spans_processes_or_needs_a_gpu_trains_on_one_cpu(
    dataset: Path, tmp_path: Path, norm: str
) -> None:
    overrides = {
        "model.backbone.norm_cfg.type": norm,
        "optim_wrapper.type": "AmpOptimWrapper",
        "+optim_wrapper.loss_scale": "dynamic",
        "visualizer.vis_backends": [{"type": "WandbVisBackend"}],
    }
    result = train.run(train_job(tmp_path, dataset, replace(PARAMETERS, overrides=overrides)))
    assert [warning.split()[3] for warning in result.warnings[:2]] == ["asks", "without"]
    assert "SyncBatchNorm" not in str(load_trained_model(tmp_path / "output").network)


def test_without_annotations_to_validate_the_last_is_the_best(tmp_path: Path) -> None:
    write_split(tmp_path / "data", "train", 2)
    write_split(tmp_path / "data", "val", 1, annotated=False)
    result = train.run(train_job(tmp_path / "job", tmp_path / "data"))
    assert result.warnings[0].startswith("no validation picture has an annotation")
    assert result.metrics["AP"] is None


def test_memory_that_runs_out_is_one_sentence(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr("mmdet.models.detectors.SingleStageDetector.loss", exhausted)
    with pytest.raises(StageError, match="ran out of memory") as error:
        train.run(train_job(tmp_path, dataset))
    assert "train.batch_size (it was 4)" in error.value.hint


def test_a_bug_keeps_its_traceback(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("mmdet.models.detectors.SingleStageDetector.loss", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        train.run(train_job(tmp_path, dataset))


def test_a_part_that_cannot_be_built_is_one_sentence(dataset: Path, tmp_path: Path) -> None:
    overrides = {"optim_wrapper.optimizer.lr": "fast"}
    with pytest.raises(StageError, match="cannot build a part of the training config"):
        train.run(train_job(tmp_path, dataset, replace(PARAMETERS, overrides=overrides)))
