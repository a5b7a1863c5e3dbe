"""What the stage `rehearse` is told."""

from dataclasses import dataclass

from mmdet_jetson.contract.parameters.base import Parameters
from mmdet_jetson.contract.parameters.engine import EngineParameters

SIZES = "sizes.json"
"""What a `check` artifact calls the sizes of pictures to try."""


def export_folder(subject: str) -> str:
    """Name the folder of a `check` artifact with what was exported for a target."""
    return f"export-{subject}"


@dataclass(frozen=True)
class RehearseParameters(Parameters):
    """``engine`` is what the stage `engine` will be told.

    ``exported`` is the subject of the check's export that it would be compiled from: targets that
    share an export are checked once.
    """

    exported: str
    engine: EngineParameters
