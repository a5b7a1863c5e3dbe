"""The description of an exported graph, ``graph.json``, as far as running it depends on it."""

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Optional, Tuple

from mmdet_jetson.contract.records import ContractError, decode
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.preprocessing import Preprocessing, Size

GRAPH, ONNX = "graph.json", "end2end.onnx"
"""A graph's description, and the graph, in the folder of an `onnx` artifact."""
FUSED, DOCUMENTED = "fused", "documented"
IMAGE, LETTERBOXED, TENSOR = "image", "letterboxed", "tensor"
"""What a fused graph takes: see `Graph.input`."""


@dataclass(frozen=True)
class Checkpoint:
    """The weights that a graph was made of, by the SHA-256 of their file."""

    sha256: Optional[str] = None


@dataclass(frozen=True)
class PostProcessing:
    """The limits of a graph's NMS.

    ``keep`` is how many detections leave it at most, ``nms_pre`` how many pairs of a box and a
    class take part (None: all of them). Scores below ``score_threshold`` are dropped.
    """

    score_threshold: float = 0.0
    keep: Optional[int] = None
    nms_pre: Optional[int] = None


@dataclass(frozen=True)
class Folded:
    """What the weights of a graph's first convolution do to its input beside what was trained.

    They divide each channel by ``std``, in the order that the network was trained with; ``flipped``
    says whether they then take the channels the other way round.
    """

    std: Tuple[float, float, float]
    flipped: bool


@dataclass(frozen=True)
class Graph:
    """An exported graph of either kind, "fused" or "documented"; ``classes`` are names by label.

    ``input`` is what a fused graph takes: an "image" of any size, one that is "letterboxed" to
    ``input_size`` (width, height), or a normalised "tensor". A documented one takes such a tensor,
    and its preprocessing stands in a file of MMDeploy's. ``folded`` is None where the first
    convolution has the weights that were trained. ``inputs`` and ``outputs`` name the tensors, in
    the order in which they are given and returned; without any it is the file's own.
    """

    graph: str
    classes: Tuple[str, ...]
    input_size: Size
    input: Optional[str] = None
    batch: int = 1
    preprocessing: Optional[Preprocessing] = None
    folded: Optional[Folded] = None
    post_processing: PostProcessing = field(default_factory=PostProcessing)
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    inputs: Tuple[str, ...] = ()
    outputs: Tuple[str, ...] = ()


def read_graph(folder: Path) -> Graph:
    """Read the ``graph.json`` in a folder; what else stands in it is for people.

    Raises:
        StageError: it is missing or damaged.
    """
    path = folder / GRAPH
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ContractError("it is not an object")
        known = {name: value for name, value in content.items() if name in _names(Graph)}
        limits = known.get("post_processing", {})
        if isinstance(limits, dict):
            known["post_processing"] = {n: limits[n] for n in _names(PostProcessing) if n in limits}
        for tensors in ("inputs", "outputs"):
            shapes = known.get(tensors)
            if isinstance(shapes, dict):
                known[tensors] = list(shapes)
        return decode(Graph, known, GRAPH)
    except (OSError, ValueError) as error:
        raise StageError(
            f"{path} is missing or damaged: {error}",
            "invoke checkout TAG FOLDER gets a whole engine out of the store",
        ) from error


def _names(kind: type) -> Tuple[str, ...]:
    return tuple(each.name for each in fields(kind))


def preprocessing_of(folder: Path, graph: Graph) -> Preprocessing:
    """Give what belongs to the graph in a folder: its own, or that of the pipeline.json there.

    Raises:
        StageError: a pipeline.json with steps that `Preprocessing` does not compute.
    """
    return graph.preprocessing or Preprocessing.read(folder / "pipeline.json", graph.input_size)
