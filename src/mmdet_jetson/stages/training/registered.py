"""Classes that a config names: whether MMDetection, or a module of the user's, has registered them.

Those of a model and of its pipelines are built where a config is read. The others are built no
sooner than a training is, so that a wrong name is looked for here.
"""

from typing import Iterator, List, Optional, Tuple, Type

from mmdet.registry import (
    DATA_SAMPLERS,
    HOOKS,
    LOG_PROCESSORS,
    LOOPS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
    PARAM_SCHEDULERS,
    VISUALIZERS,
)
from mmengine import Config, Registry

from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.training.explanations import OWN_CLASS
from mmdet_jetson.stages.training.mmdet_config import DATALOADERS


def registered(registry: Registry, kind: object, place: str) -> Type[object]:
    """Give a class by its name; ``place`` is what a sentence calls the part that is of it.

    Raises:
        StageError: there is none of that name.
    """
    found: Optional[Type[object]] = registry.get(kind) if isinstance(kind, str) else None
    if found is None:
        raise StageError(
            f"{place} is a {kind}, which is not registered with MMDetection", OWN_CLASS
        )
    return found


def check_registered(config: Config) -> None:
    """Look up what only a training builds.

    Raises:
        StageError: a part is of a class that nobody knows.
    """
    for place, registry, part in _built_late(config):
        # Without a type a part is of MMEngine's own.
        if isinstance(part, dict) and isinstance(part.get("type"), str):
            registered(registry, part["type"], f"{place} of the training config")


def _built_late(config: Config) -> Iterator[Tuple[str, Registry, object]]:
    yield "optim_wrapper", OPTIM_WRAPPERS, config.optim_wrapper
    yield "the optimizer of optim_wrapper", OPTIMIZERS, config.optim_wrapper.get("optimizer")
    for each in _several(config.get("param_scheduler")):
        yield "a param_scheduler", PARAM_SCHEDULERS, each
    for name, each in (config.get("default_hooks") or {}).items():
        yield f"the hook {name} in default_hooks", HOOKS, each
    for each in _several(config.get("custom_hooks")):
        yield "a hook in custom_hooks", HOOKS, each
    for name in DATALOADERS:
        yield f"the sampler in {name}", DATA_SAMPLERS, config[name].get("sampler")
    for name in ("train_cfg", "val_cfg", "test_cfg"):
        yield name, LOOPS, config.get(name)
    yield "the visualizer", VISUALIZERS, config.get("visualizer")
    yield "the log_processor", LOG_PROCESSORS, config.get("log_processor")


def _several(parts: object) -> List[object]:
    return list(parts) if isinstance(parts, (list, tuple)) else [parts]
