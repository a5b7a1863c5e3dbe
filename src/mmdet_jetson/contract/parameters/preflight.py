"""What the stage `preflight` is told."""

from dataclasses import dataclass
from typing import Optional

from mmdet_jetson.contract.parameters.base import Parameters


@dataclass(frozen=True)
class PreflightParameters(Parameters):
    """``onnx`` is the path of the file that the engine should have been built from, if any."""

    onnx: Optional[str]
