"""Stage `check`: what a training is for can be made of its model, asked before the training.

The model of the training config, with random weights, goes through the code that will export the
trained one, for every target, and through the comparison of networks that a proof makes. A model
that is trained already goes through it itself, before it is measured. And every picture that an
engine will be shown has to fit into it. What was exported is kept: the stage `rehearse` makes
engines of it.
"""

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import List, Mapping, NamedTuple, Optional, Sequence, Tuple

from mmengine import Config

from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.contract.job import Result
from mmdet_jetson.contract.parameters.base import Size
from mmdet_jetson.contract.parameters.check import CheckParameters
from mmdet_jetson.contract.parameters.engine import SMALLEST_SIDE
from mmdet_jetson.contract.parameters.rehearse import SIZES, export_folder
from mmdet_jetson.contract.report import DOCUMENTED
from mmdet_jetson.stages.annotations.coco_file import CocoImage, read_split
from mmdet_jetson.stages.checkpoints.trained_model import TrainedModel, load_trained_model
from mmdet_jetson.stages.conversion.onnx_folder import write_onnx
from mmdet_jetson.stages.conversion.trained_preprocessing import (
    test_pipeline,
    trained_preprocessing,
)
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.graph import ONNX, read_graph
from mmdet_jetson.stages.inference.preprocessing import Preprocessing
from mmdet_jetson.stages.inference.size_classes import size_classes
from mmdet_jetson.stages.job import StageJob, main
from mmdet_jetson.stages.proving.networks import compare_files
from mmdet_jetson.stages.training.input_size import input_size
from mmdet_jetson.stages.training.torch_device import use_device
from mmdet_jetson.stages.training.untrained import untrained_config, write_untrained

NO_GRAPH = "train a one-stage detector with a dense head, as docs/detectors.md lists them"
NOT_COMPARED = (
    "set compare_documented = false below [export] in pipeline.toml: engines are then compared "
    "with PyTorch alone"
)


def run(job: StageJob[CheckParameters]) -> Result:
    """Write ``check.json``, or say what would fail after the training."""
    use_device(job.parameters.device)
    with TemporaryDirectory(dir=job.work) as folder:
        config, size, checkpoint, warnings = _subject(job, Path(folder))
        sizes = check_pictures(job.inputs["dataset"], config, size)
        check_sides(job.inputs["dataset"], job.parameters.largest)
        if job.parameters.model:
            write_untrained(config, checkpoint)
        description, exports = examine(job, checkpoint, Path(folder))
        for subject in job.parameters.kept:
            shutil.move(str(Path(folder, export_folder(subject))), str(job.output))
    content = {"model": description, "exports": exports, "pictures": len(sizes)}
    (job.output / "check.json").write_text(json.dumps(content, indent=1) + "\n")
    (job.output / SIZES).write_text(json.dumps(dict(size_classes(sizes)), indent=1) + "\n")
    metrics = {"exports": len(exports), "pictures": len(sizes)}
    return Result(metrics=metrics, warnings=tuple(warnings))


class _Subject(NamedTuple):
    """What is checked. The folder for its checkpoint is empty yet before a training."""

    config: Config
    size: Size
    checkpoint: Path
    warnings: List[str]


def _subject(job: StageJob[CheckParameters], scratch: Path) -> _Subject:
    steps, model = len(job.parameters.exports) + 1, job.parameters.model
    if model:
        job.progress(0, steps, "reading the training config")
        config, warnings = untrained_config(model, job, job.parameters.training)
        checkpoint = scratch / "checkpoint"
        checkpoint.mkdir()
        return _Subject(config, model.input_size, checkpoint, warnings)
    job.progress(0, steps, "reading the checkpoint")
    trained = load_trained_model(job.inputs["checkpoint"])
    return _Subject(trained.config, input_size(trained.config), job.inputs["checkpoint"], [])


def examine(job: StageJob[CheckParameters], checkpoint: Path, into: Path) -> Tuple[str, List[str]]:
    """Export the model in a folder with a checkpoint's files, trained or not, for every target.

    Returns its description, and what the exports are for: each is in a folder of its own in
    ``into``.

    Raises:
        StageError: one cannot be made, or its network cannot be compared with the documented one.
    """
    model = load_trained_model(checkpoint)
    exports = _check_exports(job, model, into)
    _compare_networks(job, exports, into)
    return model.description, exports


def check_pictures(dataset: Path, config: Config, size: Size) -> List[Size]:
    """Hold the sizes of a `dataset` artifact's pictures against the network; return them.

    ``size`` is (width, height) of its input. A split that is not there is none of an engine's.

    Raises:
        StageError: the test pipeline is none of an engine's, or a picture does not fit.
    """
    steps = test_pipeline(config, size)
    preprocessing = trained_preprocessing(steps, config.model.data_preprocessor, size)
    splits = [path for path in map(dataset.joinpath, ("val.json", "train.json")) if path.is_file()]
    images = {path.stem: read_split(path)["images"] for path in splits}
    for split, pictures in images.items():
        misfits = [(each, error) for each in pictures for error in _misfit(each, preprocessing)]
        if misfits:
            first, error = misfits[0]
            raise StageError(
                f"{len(misfits)} of {len(pictures)} pictures of the {split} split do not fit, "
                f"{first['file_name']} first: {error.message}",
                error.hint,
            )
    every = [each for pictures in images.values() for each in pictures]
    return [(each["width"], each["height"]) for each in every]


def check_sides(dataset: Path, largest: Mapping[str, int]) -> None:
    """Hold the validation pictures against how long a side engines take.

    ``largest`` has that by target.

    Raises:
        StageError: a picture is larger, or smaller than TensorRT's engines are built for.
    """
    pictures = read_split(dataset / "val.json")["images"]
    for target, most in largest.items():
        misfits = [
            each
            for each in pictures
            if max(each["width"], each["height"]) > most
            or min(each["width"], each["height"]) < SMALLEST_SIDE
        ]
        if misfits:
            first = misfits[0]
            raise StageError(
                f"{len(misfits)} of {len(pictures)} pictures of the val split do not fit the "
                f"engine for {target}, {first['file_name']} first: it has {first['width']}x"
                f"{first['height']} pixels, and a side may have {SMALLEST_SIDE} to {most}",
                f"set largest_picture of {target} in targets.toml, which costs memory, or its "
                'input to "letterboxed"; or scale such pictures first',
            )


def _misfit(picture: CocoImage, preprocessing: Preprocessing) -> List[StageError]:
    try:
        preprocessing.fitted_size(picture["width"], picture["height"])
    except StageError as error:
        return [error]
    return []


def _check_exports(job: StageJob[CheckParameters], model: TrainedModel, into: Path) -> List[str]:
    """Make every export, first those that engines are made of; return what they are for."""
    exports = sorted(job.parameters.exports.items(), key=lambda each: each[0] == DOCUMENTED)
    for step, (subject, _) in enumerate(exports, start=1):
        job.progress(step, len(exports) + 1, f"exporting for {subject}")
        error = _attempt(job, model, subject, into)
        if error:
            raise _refusal(job, model, subject, into, error) from error
    return [subject for subject, _ in exports]


def _attempt(
    job: StageJob[CheckParameters], model: TrainedModel, subject: str, into: Path
) -> Optional[StageError]:
    """Export for a target; return what would have ended the stage `export`."""
    wanted = job.parameters.exports[subject]
    deploy_configs = job.inputs[BACKENDS[wanted.backend].deploy_config]
    folder = into / export_folder(subject)
    folder.mkdir()
    try:
        write_onnx(model, wanted, deploy_configs, folder)
    except StageError as error:
        return error
    return None


def _compare_networks(job: StageJob[CheckParameters], exports: Sequence[str], into: Path) -> None:
    """Compare fused graphs with the documented one, as proofs will; what differs is theirs to say.

    Raises:
        StageError: they cannot be compared.
    """
    documented = into / export_folder(DOCUMENTED)
    fused = [each for each in exports if job.parameters.exports[each].fused]
    for subject in fused if DOCUMENTED in exports else ():
        folder = into / export_folder(subject)
        compare_files(documented / ONNX, folder / ONNX, read_graph(folder).folded)


def _refusal(
    job: StageJob[CheckParameters],
    model: TrainedModel,
    subject: str,
    into: Path,
    error: StageError,
) -> StageError:
    """Say what would have failed, and what to do about it."""
    if subject == DOCUMENTED:
        what, hint = "the documented graph, which engines are compared with,", NOT_COMPARED
    else:
        what, hint = f"an engine for {subject}", error.hint
        known = DOCUMENTED in job.parameters.exports
        if known and DOCUMENTED in hint and _attempt(job, model, DOCUMENTED, into):
            hint = NO_GRAPH  # what the hint says would fail, too
    return StageError(f"{what} could not be made after this training: {error.message}", hint)


if __name__ == "__main__":
    main(run, CheckParameters)
