"""What the stage `export_for` is told."""

from dataclasses import dataclass

from mmdet_jetson.contract.parameters.base import Parameters


@dataclass(frozen=True)
class ExportForParameters(Parameters):
    """``pipeline`` is one of `contract.pipelines.PIPELINES`."""

    pipeline: str
