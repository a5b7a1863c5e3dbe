"""Weights in a file: open them with suspicion, fit them to a model, publish them slim."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

import torch

from mmdet_jetson.stages.errors import StageError

StateDict = Dict[str, torch.Tensor]

# Below this share of a model's numbers, the file belongs to another model.
ENOUGH = 0.5
HINT = "check train.weights, or leave it out to start from random numbers"
# Metadata that MMDetection and a reader use; the rest is paths and times of one machine's run.
KEPT_META = ("dataset_meta", "epoch", "iter", "mmengine_version", "seed")


@dataclass(frozen=True)
class Fit:
    """What of a file fits a model: ``weights`` do, the model's ``strangers`` are not in it."""

    weights: StateDict
    strangers: Tuple[str, ...]
    total: int

    def warning(self, name: str) -> List[str]:
        """Say which parts start from random numbers, if any."""
        if not self.strangers:
            return []
        layers = sorted({key.rpartition(".")[0] for key in self.strangers})
        return [
            f"{len(self.strangers)} of {self.total} weights are not in {name} or have another "
            f"shape there, so they start from random numbers: {_listed(layers)}"
        ]


def find_weights(folder: Path) -> Path:
    """Find the one weights file of an input folder.

    Raises:
        StageError: there is none, or more than one.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file())
    if len(files) != 1:
        raise StageError(f"the weights folder holds {len(files)} files, not one", HINT)
    return files[0]


def read_weights(path: Path) -> StateDict:
    """Read the tensors of a checkpoint, as MMEngine or plain ``torch.save`` wrote them.

    Raises:
        StageError: the file is not a checkpoint, is damaged, or holds no tensors.
    """
    try:
        content = torch.load(str(path), map_location="cpu")
    except Exception as error:  # a damaged pickle can raise anything
        raise StageError(f"the weights {path.name} {_defect(path)}", HINT) from error
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    tensors = _tensors(state)
    if not tensors:
        raise StageError(
            f"the weights {path.name} hold no tensors: they are a {type(content).__name__}, "
            "not a checkpoint",
            HINT,
        )
    return tensors


def _tensors(state: Any) -> StateDict:
    if not isinstance(state, dict):
        return {}
    # Data-parallel training writes a prefix before every name.
    return {
        str(name)[len("module.") :] if str(name).startswith("module.") else str(name): value
        for name, value in state.items()
        if isinstance(value, torch.Tensor)
    }


def _defect(path: Path) -> str:
    with path.open("rb") as stream:
        head = stream.read(512).lstrip()
    if not head:
        return "are an empty file"
    if head.startswith((b"<", b"{")):
        return "are text (perhaps a web page saved in their place), not a checkpoint"
    if head.startswith(b"PK"):
        return "are a damaged or incomplete checkpoint"
    return "are not a PyTorch checkpoint, or a damaged one"


def fit_weights(model: torch.nn.Module, found: StateDict, name: str) -> Fit:
    """Keep the tensors that have a model's names and shapes.

    Raises:
        StageError: they make up less than half of the model.
    """
    wanted = model.state_dict()
    fitting = {
        key: found[key]
        for key, value in wanted.items()
        if key in found and found[key].shape == value.shape
    }
    share = _numbers(fitting) / max(1, _numbers(wanted))
    if share < ENOUGH:
        raise StageError(
            f"the weights {name} belong to another model: only {share:.0%} of the numbers that "
            "the training config's model needs are in them",
            "choose weights of the same architecture and size as train.config",
        )
    # Every BatchNorm counts its batches; older files lack the counters, which nothing depends on.
    strangers = [
        key for key in wanted if key not in fitting and not key.endswith("num_batches_tracked")
    ]
    return Fit(fitting, tuple(strangers), len(wanted))


def _numbers(state: Mapping[str, torch.Tensor]) -> int:
    return sum(value.numel() for value in state.values())


def publish(source: Path, target: Path) -> Dict[str, Any]:
    """Copy a training checkpoint, leaving what only a resumed training needs.

    ``state_dict`` holds the averaged weights where the config has an EMAHook: MMEngine puts them
    there when it saves. The optimizer, the raw weights beside the average and the history go; what
    is left is what MMDetection's ``init_detector`` reads, the class names included.

    Returns:
        the metadata that stays, such as the ``epoch``.
    """
    content = torch.load(str(source), map_location="cpu")
    meta = {key: value for key, value in content["meta"].items() if key in KEPT_META}
    save({"meta": meta, "state_dict": content["state_dict"]}, target)
    return meta


def save(content: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint through memory: ``torch.save`` hides a full disk in another error."""
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    path.write_bytes(buffer.getvalue())


def opens(path: Path) -> bool:
    """Tell whether a training checkpoint is whole: a killed run can leave half of one."""
    try:
        content = torch.load(str(path), map_location="cpu")
    except Exception:  # a half pickle can raise anything
        return False
    return isinstance(content, dict) and {"state_dict", "optimizer", "meta"} <= content.keys()


def newest_whole(folder: Path) -> Optional[Path]:
    """Give the newest epoch's checkpoint in ``folder`` that opens, if there is one."""
    epochs = sorted(folder.glob("epoch_*.pth"), key=_epoch, reverse=True)
    return next((path for path in epochs if opens(path)), None)


def _epoch(path: Path) -> int:
    digits = path.stem.rpartition("_")[2]
    return int(digits) if digits.isdigit() else -1


def _listed(names: List[str], shown: int = 3) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
