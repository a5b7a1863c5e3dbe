"""What writes the files of serving pipelines: one module a pipeline, each with ``write``."""

from importlib import import_module
from pathlib import Path
from typing import Protocol, Sequence, cast

from mmdet_jetson.contract.pipelines import PIPELINES
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.pipelines.described_engine import DescribedEngine


class Pipeline(Protocol):
    """The function that a pipeline's module has."""

    def write(self, engine: DescribedEngine, folder: Path) -> Sequence[str]:
        """Write into an empty folder.

        Returns:
            A sentence for each thing that the pipeline computes differently from `Detector`.

        Raises:
            StageError: the pipeline cannot run such an engine; nothing is written.
        """


def load_pipeline(name: str) -> Pipeline:
    """Give a pipeline of `contract.pipelines.PIPELINES`: the module here of that name.

    Raises:
        StageError: there is no such pipeline.
    """
    if name not in PIPELINES:
        raise StageError(
            f"engines cannot be exported for {name!r}", f"choose one of: {', '.join(PIPELINES)}"
        )
    return cast("Pipeline", import_module(f"{__name__}.{name}"))
