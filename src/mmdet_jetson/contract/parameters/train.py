"""What the stage `train` is told."""

from dataclasses import dataclass
from typing import Mapping, Optional, Tuple

from mmdet_jetson.contract.parameters.base import Parameters, Size


@dataclass(frozen=True)
class TrainParameters(Parameters):
    """``epochs`` and ``batch_size`` are the config's own where they are None.

    ``config`` is a path inside the input ``config``; ``device`` is "auto", "cpu" or "cuda";
    ``overrides`` are dotted keys of the config.
    """

    config: str
    epochs: Optional[int]
    batch_size: Optional[int]
    seed: int
    workers: int
    device: str
    overrides: Mapping[str, object]
    classes: Tuple[str, ...]
    input_size: Size
