"""Weights in a file: opened with suspicion, matched with a model, published slim."""

import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

import torch
from torch import nn

from mmdet_jetson.stages.checkpoints.checkpoint_file import ADVICE, read_checkpoint
from mmdet_jetson.stages.errors import StageError

StateDict = Dict[str, torch.Tensor]

# Below this share of a model's numbers, the file belongs to another model.
ENOUGH = 0.5
# Every BatchNorm counts its batches; older files lack the counters, which nothing depends on.
COUNTER = "num_batches_tracked"
# Metadata that MMDetection and a reader use; the rest is paths and times of one machine's run.
KEPT_META = ("dataset_meta", "epoch", "iter", "mmengine_version", "seed")
# What is trained by itself, on ImageNet, and published alone, with this prefix or without one.
BACKBONE = "backbone."


@dataclass(frozen=True)
class MatchedWeights:
    """The tensors of a file that have the names and shapes of a model's.

    ``missing`` are the model's others, ``unknown`` the file's; ``total`` is how many the model has,
    and ``share`` how many of its numbers are matched, from 0 to 1.
    """

    weights: StateDict
    missing: Tuple[str, ...]
    unknown: Tuple[str, ...]
    total: int
    share: float

    def check_complete(self) -> None:
        """Refuse a checkpoint with any weight more or less than its own model has.

        Raises:
            StageError: there is one; the sentence names the first.
        """
        wrong = (*self.missing, *self.unknown)
        if wrong:
            raise StageError(
                f"best.pth does not match config.py: {len(wrong)} of {self.total} weights are "
                f"missing, have another shape or belong to no layer; the first is {wrong[0]}",
                "train again",
            )

    def check_related(self, name: str) -> None:
        """Refuse a file, ``name``, that has less than half of the model, and no whole backbone.

        Raises:
            StageError: it is another model's.
        """
        if self.share < ENOUGH and BACKBONE[:-1] not in self._whole_parts:
            raise StageError(
                f"the weights {name} belong to another model: they have only {self.share:.0%} of "
                "the numbers that the training config's model needs, and no whole backbone of it",
                "choose weights of the same architecture and size as train.config",
            )

    def warnings(self, name: str) -> List[str]:
        """Say which layers start from random values because ``name`` lacks them, if any.

        Of a part of the model that ``name`` has nothing of, only the part is named.
        """
        missing = self._missing
        if not missing:
            return []
        begun = {_part(key) for key in self.weights}
        layers = {key.rpartition(".")[0] if _part(key) in begun else _part(key) for key in missing}
        lacks_parts = any(_part(key) not in begun for key in missing)
        whole = f"{name} has all of {listed(self._whole_parts)}; " if lacks_parts else ""
        return [
            f"{whole}{len(missing)} of {self.total} weights are not in {name} or have another "
            f"shape there, so they start from random values: {listed(sorted(layers))}"
        ]

    @property
    def _missing(self) -> List[str]:
        return [key for key in self.missing if not key.endswith(COUNTER)]

    @property
    def _whole_parts(self) -> List[str]:
        """The parts of the model (backbone, neck, head) that lack nothing."""
        return sorted({_part(key) for key in self.weights} - {_part(key) for key in self._missing})


def find_weights(folder: Path) -> Path:
    """Find the one weights file of an input folder.

    Raises:
        StageError: there is none, or more than one.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file())
    if len(files) != 1:
        raise StageError(f"the weights folder holds {len(files)} files, not one", ADVICE)
    return files[0]


def read_weights(path: Path, advice: str = ADVICE) -> StateDict:
    """Read the tensors of a checkpoint, as MMEngine or plain ``torch.save`` wrote them.

    ``advice`` is what to try where that fails.

    Raises:
        StageError: the file is missing or damaged, holds no tensors, or wants to run something.
    """
    return tensors_of(read_checkpoint(path, advice), path.name, advice)


def tensors_of(content: object, name: str, advice: str = ADVICE) -> StateDict:
    """Give the tensors of what was read of a checkpoint that is called ``name``.

    Raises:
        StageError: there are none, or some that are no numbers.
    """
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    tensors = _tensors(state)
    if not tensors:
        elsewhere = [key for key, value in _items(content) if _tensors(value)]
        if elsewhere:
            raise StageError(
                f"the weights {name} have their tensors below {elsewhere[0]!r}, where nothing "
                "looks for them",
                f"save them again: torch.save({{'state_dict': content[{elsewhere[0]!r}]}}, path)",
            )
        raise StageError(
            f"the weights {name} hold no tensors: they are a {type(content).__name__}, "
            "not a checkpoint",
            advice,
        )
    _check_finite(tensors, name, advice)
    return tensors


def _items(content: object) -> Iterable[Tuple[object, object]]:
    return content.items() if isinstance(content, dict) else ()


def _check_finite(tensors: StateDict, name: str, advice: str) -> None:
    for key, value in tensors.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise StageError(f"the weights {name} have values in {key} that are no numbers", advice)


def _tensors(state: object) -> StateDict:
    if not isinstance(state, dict):
        return {}
    # Data-parallel training writes a prefix before every name.
    return {
        str(name)[len("module.") :] if str(name).startswith("module.") else str(name): value
        for name, value in state.items()
        if isinstance(value, torch.Tensor)
    }


def match_weights(model: nn.Module, found: StateDict) -> MatchedWeights:
    """Take the tensors that have a model's names and shapes.

    Those of a classifier are its backbone's without the prefix; they are given it.
    """
    wanted: StateDict = model.state_dict()
    matching, of_backbone = _matching(wanted, found), {BACKBONE + key: found[key] for key in found}
    if _numbers(_matching(wanted, of_backbone)) > _numbers(matching):
        matching, found = _matching(wanted, of_backbone), of_backbone
    return MatchedWeights(
        weights=matching,
        missing=tuple(key for key in wanted if key not in matching),
        unknown=tuple(key for key in found if key not in wanted),
        total=len(wanted),
        share=_numbers(matching) / max(1, _numbers(wanted)),
    )


def _matching(wanted: StateDict, found: StateDict) -> StateDict:
    return {
        key: found[key]
        for key, value in wanted.items()
        if key in found and _fits(found[key], value)
    }


def _fits(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    """Tell whether a tensor has another's shape, and fractions or whole numbers as it has.

    Half precision becomes single; whole numbers, truth values and imaginary parts become nothing.
    """
    kinds = {found.is_floating_point(), wanted.is_floating_point()}
    return found.shape == wanted.shape and len(kinds) == 1 and not found.is_complex()


def _part(key: str) -> str:
    return key.partition(".")[0]


def _numbers(state: Mapping[str, torch.Tensor]) -> int:
    return sum(value.numel() for value in state.values())


def publish(source: Path, target: Path) -> int:
    """Copy a training checkpoint, leaving what only a resumed training needs.

    ``state_dict`` holds the averaged weights where the config has an EMAHook: MMEngine puts them
    there when it saves. The optimizer, the raw weights beside the average and the history go; what
    is left is what MMDetection's ``init_detector`` reads, the class names included.

    Returns:
        The epoch that it was saved after.
    """
    # Written a moment ago: whatever a hook put beside the weights, no training is lost for it.
    content: Any = read_checkpoint(source, strict=False)
    meta = {key: value for key, value in content["meta"].items() if key in KEPT_META}
    save({"meta": meta, "state_dict": content["state_dict"]}, target)
    return int(meta["epoch"])


def save(content: Mapping[str, object], path: Path) -> None:
    """Write a checkpoint through memory: ``torch.save`` hides a full disk in another error."""
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    path.write_bytes(buffer.getvalue())


def opens(path: Path) -> bool:
    """Tell whether a training checkpoint is whole: a killed run can leave half of one."""
    try:
        content = read_checkpoint(path)
    except StageError as error:
        print(f"not resumed from: {error.message}", file=sys.stderr)
        return False
    return isinstance(content, dict) and {"state_dict", "optimizer", "meta"} <= content.keys()


def newest_whole(folder: Path) -> Optional[Path]:
    """Give the newest epoch's checkpoint in ``folder`` that opens, if there is one."""
    epochs = sorted(folder.glob("epoch_*.pth"), key=_epoch, reverse=True)
    return next((path for path in epochs if opens(path)), None)


def _epoch(path: Path) -> int:
    digits = path.stem.rpartition("_")[2]
    return int(digits) if digits.isdigit() else -1


def listed(names: Sequence[str], shown: int = 3) -> str:
    """Name the first few, and count the others."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
