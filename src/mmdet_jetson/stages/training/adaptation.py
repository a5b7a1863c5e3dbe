"""Fit a config to what a stage has: one process, perhaps no GPU, no network.

What leaves the result as good is changed, with a warning. What does not is refused where it shows.
"""

from typing import List, Optional

from mmdet.registry import VISBACKENDS
from mmengine import Config, ConfigDict

from mmdet_jetson.stages.training.default_hooks import (
    DISK,
    keep_needed_hooks,
    keep_own_checkpoints,
)
from mmdet_jetson.stages.training.mmdet_config import EVALUATORS, owners, pipelines

LOCAL, TENSORBOARD = "LocalVisBackend", "TensorboardVisBackend"
# Backends of later versions of MMEngine, which configs are written for, too.
OF_LATER = (
    *("MLflowVisBackend", "ClearMLVisBackend", "NeptuneVisBackend", "DVCLiveVisBackend"),
    "AimVisBackend",
)
LIBRARIES = ("mmengine.", "mmdet.")
# What only mixed precision reads.
OF_MIXED_PRECISION = ("loss_scale", "dtype")
# What PackDetInputs keeps of a picture's history, but for how it was flipped.
UNFLIPPED = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")

# The number of detections in a picture that COCO's AP is of. CocoMetric takes the other figures at
# the third of its numbers.
DETECTIONS = 100

JUDGED_BY = {
    "prefix": "figures that are named as CocoMetric names them (coco/bbox_mAP)",
    "metric_items": "all of CocoMetric's figures",
    "iou_thrs": "COCO's own IoU thresholds, 0.50 to 0.95",
    "format_only": "figures, which a file of detections alone does not give",
    "outfile_prefix": "figures; detections are kept by the evaluation of the checkpoint",
    "proposal_nums": "COCO's AP, which is of 100 detections in a picture",
    "file_client_args": "the annotations in its dataset, which are files",
}
"""Options of an evaluator with which the AP of a training would be another, or none."""


def adapt(config: Config, device: str) -> List[str]:
    """Change a config so that it trains here, on "cuda" or "cpu"; return warnings."""
    config.launcher = "none"
    adapt_model(config)
    return [
        *_use_full_precision(config.optim_wrapper, device),
        *_keep_local_visualizers(config),
        *_judge_as_coco(config),
        *keep_needed_hooks(config),
        *keep_own_checkpoints(config),
    ]


def adapt_model(config: Config) -> None:
    """Change of a config what a single process needs to build its model and its pipelines."""
    for owner in owners(config.model, "norm_cfg"):
        _use_pytorch_norm(owner["norm_cfg"])
    for pipeline in pipelines(config):
        _pack_what_is_there(pipeline)


def _use_pytorch_norm(norm: Optional[ConfigDict]) -> None:
    """Let batch norm that spans processes be PyTorch's, which MMEngine makes plain in a single one.

    MMCV's own is the same but for needing several processes even to be built.
    """
    if norm and norm.get("type") == "MMSyncBN":
        norm.type = "SyncBN"
        for key in ("group", "stats_mode"):
            norm.pop(key, None)


def _pack_what_is_there(pipeline: List[ConfigDict]) -> None:
    """Let pictures be packed that no transform might have flipped: by itself that fails."""
    if any("Flip" in step["type"] for step in pipeline):
        return
    for step in pipeline:
        if step["type"] == "PackDetInputs":
            step.setdefault("meta_keys", UNFLIPPED)


def _use_full_precision(wrapper: ConfigDict, device: str) -> List[str]:
    if device != "cpu" or wrapper.get("type") != "AmpOptimWrapper":
        return []
    wrapper.type = "OptimWrapper"
    for key in OF_MIXED_PRECISION:
        wrapper.pop(key, None)
    return [
        "the training config asks for mixed precision (AmpOptimWrapper), which needs a GPU: on "
        "this CPU it trains in full precision"
    ]


def _keep_local_visualizers(config: Config) -> List[str]:
    """Leave out what sends figures elsewhere, or writes them by a package of its own."""
    visualizer: ConfigDict = config.get("visualizer") or ConfigDict()
    backends = visualizer.get("vis_backends") or []
    left_out = [
        each for each in backends if isinstance(each, dict) and _goes_elsewhere(each["type"])
    ]
    if not left_out:
        return []
    kept = [each for each in backends if each not in left_out]
    visualizer.vis_backends = kept or [ConfigDict(type=LOCAL)]
    # Every training writes TensorBoard's files, where it belongs.
    kinds = {str(each["type"]) for each in left_out} - {TENSORBOARD}
    names = ", ".join(sorted(kinds))
    return (
        []
        if not kinds
        else [
            f"the visualizer goes without {names}: a stage has neither a network nor that package; "
            "TensorBoard's files and the report have the figures, and MLflow where "
            "MLFLOW_TRACKING_URI names one"
        ]
    )


def _judge_as_coco(config: Config) -> List[str]:
    """Let the best checkpoint be chosen by the AP that evaluations and gates have, too."""
    warnings = []
    for option, instead in JUDGED_BY.items():
        asking = [key for key in EVALUATORS if not _judges_alike(option, config[key].get(option))]
        for key in asking:
            del config[key][option]
        if asking:
            warnings.append(
                f"{option} of {' and '.join(asking)} in the training config is not used: "
                f"a training is judged by {instead}"
            )
    return warnings


def _judges_alike(option: str, value: object) -> bool:
    if option == "proposal_nums" and isinstance(value, (list, tuple)):
        whole = all(type(number) is int for number in value)
        # RTMDet's (100, 1, 10) are COCO's own; fewer than three end in an IndexError.
        return whole and DETECTIONS in value and len(value) > 2 and sorted(value)[2] >= DETECTIONS
    return value is None or value is False or (option == "file_client_args" and value in DISK)


def _goes_elsewhere(kind: str) -> bool:
    """Whether it is one of MMEngine's, but not its own for files; another may be the user's."""
    found = VISBACKENDS.get(kind)
    library = bool(found and found.__module__.startswith(LIBRARIES))
    return kind in OF_LATER or (library and kind != LOCAL)
