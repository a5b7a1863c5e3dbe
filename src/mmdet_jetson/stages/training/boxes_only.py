"""A training here learns boxes: a config that asks for more is refused before it is trained with.

What the stage `dataset` writes has an outline for every object, which may be that of its box, and
no class for every pixel.
"""

from typing import Iterator

from mmdet.models.dense_heads import RTMDetInsHead
from mmdet.registry import MODELS
from mmengine import Config

from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.training.mmdet_config import owners

MASK_HEADS = ("mask_head", "panoptic_head")
LOADED = {"with_mask": "masks", "with_seg": "semantic segmentation"}
"""Options of MMDetection's LoadAnnotations, and what each of them loads besides boxes."""
TRAINED_ON = ("train_dataloader", "custom_hooks")


def check_boxes_only(config: Config, name: str) -> None:
    """Refuse a model of masks, and pictures that come with more than boxes.

    Some detectors of boxes compute with masks that are loaded, and cannot with these. ``name`` is
    what a sentence calls the config.

    Raises:
        StageError: says which part of the config asks for more.
    """
    for head in mask_heads(config):
        raise segmentation(name, f"{head} of its model")
    for part in TRAINED_ON:
        for option, what in LOADED.items():
            for step in owners(config.get(part), option):
                if step[option]:
                    raise StageError(
                        f"{step.get('type')} in {part} of {name} loads {what} ({option}), but a "
                        "training here learns boxes only",
                        f"set {option}=False in the config",
                    )


def segmentation(name: str, place: str) -> StageError:
    """Say that a config is one for instance segmentation, and which ``place`` in it tells so."""
    return StageError(
        f"{name} is one for instance segmentation ({place}), but a training here learns boxes only",
        "use the same detector's config for boxes, such as rtmdet_tiny for rtmdet-ins_tiny",
    )


def mask_heads(config: Config) -> Iterator[str]:
    """Name what of a model makes masks."""
    for key in MASK_HEADS:
        for owner in owners(config.model, key):
            if owner[key]:
                yield key
    head = config.model.get("bbox_head")
    kind = MODELS.get(head.get("type") or "") if isinstance(head, dict) else None
    if isinstance(kind, type) and issubclass(kind, RTMDetInsHead):
        yield "bbox_head"
