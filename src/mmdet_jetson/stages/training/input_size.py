"""A training config for another input size: every size in every pipeline keeps its proportion."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Dict, Sequence, Tuple

from mmengine import Config

from mmdet_jetson.contract.parameters.base import Size
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.training.mmdet_config import DATALOADERS

# Where transforms, wrapped datasets and the augmentation of batches keep sizes in pixels, as
# (width, height); what is otherwise is in `_Change.of_step`.
SIZE_KEYS = ("scale", "scales", "img_scale", "crop_size", "size", "border")
# A single number under these is both sides.
SIDE_KEYS = ("scale", "crop_size")
FIXED = ("width", "height")
RANGE_KEY = "random_size_range"


def input_size(config: Config) -> Size:
    """Give the (width, height) that the test pipeline resizes to.

    Raises:
        StageError: the test pipeline has no Resize to one size.
    """
    for step in config.test_dataloader.dataset.pipeline:
        scale = step.get("scale")
        if step["type"] == "Resize" and _is_size(scale):
            return int(scale[0]), int(scale[1])
    raise StageError(
        "the config's test pipeline has no Resize to one size, so its input size is unknown",
        "give test_dataloader.dataset.pipeline a Resize with scale=(width, height)",
    )


def set_input_size(config: Config, size: Size) -> Config:
    """Return the config for another input size.

    The 2x scale before a random crop stays 2x, a mosaic's border stays minus half, and so on.
    """
    before = input_size(config)
    if tuple(size) == before:
        return config
    change = _Change(before, size)
    parts = config.to_dict()
    for key in filter(_holds_pipelines, parts):
        parts[key] = change.of(parts[key])
    augments = parts["model"].get("data_preprocessor", {}).get("batch_augments")
    if augments:
        parts["model"]["data_preprocessor"]["batch_augments"] = change.of(augments)
    return Config(parts, filename=config.filename)


def _holds_pipelines(key: str) -> bool:
    return key in (*DATALOADERS, "custom_hooks") or "pipeline" in key


@dataclass(frozen=True)
class _Change:
    """From one input size to another, both of them (width, height)."""

    before: Size
    after: Size

    @property
    def ratio(self) -> Tuple[Fraction, Fraction]:
        return Fraction(self.after[0], self.before[0]), Fraction(self.after[1], self.before[1])

    def by_length(self, shorter_first: bool = False) -> Tuple[Fraction, Fraction]:
        """Give the ratio of the longer sides and that of the shorter."""
        longer, shorter = (Fraction(of(self.after), of(self.before)) for of in (max, min))
        return (shorter, longer) if shorter_first else (longer, shorter)

    def of(self, node: object) -> object:
        """Change all below a node."""
        if isinstance(node, dict):
            return self.of_step(node)
        if isinstance(node, (list, tuple)):
            children = [self.of(child) for child in node]
            if self.ratio[0] != self.ratio[1]:
                _pad_to_size(children)
            return type(node)(children)
        return node

    def of_step(self, step: Dict[str, object]) -> Dict[str, object]:
        """Change a transform's sizes, each as the class that reads it means it."""
        kind, crop = step.get("type"), str(step.get("crop_type"))
        ratio = self.ratio
        if kind == "BatchFixedSizePad":
            ratio = ratio[1], ratio[0]  # of (height, width)
        if crop == "absolute_range":
            ratio = (self.by_length()[1],) * 2  # of the least and the most that either side has
        any_order = bool(step.get("keep_ratio")) or kind == "BatchResize"
        changed = {}
        for key, value in step.items():
            if key in SIZE_KEYS and not crop.startswith("relative"):
                both = (value, value) if type(value) is int and key in SIDE_KEYS else value
                changed[key] = self._scaled(both, ratio, any_order=any_order)
            elif key == RANGE_KEY:
                changed[key] = self._heights(step)
            elif kind == "FixShapeResize" and key in FIXED and isinstance(value, int):
                changed[key] = round(value * ratio[FIXED.index(key)])
            else:
                changed[key] = self.of(value)
        return changed

    def _scaled(
        self, value: object, ratio: Tuple[Fraction, Fraction], *, any_order: bool
    ) -> object:
        if not isinstance(value, (list, tuple)):
            return value
        if not _is_size(value):
            return type(value)(self._scaled(each, ratio, any_order=any_order) for each in value)
        sides: Sequence[int] = value
        if any_order and self.ratio[0] != self.ratio[1] and sides[0] != sides[1]:
            # Where a picture's own ratio is kept, they are the most of its sides, in any order.
            is_upright = self.after[0] < self.after[1]
            sides, ratio = sorted(sides, reverse=not is_upright), self.by_length(is_upright)
        return type(value)(round(side * factor) for side, factor in zip(sides, ratio))

    def _heights(self, step: Dict[str, Any]) -> Tuple[int, int]:
        """Scale what BatchSyncRandomResize draws heights from, in multiples of its divisor.

        The width is what goes with the height, rounded down to a multiple: it must not be none.
        """
        width, height = self.after
        divisor = step.get("size_divisor", 32)
        least = divisor * math.ceil((height + divisor) / width if height > width else 1)
        low, high = (max(round(side * self.ratio[1]), least) for side in step[RANGE_KEY])
        return low, high


def _pad_to_size(steps: Sequence[object]) -> None:
    """Let a Pad to a square, behind a Resize to a size that is none any more, pad to that size."""
    size = None
    for step in steps:
        if isinstance(step, dict):
            size = step["scale"] if _is_size(step.get("scale")) else size
            if size and step.get("pad_to_square"):
                del step["pad_to_square"]
                step["size"] = size


def _is_size(value: object) -> bool:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return False
    return all(type(side) is int for side in value)
