"""What each stage is told, as frozen types: what is missing or misspelt cannot be planned.

Sizes are (width, height) in pixels.
"""

from dataclasses import dataclass
from typing import Mapping, Optional, Tuple

Size = Tuple[int, int]


@dataclass(frozen=True)
class Parameters:
    """The parameters of some stage."""


@dataclass(frozen=True)
class SplitLocation:
    """Where the pictures and the annotations of a split lie inside the dataset's source."""

    pictures: str
    annotations: str


@dataclass(frozen=True)
class DrawnPictures:
    """How many pictures to draw for each split, and how large."""

    train: int
    val: int
    size: Size
    seed: int


@dataclass(frozen=True)
class DatasetParameters(Parameters):
    """``format`` is one of `choices.FORMATS`, with ``train`` and ``val``, or `choices.DRAWN`."""

    classes: Tuple[str, ...]
    format: str
    label_attribute: str
    default_class: Optional[str]
    train: Optional[SplitLocation]
    val: Optional[SplitLocation]
    drawn: Optional[DrawnPictures]


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


@dataclass(frozen=True)
class FusedParameters:
    """What a fused graph is fed, and its NMS.

    ``input`` is "image", "letterboxed" or "tensor"; ``thresholds`` says whose the NMS takes, those
    of the "model" or of the "deploy" config.
    """

    input: str
    batch: int
    thresholds: str
    candidates: int
    rounds: int


@dataclass(frozen=True)
class ExportParameters(Parameters):
    """``fused`` is None for MMDeploy's own graph, which the docs call documented.

    ``backend`` is the one that the graph is for; ``deploy_config`` is a path inside the input
    ``config``.
    """

    backend: str
    deploy_config: str
    input_size: Size
    fused: Optional[FusedParameters]


@dataclass(frozen=True)
class EngineParameters(Parameters):
    """``calibration_pictures`` is a number for int8 only; GPUs are compute capabilities, as 87."""

    target: str
    backend: str
    precision: str
    compute_capabilities: Tuple[int, ...]
    calibration_pictures: Optional[int]


@dataclass(frozen=True)
class DrawingParameters:
    """How many validation pictures an evaluation draws, and detections from which score on."""

    pictures: int
    draw_threshold: float


@dataclass(frozen=True)
class EvaluateCheckpointParameters(Parameters):
    """``subject`` is "base", the weights before the training, or "checkpoint"."""

    subject: str
    device: str
    drawing: DrawingParameters


@dataclass(frozen=True)
class EvaluateEngineParameters(Parameters):
    """``target`` is the engine's, or empty for an exported graph run by ONNX Runtime."""

    target: str
    drawing: DrawingParameters


@dataclass(frozen=True)
class ProveParameters(Parameters):
    """``target`` is the one of the engine that is compared with PyTorch."""

    target: str


@dataclass(frozen=True)
class ProfileParameters(Parameters):
    """How often an engine is run before it is timed, and while it is."""

    target: str
    repeats: int
    warmup: int


@dataclass(frozen=True)
class ReportParameters(Parameters):
    """``gates`` are limits by the names of `choices.GATES`."""

    name: str
    gates: Mapping[str, float]
    targets: Tuple[str, ...]


@dataclass(frozen=True)
class PreflightParameters(Parameters):
    """``onnx`` is the path of the file that the engine should have been built from, if any."""

    onnx: Optional[str]
