"""What the two stages that evaluate are told."""

from dataclasses import dataclass
from typing import Optional

from mmdet_jetson.contract.parameters.base import Parameters
from mmdet_jetson.contract.parameters.train import ModelParameters


@dataclass(frozen=True)
class DrawingParameters:
    """How many validation pictures an evaluation draws, and detections from which score on."""

    pictures: int
    draw_threshold: float


@dataclass(frozen=True)
class EvaluateCheckpointParameters(Parameters):
    """``subject`` is "base", the weights before the training, or "checkpoint".

    ``model`` says what the base's weights are loaded into; a checkpoint brings its own config.
    ``precision`` is the least that the threshold to deploy shall have; None for the best F1.
    """

    subject: str
    device: str
    drawing: DrawingParameters
    model: Optional[ModelParameters] = None
    precision: Optional[float] = None


@dataclass(frozen=True)
class EvaluateEngineParameters(Parameters):
    """What is drawn of an engine's detections, or of those of an exported graph.

    ``precision`` is as for a checkpoint.
    """

    drawing: DrawingParameters
    precision: Optional[float] = None
