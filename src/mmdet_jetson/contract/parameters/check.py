"""What the stage `check` is told."""

from dataclasses import dataclass, field
from typing import Mapping, Optional, Tuple

from mmdet_jetson.contract.parameters.base import Parameters
from mmdet_jetson.contract.parameters.export import ExportParameters
from mmdet_jetson.contract.parameters.train import ModelParameters, TrainingParts


@dataclass(frozen=True)
class CheckParameters(Parameters):
    """``exports`` are what will be asked of the trained ``model``, by what each is for.

    That is a target, or "documented" of `contract.report`. An input named as the export's backend
    has its deploy config. ``device`` is what the training asks for: "auto", "cpu" or "cuda".
    ``largest`` says by target how many pixels a side of a picture may have, where its engine takes
    any up to there. ``training`` is what else of the training is looked at. ``model`` and it are
    None where a model was taken that is trained already: its ``checkpoint`` is an input. ``kept``
    are those of the exports that engines are rehearsed with.
    """

    device: str
    model: Optional[ModelParameters]
    training: Optional[TrainingParts]
    exports: Mapping[str, ExportParameters]
    largest: Mapping[str, int] = field(default_factory=dict)
    kept: Tuple[str, ...] = ()
