"""What a config has for MMDetection 2, which the release of today passes over in silence."""

from typing import List, Mapping

INSTEAD = {
    "fp16": "optim_wrapper = dict(type='AmpOptimWrapper', ...)",
    "lr_config": "param_scheduler",
    "optimizer_config": "optim_wrapper",
    "checkpoint_config": "default_hooks.checkpoint",
    "log_config": "default_hooks.logger",
    "total_epochs": "train_cfg.max_epochs",
}
"""By its name, what MMEngine reads in its place (MMEngine's guide "Migrate Runner from MMCV")."""


def earlier_warnings(config: Mapping[str, object]) -> List[str]:
    """Say which sections of a training config are not used; one sentence, or none.

    A name that is None is what a config writes to be rid of one.
    """
    found = [name for name in INSTEAD if config.get(name) is not None]
    if not found:
        return []
    instead = "; ".join(f"{name}: {INSTEAD[name]}" for name in found)
    return [
        f"{', '.join(found)} of the training config {'is' if len(found) == 1 else 'are'} of "
        f"MMDetection 2 and not used (instead of {instead})"
    ]
