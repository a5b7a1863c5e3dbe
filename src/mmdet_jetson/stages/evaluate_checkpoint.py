"""Stage `evaluate_checkpoint`: the COCO figures of PyTorch weights, before or after training.

The pictures take the config's own test pipeline, one at a time, and end at the one size that an
engine of it will have. Where MMDetection's own validation pads to a multiple of 32 only, they are
padded to the whole size here: what is deployed is what is measured.
"""

from pathlib import Path
from typing import Dict, List, Tuple

import mmcv
import mmdet
import torch
from mmengine import Config
from mmengine.dataset import Compose
from mmengine.runner import set_random_seed
from torch import nn

from mmdet_jetson.contract.job import Result
from mmdet_jetson.contract.parameters.evaluate import EvaluateCheckpointParameters
from mmdet_jetson.stages.checkpoints.checkpoint_file import only_tensors
from mmdet_jetson.stages.checkpoints.models import build_model, ready_to_detect
from mmdet_jetson.stages.checkpoints.trained_model import classes_of, load_trained_model
from mmdet_jetson.stages.checkpoints.weights import find_weights, match_weights, read_weights
from mmdet_jetson.stages.conversion.trained_preprocessing import (
    padded_input,
    test_pipeline,
    trained_preprocessing,
)
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.evaluation.analysis import Wish, analyse
from mmdet_jetson.stages.evaluation.evaluation import (
    Described,
    Detect,
    Validation,
    evaluate,
    write_evaluation,
    write_pictures,
)
from mmdet_jetson.stages.inference.boxes import Detection, clip_boxes
from mmdet_jetson.stages.inference.preprocessing import Preprocessing
from mmdet_jetson.stages.job import StageJob, main
from mmdet_jetson.stages.training.configuring import BUILD_ADVICE
from mmdet_jetson.stages.training.input_size import input_size
from mmdet_jetson.stages.training.torch_device import use_device
from mmdet_jetson.stages.training.untrained import untrained_config

# What the base's class layers are drawn from, where its classes are others.
SEED = 0


def run(job: StageJob[EvaluateCheckpointParameters]) -> Result:
    """Detect on every validation picture, then judge, write and draw."""
    device = use_device(job.parameters.device)
    config, model, warnings = _subject(job)
    validation = Validation.read(job.inputs["dataset"])
    _check_classes(classes_of(config), validation.classes)
    found = evaluate(job, validation, detector(model.to(device), config))
    folder = job.output
    described = Described(job.parameters.subject, job.evidence, _preprocessing(config))
    figures = write_evaluation(folder, validation, found, described)
    drawing = job.parameters.drawing
    write_pictures(folder, validation, found, drawing, "output_pytorch.jpg")
    wish = Wish(job.parameters.precision, otherwise=drawing.draw_threshold)
    warnings += analyse(folder, validation, found, described, wish)
    return Result(metrics=figures.figures, facts=_facts(device), warnings=tuple(warnings))


def _subject(job: StageJob[EvaluateCheckpointParameters]) -> Tuple[Config, nn.Module, List[str]]:
    """Give what is evaluated: its config, the model, and warnings."""
    model = job.parameters.model
    if model is None:
        trained = load_trained_model(job.inputs["checkpoint"])
        return trained.config, trained.network, []
    config, _ = untrained_config(model, job)
    return (config, *load_base(config, find_weights(job.inputs["weights"])))


def load_base(config: Config, path: Path) -> Tuple[nn.Module, List[str]]:
    """Build the config's model with the weights before the training; return it with warnings.

    Layers that the file does not match, such as those of other classes, start from the same random
    numbers in every run.

    Raises:
        StageError: the file is no checkpoint, or one of another model.
    """
    set_random_seed(SEED)
    model = build_model(config, "the training config", BUILD_ADVICE)
    with only_tensors():
        model.init_weights()
    matched = match_weights(model, read_weights(path))
    matched.check_related(path.name)
    return ready_to_detect(model, matched.weights), matched.warnings(path.name)


def detector(model: nn.Module, config: Config) -> Detect:
    """Give a function from a picture's file to its detections, in pixels of that picture.

    Boxes end at the picture's borders, as those of an engine do.

    Raises:
        StageError: the test pipeline is none that an engine can have. The function raises it for a
            picture that does not fit into the engine.
    """
    # A GPU may else round what it multiplies to 10 bits behind the point, which no engine in FP32
    # does that is compared with this. PyTorch 1.11 lets both by default.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    size = input_size(config)
    prepare = Compose(test_pipeline(config, size))
    preprocessing = _preprocessing(config)

    def detect(path: Path) -> List[Detection]:
        packed = prepare({"img_path": str(path), "img_id": 0})
        sample = packed["data_samples"]
        if preprocessing.pads_normalized:
            preprocessing.fitted_size(*sample.ori_shape[::-1])
        batch = {"inputs": [packed["inputs"]], "data_samples": [sample]}
        with torch.no_grad():
            data = model.data_preprocessor(batch, False)
            data["inputs"] = padded_input(data["inputs"], preprocessing)
            sample = model(**data, mode="predict")[0]
        height, width = sample.ori_shape
        found = sample.pred_instances.cpu()
        boxes, covers = clip_boxes(found.bboxes.numpy(), (width, height))
        rows = zip(
            boxes[covers].tolist(), *(found[k][covers].tolist() for k in ("scores", "labels"))
        )
        return [Detection(tuple(box), score, label) for box, score, label in rows]

    return detect


def _check_classes(trained: Tuple[str, ...], validation: Tuple[str, ...]) -> None:
    if trained != validation:
        raise StageError(
            f"the checkpoint detects {', '.join(trained)}, "
            f"but the dataset has {', '.join(validation)}",
            "train with the classes of this dataset",
        )


def _preprocessing(config: Config) -> Preprocessing:
    size = input_size(config)
    steps = test_pipeline(config, size)
    return trained_preprocessing(steps, config.model.data_preprocessor, size)


def _facts(device: str) -> Dict[str, str]:
    return {
        "device": device,
        "torch": torch.__version__,
        "mmcv": mmcv.__version__,
        "mmdet": mmdet.__version__,
    }


if __name__ == "__main__":
    main(run, EvaluateCheckpointParameters)
