"""Stage `evaluate_checkpoint`: the COCO figures of PyTorch weights, before or after training.

The pictures take the config's own test pipeline, one at a time: what an engine of it will do too.
"""

from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import mmcv
import mmdet
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine import Config
from mmengine.dataset import Compose
from mmengine.model import revert_sync_batchnorm
from mmengine.runner import set_random_seed

from mmdet_jetson.contract.job import Result
from mmdet_jetson.contract.parameters.evaluate import EvaluateCheckpointParameters
from mmdet_jetson.stages.checkpoints.trained_model import load_trained_model
from mmdet_jetson.stages.checkpoints.weights import find_weights, fit_weights, read_weights
from mmdet_jetson.stages.conversion.trained_preprocessing import trained_preprocessing
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.evaluation.evaluation import (
    Described,
    Validation,
    evaluate,
    write_evaluation,
    write_pictures,
)
from mmdet_jetson.stages.inference.boxes import Detection, clip_boxes
from mmdet_jetson.stages.inference.preprocessing import Preprocessing
from mmdet_jetson.stages.job import StageJob, main
from mmdet_jetson.stages.training.mmdet_config import input_size
from mmdet_jetson.stages.training.torch_device import use_device

# What the base's class layers are drawn from, where its classes are others.
SEED = 0


def run(job: StageJob[EvaluateCheckpointParameters]) -> Result:
    """Detect on every validation picture, then judge, write and draw."""
    device = use_device(job.parameters.device)
    trained = load_trained_model(job.inputs["checkpoint"])
    validation = Validation.read(job.inputs["dataset"])
    _check_classes(trained.classes, validation.classes)
    of_base = job.parameters.subject == "base"
    weights = find_weights(job.inputs["weights"]) if of_base else trained.weights
    model, warnings = load_model(trained.config, weights)
    found = evaluate(job, validation, detector(model.to(device), trained.config))
    folder = job.output
    described = Described(job.parameters.subject, job.evidence, _preprocessing(trained.config))
    figures = write_evaluation(folder, validation, found, described)
    write_pictures(folder, validation, found, job.parameters.drawing, "output_pytorch.jpg")
    return Result(metrics=figures.figures, facts=_facts(device), warnings=tuple(warnings))


def load_model(config: Config, path: Path) -> Tuple[torch.nn.Module, List[str]]:
    """Build the config's model with the weights of a file; return it with warnings.

    Layers that the file does not fit, such as those of other classes, start from the same random
    numbers in every run.

    Raises:
        StageError: the file is no checkpoint, or one of another model.
    """
    register_all_modules()
    set_random_seed(SEED)
    model = MODELS.build(config.model)
    model.init_weights()
    fit = fit_weights(model, read_weights(path), path.name)
    model.load_state_dict(fit.weights, strict=False)
    # The batch norm that spans several GPUs does not run on a CPU.
    return revert_sync_batchnorm(model).eval(), fit.warning(path.name)


def detector(model: Any, config: Config) -> Callable[[Path], List[Detection]]:
    """Give a function from a picture's file to its detections, in pixels of that picture.

    Boxes end at the picture's borders, as those of an engine do.
    """
    prepare = Compose(config.test_dataloader.dataset.pipeline)

    def detect(path: Path) -> List[Detection]:
        packed = prepare({"img_path": str(path), "img_id": 0})
        batch = {"inputs": [packed["inputs"]], "data_samples": [packed["data_samples"]]}
        with torch.no_grad():
            sample = model.test_step(batch)[0]
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
    steps = config.test_dataloader.dataset.pipeline
    return trained_preprocessing(steps, config.model.data_preprocessor, input_size(config))


def _facts(device: str) -> Dict[str, str]:
    return {
        "device": device,
        "torch": torch.__version__,
        "mmcv": mmcv.__version__,
        "mmdet": mmdet.__version__,
    }


if __name__ == "__main__":
    main(run, EvaluateCheckpointParameters)
