"""A training config's schedule for another number of epochs.

What was at half of the training stays at half of it. Three things stay as they are: what counts
iterations, as warm-ups do; intervals, of validations and of checkpoints; and patience, which counts
validations. The last epoch is saved and validated whatever they say.
"""

from fractions import Fraction
from itertools import accumulate
from typing import Any, Dict, Iterator, List

from mmengine import Config, ConfigDict

from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.training.mmdet_config import owners

# Keys of hooks, and of the heads that change how they learn, that count in epochs.
EPOCHS_OF_HOOKS = ("switch_epoch", "num_last_epochs", "begin_epoch")
EPOCHS_OF_HEADS = ("initial_epoch",)
# YOLOXModeSwitchHook's own number, where a config has none.
NUM_LAST_EPOCHS = 15
WARM_UPS = ("LinearLR", "ConstantLR", "QuadraticWarmupLR")


def set_epochs(config: Config, epochs: int) -> List[str]:
    """Stretch the schedule to ``epochs``; return warnings about what is not stretched."""
    before = config.train_cfg.max_epochs
    if epochs == before:
        return []
    factor = Fraction(epochs, before)
    config.train_cfg.max_epochs = epochs
    intervals = config.train_cfg.get("dynamic_intervals") or []
    if intervals:
        config.train_cfg.dynamic_intervals = [(round(at * factor), n) for at, n in intervals]
    if "val_begin" in config.train_cfg:
        config.train_cfg.val_begin = _at_least_one(config.train_cfg.val_begin, factor)
    warnings = []
    for scheduler in _schedulers(config):
        if scheduler.get("by_epoch", True):
            _stretch(scheduler, factor, before)
        elif scheduler["type"] not in WARM_UPS:
            warnings.append(_unstretched(f"the {scheduler['type']} in param_scheduler"))
    for hook in _hooks(config):
        warnings += _stretch_hook(hook, factor)
    for key in EPOCHS_OF_HEADS:
        for owner in owners(config.model, key):
            owner[key] = round(owner[key] * factor)
    return warnings


def check_schedule(config: Config) -> None:
    """Refuse a schedule that ends a training with an error.

    Raises:
        StageError: says which part of it does not fit the number of epochs.
    """
    epochs = config.train_cfg.max_epochs
    for scheduler in _schedulers(config):
        steps = scheduler.get("total_steps")
        end = min(scheduler.get("end", epochs), epochs)
        if steps and scheduler.get("by_epoch", True) and steps < end - scheduler.get("begin", 0):
            raise StageError(
                f"total_steps of the {scheduler['type']} in param_scheduler is {steps}, but it "
                f"lasts to epoch {end}: the training would stop in between",
                "leave total_steps out, or set the scheduler's end, too",
            )
    for hook in _hooks(config):
        begin = hook.get("begin_epoch")
        if hook["type"] == "EMAHook" and begin and begin > epochs:
            raise StageError(
                f"the EMAHook begins in epoch {begin} (begin_epoch), but the training has {epochs}",
                f"set begin_epoch to {epochs} or less",
            )


def _schedulers(config: Config) -> Iterator[ConfigDict]:
    return _parts(config.get("param_scheduler"))


def _hooks(config: Config) -> Iterator[ConfigDict]:
    yield from _parts(config.get("custom_hooks"))
    yield from _parts(config.get("default_hooks"))


def _parts(node: object) -> Iterator[ConfigDict]:
    """Find what is built, one by one, in a list or by names."""
    if isinstance(node, dict) and "type" in node:
        yield node
    elif isinstance(node, (dict, list, tuple)):
        for each in node.values() if isinstance(node, dict) else node:
            yield from _parts(each)


def _unstretched(what: str) -> str:
    return f"{what} stays as it is: train.epochs stretches only what MMDetection counts in epochs"


def _at_least_one(epochs: int, factor: Fraction) -> int:
    return max(1, round(epochs * factor))


def _stretch_hook(hook: ConfigDict, factor: Fraction) -> List[str]:
    warnings = []
    if hook["type"] == "YOLOXModeSwitchHook":
        hook.setdefault("num_last_epochs", NUM_LAST_EPOCHS)
    for key, value in hook.items():
        if type(value) is not int or "epoch" not in key:
            continue
        if key not in EPOCHS_OF_HOOKS:
            warnings.append(_unstretched(f"{key} of the hook {hook['type']}"))
        elif key == "begin_epoch" and value:
            # With none EMAHook would count iterations.
            hook[key] = _at_least_one(value, factor)
        else:
            hook[key] = round(value * factor)
    return warnings


def _stretch(scheduler: Dict[str, Any], factor: Fraction, epochs: int) -> None:
    """Stretch one of MMEngine's schedulers, in a config that was for so many ``epochs``."""
    begin, end = scheduler.get("begin", 0), scheduler.get("end", epochs)
    length = end - begin
    begin = scheduler["begin"] = round(begin * factor)
    end = max(round(end * factor), begin + 1)
    if "end" in scheduler:
        scheduler["end"] = end
    for key, value in scheduler.items():
        if key in ("T_max", "total_steps") and value is not None:
            # A wave from begin to end stays one, however the two were rounded.
            scheduler[key] = end - begin if value == length else _at_least_one(value, factor)
        elif key == "step_size":
            scheduler[key] = _at_least_one(value, factor)
        elif key == "milestones":
            scheduler[key] = [_at_least_one(at, factor) for at in value]
        elif key == "periods":
            ends = [0, *(round(at * factor) for at in accumulate(value))]
            scheduler[key] = [max(1, last - first) for first, last in zip(ends, ends[1:])]
        elif key == "gamma" and str(scheduler["type"]).startswith("Exponential"):
            # It acts once an epoch: as much is left in the end.
            scheduler[key] = float(value ** (1 / factor))
