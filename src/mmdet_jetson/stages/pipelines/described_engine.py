"""An engine as others than our own runner have to know it: its file, and its tensors by name."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Optional, Tuple

from mmdet_jetson.contract.records import ContractError, decode
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.graph import DOCUMENTED, GRAPH, Graph, read_graph
from mmdet_jetson.stages.inference.passport import (
    CHECKOUT,
    DLA,
    Passport,
    check_files,
    read_passport,
)

Shape = Tuple[Optional[int], ...]
# What the graphs of `stages.conversion` take and give; graph.json has the shapes only.
TYPES = {
    "picture": "UINT8",
    "input": "FP32",
    "mapping": "FP32",
    "dets": "FP32",
    "labels": "INT32",
    "nms": "INT32",
}
DOCUMENTED_TYPES = {**TYPES, "labels": "INT64"}


@dataclass(frozen=True)
class Tensor:
    """An input or output: ``type`` is UINT8, INT32, INT64 or FP32; -1 in ``shape`` is any size."""

    name: str
    type: str
    shape: Tuple[int, ...]


@dataclass(frozen=True)
class DescribedEngine:
    """An engine's folder, and all that its passport and its graph.json say about it."""

    folder: Path
    passport: Passport
    graph: Graph
    inputs: Tuple[Tensor, ...]
    outputs: Tuple[Tensor, ...]

    @property
    def file(self) -> Path:
        """The file that its backend opens."""
        return self.folder / self.passport.engine.file

    @property
    def dla(self) -> Optional[object]:
        """The accelerator that its network was built for; None for none.

        TensorRT has to be told it before it reads the engine, else it takes the first.
        """
        return self.passport.settings.get(DLA)

    def input(self, name: str) -> Optional[Tensor]:
        """Give an input by its name; None where there is no such."""
        return next((tensor for tensor in self.inputs if tensor.name == name), None)


@dataclass(frozen=True)
class _Shapes:
    inputs: Mapping[str, Shape]
    outputs: Mapping[str, Shape]


def describe_engine(folder: Path) -> DescribedEngine:
    """Read an engine's folder and check it against its passport; the engine stays closed.

    Raises:
        StageError: it is no engine's folder, or a file of it is missing or changed.
    """
    passport = read_passport(folder)
    check_files(folder, passport)
    graph = read_graph(folder)
    shapes = _shapes(folder)
    return DescribedEngine(
        folder,
        passport,
        graph,
        inputs=_tensors(shapes.inputs, graph),
        outputs=_tensors(shapes.outputs, graph),
    )


def _shapes(folder: Path) -> _Shapes:
    content = json.loads((folder / GRAPH).read_text(encoding="utf-8"))
    told = {name: content[name] for name in ("inputs", "outputs") if name in content}
    try:
        return decode(_Shapes, told, GRAPH)
    except ContractError as error:
        raise StageError(f"{folder / GRAPH} names no tensors: {error}", CHECKOUT) from error


def _tensors(shapes: Mapping[str, Shape], graph: Graph) -> Tuple[Tensor, ...]:
    types = DOCUMENTED_TYPES if graph.graph == DOCUMENTED else TYPES
    unknown = [name for name in shapes if name not in types]
    if unknown:
        raise StageError(
            f"{GRAPH} names a tensor {unknown[0]!r}, which is none of {', '.join(types)}",
            "export the checkpoint and build the engine again",
        )
    return tuple(
        Tensor(name, types[name], tuple(-1 if size is None else size for size in shape))
        for name, shape in shapes.items()
    )
