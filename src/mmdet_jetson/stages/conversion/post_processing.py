"""Which thresholds a fused graph gets: those of the model's own test or of the deploy config."""

from math import inf
from typing import Mapping, Optional

from mmengine import ConfigDict
from torch import nn

from mmdet_jetson.contract.parameters.export import FusedParameters
from mmdet_jetson.stages.conversion.fused_nms import NmsLimits
from mmdet_jetson.stages.conversion.heads import find_head
from mmdet_jetson.stages.errors import StageError

ADVICE = "change the model's test_cfg in the training config"


def nms_limits(model: nn.Module, deploy: Mapping[str, float], fused: FusedParameters) -> NmsLimits:
    """Choose the limits of NMS for a model.

    ``thresholds`` "model" takes its ``test_cfg``, as MMDetection does in a test, and ``deploy``,
    the ``post_processing`` of a deploy config, for what is absent there; "deploy" takes the latter.

    MMDetection keeps the best ``nms_pre`` pairs of each level, so no more than these are
    ``candidates`` here.

    Raises:
        StageError: the model's NMS is another than the greedy one per class, or its head is not
            known.
    """
    head = find_head(model)
    own: ConfigDict = model.bbox_head.test_cfg or ConfigDict()
    _check(own.get("nms"))
    asked = own if fused.thresholds == "model" else {}
    thresholds = own["nms"] if fused.thresholds == "model" else {}
    nms_pre = _number("nms_pre", own.get("nms_pre", -1))
    min_size = _number("min_bbox_size", own.get("min_bbox_size", -1))
    candidates = int(min(fused.candidates, nms_pre)) if nms_pre > 0 else fused.candidates
    score = asked.get("score_thr", deploy["score_threshold"])
    overlap = thresholds.get("iou_threshold", deploy["iou_threshold"])
    most = _number("max_per_img", asked.get("max_per_img", deploy["keep_top_k"]))
    if most == 0:
        raise StageError("the model's test_cfg keeps no detection: max_per_img is 0", ADVICE)
    limits = NmsLimits(
        score_threshold=_number("score_thr", score, 0, 1),
        inclusive=False,
        iou_threshold=_number("nms.iou_threshold", overlap, 0, 1),
        min_size=None if min_size < 0 else min_size,
        # A negative one keeps all, which are no more than take part.
        keep=candidates if most < 0 else int(most),
        candidates=candidates,
        rounds=fused.rounds,
    )
    return head.adapt(model.bbox_head, limits)


def _number(name: str, value: object, least: float = -inf, most: float = inf) -> float:
    if isinstance(value, (int, float)) and least <= value <= most:
        return float(value)
    allowed = "a number" if least == -inf else f"a number from {least:g} to {most:g}"
    raise StageError(
        f"{name} of the model's test_cfg, or what stands for it in the deploy config, is "
        f"{value!r}, not {allowed}",
        ADVICE,
    )


def _check(nms: Optional[ConfigDict]) -> None:
    # With more pairs than split_thr MMCV does the same class by class.
    known = {"type", "iou_threshold", "class_agnostic", "split_thr"}
    if (
        nms is None
        or nms.get("type", "nms") != "nms"
        or nms.get("class_agnostic", False)
        or set(nms) - known
    ):
        raise StageError(
            f"the model's test_cfg asks for another NMS than the greedy one per class: {nms!r}",
            ADVICE,
        )
