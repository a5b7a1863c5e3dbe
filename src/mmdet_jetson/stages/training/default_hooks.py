"""The hooks that every training here has, and how checkpoints are saved.

A killed training goes on from what MMEngine's CheckpointHook has saved, and what it calls the best
is published. So most of its options are the pipeline's to set, not a config's.
"""

import inspect
from typing import Dict, List, Mapping, NamedTuple, Tuple

from mmdet.registry import HOOKS
from mmengine import Config, ConfigDict
from mmengine.hooks import CheckpointHook

from mmdet_jetson.stages.errors import StageError

BEST = "coco/bbox_mAP"
EPOCH_FILE = "epoch_{}.pth"
"""What MMEngine calls the checkpoint of an epoch in a training's work folder."""
DISK = ({"backend": "disk"}, {"backend": "local"})
"""How MMEngine is told to use ordinary files."""
FIXED = {
    "type": "CheckpointHook",
    "by_epoch": True,
    "save_last": True,
    "save_best": BEST,
    "rule": "greater",
}
"""What a training sets of its CheckpointHook, whatever the config says."""
# MMEngine adds these where a config does not name them; it stops at None for any other.
OF_MMENGINE = (
    *("runtime_info", "timer", "sampler_seed", "logger", "param_scheduler", "checkpoint"),
)
NEEDED = {
    "checkpoint": "what is trained is taken from checkpoints: one is saved after every epoch",
    "runtime_info": "progress and the report's curves are made of its figures",
}
"""Hooks that cannot be left out, and why."""


class Own(NamedTuple):
    """An option of the pipeline's own: values that ask for nothing else, and what is done."""

    same: Tuple[object, ...]
    instead: str


_RESUMED = "a killed training cannot go on without it"
_HIGHEST = f"the best epoch is the one of the highest AP ({BEST})"
_FOLDER = "checkpoints are files in the job's folder, until best.pth and last.pth are in the store"
OWN = {
    "type": Own(("CheckpointHook",), "checkpoints are saved by MMEngine's CheckpointHook"),
    "by_epoch": Own((True,), "a checkpoint is saved after every epoch"),
    "save_last": Own((True,), "the last epoch's checkpoint is published"),
    "save_best": Own((None, "auto", BEST, "bbox_mAP"), _HIGHEST),
    "rule": Own((None, "greater"), _HIGHEST),
    "greater_keys": Own((None,), _HIGHEST),
    "less_keys": Own((None,), _HIGHEST),
    "save_optimizer": Own((True,), _RESUMED),
    "save_param_scheduler": Own((True,), _RESUMED),
    "filename_tmpl": Own((None, EPOCH_FILE), f"a killed training goes on from {EPOCH_FILE}"),
    "out_dir": Own((None,), _FOLDER),
    "file_client_args": Own((None, *DISK), _FOLDER),
    "backend_args": Own((None, *DISK), _FOLDER),
    "published_keys": Own(
        (None,), "best.pth and last.pth are published without what only a resumed training reads"
    ),
}
"""Options of a CheckpointHook that a config cannot choose."""
COUNTS = ("interval", "max_keep_ckpts")


def keep_needed_hooks(config: Config) -> List[str]:
    """Let a config leave out a hook with None, but for what a training here needs."""
    hooks = config.get("default_hooks") or {}
    left_out = [name for name, hook in hooks.items() if hook is None]
    for name in left_out:
        if name in NEEDED or name not in OF_MMENGINE:
            del hooks[name]
    return [
        f"the hook {name} in default_hooks of the training config is not left out: {NEEDED[name]}"
        for name in left_out
        if name in NEEDED
    ]


def keep_own_checkpoints(config: Config) -> List[str]:
    """Take what is the pipeline's own out of the checkpoint hook; return warnings."""
    hook = (config.get("default_hooks") or {}).get("checkpoint")
    warnings = _without_second(config)
    if not isinstance(hook, dict):
        return warnings
    if hook.get("type", "CheckpointHook") != "CheckpointHook":
        for key in _unknown_options(hook):
            del hook[key]
    for option, own in OWN.items():
        if option in hook and not _asks_for(hook[option], own.same):
            if option == "by_epoch":
                hook["interval"] = 1
            del hook[option]
            warnings.append(
                f"{option} of the checkpoint hook in the training config is not used: {own.instead}"
            )
    if hook.get("interval") == 0:
        # Never, as any number below 1; but MMEngine counts in steps of it which ones to remove.
        hook["interval"] = -1
    return warnings


def set_checkpoint_hook(config: Config) -> None:
    """Let a training save what is resumed from and published."""
    if config.get("default_hooks") is None:
        config.default_hooks = ConfigDict()
    config.default_hooks.setdefault("checkpoint", ConfigDict(interval=1)).update(FIXED)


def check_checkpoint_hook(config: Config) -> None:
    """Look at what MMEngine would stop at only when an epoch is saved.

    Raises:
        StageError: the hook has an option that is none, or no whole number in one that counts.
    """
    hook: Dict[str, object] = (config.get("default_hooks") or {}).get("checkpoint") or {}
    unknown = _unknown_options(hook)
    if unknown:
        raise StageError(
            f"the checkpoint hook in default_hooks of the training config has an option "
            f"{unknown[0]}, which CheckpointHook does not know",
            f"it knows {', '.join(COUNTS)}; the others are set by the pipeline",
        )
    for key in COUNTS:
        if key in hook and type(hook[key]) is not int:
            raise StageError(
                f"{key} of the checkpoint hook in the training config is {hook[key]!r}, which is "
                "no whole number",
                f"set default_hooks.checkpoint.{key} to a whole number; -1 means no limit",
            )


def _unknown_options(hook: Mapping[str, object]) -> List[str]:
    named = inspect.signature(CheckpointHook.__init__).parameters.values()
    own = [each.name for each in named if each.kind is each.POSITIONAL_OR_KEYWORD]
    # Every hook has a type and a priority, and a checkpoint its meta.
    known = (*own[1:], "type", "priority", "meta")
    return [key for key in hook if key not in known]


def _asks_for(value: object, same: Tuple[object, ...]) -> bool:
    several = value if isinstance(value, (list, tuple)) else [value]
    return all(each in same for each in several)


def _without_second(config: Config) -> List[str]:
    hooks = config.get("custom_hooks") or []
    seconds = [each for each in hooks if isinstance(each, dict) and _saves(each.get("type"))]
    if not seconds:
        return []
    config.custom_hooks = [each for each in hooks if each not in seconds]
    return [
        f"the {seconds[0]['type']} in custom_hooks of the training config is left out: it would "
        "take its own for the best of this training"
    ]


def _saves(kind: object) -> bool:
    found = HOOKS.get(kind) if isinstance(kind, str) else None
    return isinstance(found, type) and issubclass(found, CheckpointHook)
