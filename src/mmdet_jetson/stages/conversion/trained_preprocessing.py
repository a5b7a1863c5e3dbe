"""The preprocessing that training evaluated with, carried into MMDeploy's pipeline.json.

With a static input MMDeploy 1.0.0 turns every Resize into a stretch (``keep_ratio`` off), whatever
the network was trained on. Here the test pipeline decides, and the written file is read back.
"""

import json
from dataclasses import fields
from pathlib import Path
from typing import List, Sequence, Union

from mmengine import Config, ConfigDict

from mmdet_jetson.contract.parameters.base import Size
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.preprocessing import (
    Pipeline,
    Preprocessing,
    Triple,
    transforms_of,
)

TRANSFORMS = ("LoadImageFromFile", "Resize", "Pad", "LoadAnnotations", "PackDetInputs")
ADVICE = "change the test pipeline of the training config and train again"


def test_pipeline(config: Config, size: Size) -> List[ConfigDict]:
    """Give the config's test pipeline, ending at the input ``size`` (width, height).

    A Pad to a square or to a multiple becomes a Pad to ``size``: an engine has no other.

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
        if step.type == "Resize":
            step.scale = size
        if step.type == "Pad":
            step.pop("pad_to_square", None)
            step.pop("size_divisor", None)
            step.size = size
    _check_fixed_size(steps)
    return steps


def _check_fixed_size(steps: List[ConfigDict]) -> None:
    kinds = [step.type for step in steps]
    if kinds.count("Resize") != 1 or kinds.count("Pad") > 1:
        raise StageError("the test pipeline needs one Resize and at most one Pad", ADVICE)
    resize = steps[kinds.index("Resize")]
    if resize.get("keep_ratio", False) and "Pad" not in kinds:
        raise StageError(
            "the test pipeline keeps the aspect ratio but has no Pad, so pictures differ in size",
            "add a Pad after its Resize and train again",
        )


def trained_preprocessing(
    steps: List[ConfigDict], data_preprocessor: ConfigDict, size: Size
) -> Preprocessing:
    """Say what a test pipeline and a model's data_preprocessor do to a picture."""
    by_type = {step.type: step for step in steps}
    pad = by_type.get("Pad", {}).get("pad_val", 0)
    pad = pad.get("img", 0) if isinstance(pad, dict) else pad
    return Preprocessing(
        input_size=size,
        keep_ratio=by_type["Resize"].get("keep_ratio", False),
        pad_value=_by_channel(pad),
        mean=_by_channel(data_preprocessor.get("mean") or 0),
        std=_by_channel(data_preprocessor.get("std") or 1),
        to_rgb=any(data_preprocessor.get(key, False) for key in ("bgr_to_rgb", "rgb_to_bgr")),
    )


def _by_channel(value: Union[float, Sequence[float]]) -> Triple:
    channels = [value] * 3 if isinstance(value, (int, float)) else value
    first, second, third = map(float, channels)
    return first, second, third


def mend_pipeline(path: Path, trained: Preprocessing) -> None:
    """Rewrite the preprocessing of a pipeline.json to what training used.

    The SDK reads a Pad's size as (height, width), where MMDetection writes (width, height).
    """
    content: Pipeline = json.loads(path.read_text())
    width, height = trained.input_size
    for transform in transforms_of(content):
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
