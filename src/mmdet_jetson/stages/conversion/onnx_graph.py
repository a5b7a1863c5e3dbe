"""What an exported ONNX graph really contains, read from the file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

from mmdet_jetson.stages.errors import StageError, reason_of

STANDARD_DOMAINS = ("", "ai.onnx")
NMS_OPERATOR = "TRTBatchedNMS"
Shape = List[Optional[int]]


@dataclass(frozen=True)
class NmsSettings:
    """The thresholds of the NMS, and how many detections a picture can have (``keep``).

    ``nms_pre`` is how many boxes go into the NMS at most; None lets all of them in.
    """

    score_threshold: float
    iou_threshold: float
    keep: int
    nms_pre: Optional[int]


@dataclass(frozen=True)
class FusedNmsSettings(NmsSettings):
    """The same of a fused graph, and the ``rounds`` of its NMS."""

    rounds: int


@dataclass(frozen=True)
class CustomOperator:
    """An operator that ONNX itself does not have."""

    domain: str
    name: str
    attributes: Dict[str, object]


@dataclass(frozen=True)
class GraphContent:
    """A graph by its names. A dimension that the file leaves open is None."""

    opset: int
    inputs: Dict[str, Shape]
    outputs: Dict[str, Shape]
    custom_ops: List[CustomOperator]
    post_processing: NmsSettings


def read_documented_graph(path: Path, backend: str, classes: int) -> GraphContent:
    """Read and check a graph that MMDeploy wrote for ``backend``, "onnxruntime" or "tensorrt".

    Raises:
        StageError: the file is no valid ONNX, or the graph has other operators or outputs than a
            detector for that backend has.
    """
    model = _checked(path)
    custom = [node for node in model.graph.node if node.domain not in STANDARD_DOMAINS]
    _check(
        backend,
        custom,
        [value.name for value in model.graph.output],
        _count(model, "NonMaxSuppression"),
    )
    post = _plugin(custom[0]) if backend == "tensorrt" else _Standard(model).read(classes)
    return _graph(model, custom, post)


def read_fused_graph(path: Path) -> GraphContent:
    """Read a fused graph; its post-processing is a `FusedNmsSettings`.

    Raises:
        StageError: the file is no valid ONNX.
    """
    model = _checked(path)
    limits = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    rounds = [node for node in model.graph.node if node.name.startswith("nms/MatMul")]
    post = FusedNmsSettings(
        score_threshold=_decimal(limits["nms/score_threshold"][0]),
        iou_threshold=_decimal(limits["nms/iou_threshold"][0]),
        keep=int(limits["nms/keep_count"][0]),
        nms_pre=int(limits["nms/pair_count"][0]),
        rounds=len(rounds),
    )
    custom = [node for node in model.graph.node if node.domain not in STANDARD_DOMAINS]
    return _graph(model, custom, post)


def _checked(path: Path) -> onnx.ModelProto:
    try:
        onnx.checker.check_model(str(path))
    except onnx.checker.ValidationError as error:
        raise StageError(
            f"{path.name} is not valid ONNX: {reason_of(error)}", "export again"
        ) from error
    return onnx.load(str(path))


def _graph(
    model: onnx.ModelProto, custom: List[onnx.NodeProto], post_processing: NmsSettings
) -> GraphContent:
    return GraphContent(
        opset=next(o.version for o in model.opset_import if o.domain in STANDARD_DOMAINS),
        inputs={value.name: _shape(value) for value in model.graph.input},
        outputs={value.name: _shape(value) for value in model.graph.output},
        custom_ops=[_custom(node) for node in custom],
        post_processing=post_processing,
    )


def _check(
    backend: str, custom: List[onnx.NodeProto], outputs: List[str], standard_nms: int
) -> None:
    """Tell a detector with its NMS from a graph whose head MMDeploy traced without rewriting."""
    names = [node.op_type for node in custom]
    expected = ([NMS_OPERATOR], 0) if backend == "tensorrt" else ([], 1)
    if (names, standard_nms) != expected or outputs != ["dets", "labels"]:
        raise StageError(
            f"the exported graph is not a detector for {backend}: it has the outputs "
            f"{', '.join(outputs)}, the custom operators "
            f"{', '.join(sorted(set(names))) or '(none)'} and {standard_nms} NonMaxSuppression",
            "MMDeploy 1.0.0 does not rewrite this head; docs/conversion.md says which it does",
        )


def _count(model: onnx.ModelProto, op_type: str) -> int:
    return sum(node.op_type == op_type for node in model.graph.node)


def _shape(value: onnx.ValueInfoProto) -> Shape:
    dimensions = value.type.tensor_type.shape.dim
    return [d.dim_value if d.HasField("dim_value") else None for d in dimensions]


def _custom(node: onnx.NodeProto) -> CustomOperator:
    return CustomOperator(node.domain, node.op_type, _attributes(node))


def _attributes(node: onnx.NodeProto) -> Dict[str, object]:
    values = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    return {
        name: _decimal(value) if isinstance(value, float) else value
        for name, value in sorted(values.items())
    }


def _decimal(value: float) -> float:
    """Give the shortest decimal of a float32: 0.65, not 0.6499999761581421."""
    return float(str(np.float32(value)))


def _plugin(node: onnx.NodeProto) -> NmsSettings:
    given: Dict[str, onnx.AttributeProto] = {item.name: item for item in node.attribute}
    return NmsSettings(
        score_threshold=_decimal(given["score_threshold"].f),
        iou_threshold=_decimal(given["iou_threshold"].f),
        keep=given["keep_topk"].i,
        nms_pre=given["topk"].i,
    )


class _Standard:
    """The post-processing of a graph in plain ONNX: TopK, NonMaxSuppression, TopK."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.nodes = list(model.graph.node)
        self.producers = {name: node for node in self.nodes for name in node.output}
        self.constants = {item.name: item for item in model.graph.initializer}
        for node in self.nodes:
            if node.op_type == "Constant":
                self.constants[node.output[0]] = node.attribute[0].t

    def read(self, classes: int) -> NmsSettings:
        """Read the limits of the one NMS and of the TopK on either side of it."""
        kinds = [node.op_type for node in self.nodes]
        nms = kinds.index("NonMaxSuppression")
        per_class, iou, score = (self._limit(name) for name in self.nodes[nms].input[2:5])
        before, after = self._top_k(self.nodes[:nms]), self._top_k(self.nodes[nms:])
        most = int(per_class) * classes
        return NmsSettings(
            score_threshold=_decimal(score),
            iou_threshold=_decimal(iou),
            keep=most if after is None else min(most, after),
            nms_pre=before,
        )

    def _top_k(self, nodes: List[onnx.NodeProto]) -> Optional[int]:
        found = [node for node in nodes if node.op_type == "TopK"]
        return int(self._limit(found[-1].input[1])) if found else None

    def _limit(self, name: str) -> float:
        """Follow a name to its constant; MMDeploy writes k as ``where(k < n, k, n)``."""
        while name not in self.constants:
            node = self.producers[name]
            name = node.input[1 if node.op_type == "Where" else 0]
        value: Tuple[float, ...] = numpy_helper.to_array(self.constants[name]).ravel()
        return float(value[0])
