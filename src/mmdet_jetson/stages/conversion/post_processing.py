"""Which thresholds a fused graph gets: those of the model's own test or of the deploy config."""

from typing import Any, Mapping

from mmdet.models.dense_heads import YOLOXHead
from torch import nn

from mmdet_jetson.stages.conversion.fused_nms import NmsLimits
from mmdet_jetson.stages.errors import StageError

ADVICE = "change the model's test_cfg in the training config and train again"


def nms_limits(
    model: nn.Module, deploy: Mapping[str, Any], source: str, candidates: int, rounds: int
) -> NmsLimits:
    """Choose the limits of NMS for a model.

    ``source`` "model" takes its ``test_cfg``, as MMDetection does in a test, and ``deploy`` (the
    ``post_processing`` of a deploy config) for what is absent there; "deploy" takes the latter.

    MMDetection keeps the best ``nms_pre`` pairs of each level, so no more than these are
    ``candidates`` here.

    Raises:
        StageError: the model's NMS is another than the greedy one per class.
    """
    own: Mapping[str, Any] = model.bbox_head.test_cfg
    _check(own.get("nms"))
    asked = own if source == "model" else {}
    thresholds = own["nms"] if source == "model" else {}
    is_yolox = isinstance(model.bbox_head, YOLOXHead)
    nms_pre = own.get("nms_pre", -1)
    min_size = own.get("min_bbox_size", -1)
    return NmsLimits(
        score_threshold=float(asked.get("score_thr", deploy["score_threshold"])),
        inclusive=is_yolox,
        iou_threshold=float(thresholds.get("iou_threshold", deploy["iou_threshold"])),
        min_size=None if is_yolox or min_size < 0 else float(min_size),
        keep=int(asked.get("max_per_img", deploy["keep_top_k"])),
        candidates=min(candidates, nms_pre) if nms_pre > 0 else candidates,
        rounds=rounds,
    )


def _check(nms: Any) -> None:
    kind = (nms or {}).get("type", "nms") if nms is not None else "none"
    if kind != "nms" or nms.get("class_agnostic", False):
        raise StageError(
            f"the model's test_cfg asks for another NMS than the greedy one per class: {nms!r}",
            ADVICE,
        )
