"""What a report shows of a training."""

import json
from pathlib import Path
from typing import List, Mapping, Optional, TypedDict


class BestEpoch(TypedDict):
    """The epoch whose checkpoint is used, and its AP in the training's own validation."""

    epoch: int
    AP: Optional[float]


class Training(TypedDict):
    """``metrics.json`` of a `checkpoint` artifact.

    ``curves`` are records of numbers, in order: "train" by step, "val" by epoch.
    """

    best: BestEpoch
    epochs: int
    curves: Mapping[str, List[Mapping[str, Optional[float]]]]
    device: str


def read_training(checkpoint: Optional[Path]) -> Optional[Training]:
    """Read how a checkpoint was trained; None where it does not tell, or is not at hand.

    One that was taken as it came tells nothing.
    """
    path = checkpoint / "metrics.json" if checkpoint else None
    if path is None or not path.is_file():
        return None
    training: Training = json.loads(path.read_text(encoding="utf-8"))
    return training if "curves" in training else None
