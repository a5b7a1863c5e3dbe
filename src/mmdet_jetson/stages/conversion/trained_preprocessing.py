"""The preprocessing that training evaluated with, carried into MMDeploy's pipeline.json.

With a static input MMDeploy 1.0.0 turns every Resize into a stretch (``keep_ratio`` off), whatever
the network was trained on. Here the test pipeline decides, and the written file is read back.

Most of MMDetection's test pipelines have no Pad: the model's data_preprocessor normalises a picture
and pads it then, to a multiple of a number. An engine has one size, so there it pads to that, with
the same value.
"""

import json
from dataclasses import fields
from pathlib import Path
from typing import List, Sequence, Union

from mmengine import Config, ConfigDict
from torch import Tensor
from torch.nn import functional

from mmdet_jetson.contract.parameters.base import Size
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.pipeline_json import (
    Pipeline,
    Triple,
    fixed_option_broken,
    transforms_of,
)
from mmdet_jetson.stages.inference.preprocessing import Preprocessing

TRANSFORMS = ("LoadImageFromFile", "Resize", "Pad", "LoadAnnotations", "PackDetInputs")
ADVICE = "change the test pipeline of the training config"


def test_pipeline(config: Config, size: Size) -> List[ConfigDict]:
    """Give the config's test pipeline, ending at the input ``size`` (width, height).

    A Pad to a square or to a multiple becomes a Pad to ``size``: an engine has no other. Without a
    Pad it is for `padded_input` to reach ``size``.

    Raises:
        StageError: a transform that has no counterpart in an engine's preprocessing.
    """
    steps = [ConfigDict(step) for step in config.test_dataloader.dataset.pipeline]
    for step in steps:
        step.pop("_scope_", None)
        if step.type not in TRANSFORMS:
            raise StageError(
                f"the test pipeline has a {step.type}, which an engine cannot perform", ADVICE
            )
        wrong = fixed_option_broken(step)
        if wrong:
            raise StageError(f"the test pipeline's {wrong}", ADVICE)
        if step.type == "Resize":
            step.scale = size
        if step.type == "Pad":
            step.pop("pad_to_square", None)
            step.pop("size_divisor", None)
            step.size = size
    kinds = [step.type for step in steps]
    if [kind for kind in kinds if kind in ("Resize", "Pad")] not in (["Resize"], ["Resize", "Pad"]):
        raise StageError(
            "the test pipeline needs one Resize, and behind it at most one Pad", ADVICE
        )
    return steps


def trained_preprocessing(
    steps: List[ConfigDict], data_preprocessor: ConfigDict, size: Size
) -> Preprocessing:
    """Say what a test pipeline and a model's data_preprocessor do to a picture.

    Raises:
        StageError: the data_preprocessor pads pictures of ``size``, too, or has values that are
            none for three channels.
    """
    if not isinstance(data_preprocessor, dict):
        raise StageError(
            "the model has no data_preprocessor, so nothing says how pictures are normalised",
            "give it a DetDataPreprocessor, as MMDetection's own configs do",
        )
    _check_divisor(data_preprocessor.get("pad_size_divisor") or 1, size)
    by_type = {step.type: step for step in steps}
    keep_ratio = by_type["Resize"].get("keep_ratio", False)
    pads_normalized = keep_ratio and "Pad" not in by_type
    pad = by_type.get("Pad", {}).get("pad_val", 0)
    pad = pad.get("img", 0) if isinstance(pad, dict) else pad
    if pads_normalized:
        pad = data_preprocessor.get("pad_value", 0)
    return Preprocessing(
        input_size=size,
        keep_ratio=keep_ratio,
        pad_value=_by_channel(pad, "padding"),
        mean=_by_channel(data_preprocessor.get("mean") or 0, "mean"),
        std=_deviation(data_preprocessor.get("std") or 1),
        to_rgb=any(data_preprocessor.get(key, False) for key in ("bgr_to_rgb", "rgb_to_bgr")),
        pads_normalized=pads_normalized,
    )


def _check_divisor(divisor: int, size: Size) -> None:
    if any(side % divisor for side in size):
        width, height = (max(1, round(side / divisor)) * divisor for side in size)
        raise StageError(
            f"the input size {size[0]}x{size[1]} is not a multiple of {divisor} in both "
            "directions, to which the model's data_preprocessor pads (pad_size_divisor)",
            f"try {width}x{height}: set input_size",
        )


def padded_input(batch: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Pad what a data_preprocessor made, [batch, 3, height, width], to the size of an engine.

    It pads to a multiple of its divisor itself; a test pipeline with a Pad leaves nothing to do.
    """
    if not preprocessing.pads_normalized:
        return batch
    height, width = batch.shape[2:]
    right, below = preprocessing.input_size[0] - width, preprocessing.input_size[1] - height
    return functional.pad(batch, (0, right, 0, below), value=preprocessing.pad_value[0])


def _by_channel(value: Union[float, Sequence[float]], name: str) -> Triple:
    channels = [value] * 3 if isinstance(value, (int, float)) else value
    try:
        first, second, third = map(float, channels)
    except (TypeError, ValueError) as error:
        raise StageError(
            f"the {name} of pictures is {value!r}, which is not one number for each of 3 channels",
            "compare the model's data_preprocessor, and the test pipeline, with MMDetection's own",
        ) from error
    return first, second, third


def _deviation(value: Union[float, Sequence[float]]) -> Triple:
    std = _by_channel(value, "std")
    if not min(std) > 0:
        raise StageError(
            f"the std of pictures is {value!r}, but each channel is divided by its own",
            "compare the model's data_preprocessor with MMDetection's own",
        )
    return std


def mend_pipeline(path: Path, trained: Preprocessing) -> None:
    """Rewrite the preprocessing of a pipeline.json to what training used.

    The SDK reads a Pad's size as (height, width), where MMDetection writes (width, height). The one
    that MMDeploy writes behind Normalize stands for the data_preprocessor's.
    """
    content: Pipeline = json.loads(path.read_text())
    width, height = trained.input_size
    for transform in transforms_of(content):
        if trained.pads_normalized and transform["type"] == "Pad":
            transform.pop("size_divisor")
            transform["size"] = [height, width]
            transform["pad_val"] = trained.pad_value[0]
        if transform["type"] == "Resize":
            transform["size"] = [width, height]
            transform["keep_ratio"] = trained.keep_ratio
        if transform["type"] == "Pad" and "size" in transform:
            transform["size"] = [height, width]
        if transform["type"] == "Collect":
            # MMDeploy writes a set, in an order that changes from run to run.
            transform["meta_keys"] = sorted(transform["meta_keys"])
    path.write_text(json.dumps(content, indent=4) + "\n")


def check_pipeline(path: Path, trained: Preprocessing) -> None:
    """Compare a pipeline.json, as it lies on the disk, with what training used.

    Raises:
        StageError: a field differs; the sentence names the fields with both values.
    """
    written = Preprocessing.read(path, trained.input_size)
    differences = [
        f"{field.name} is {getattr(written, field.name)!r}, not {getattr(trained, field.name)!r}"
        for field in fields(Preprocessing)
        if getattr(written, field.name) != getattr(trained, field.name)
    ]
    if differences:
        raise StageError(
            "pipeline.json does not preprocess as training did: " + "; ".join(differences),
            "an engine with it would lose accuracy; " + ADVICE,
        )
