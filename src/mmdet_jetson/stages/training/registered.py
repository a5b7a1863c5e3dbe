"""Classes that a config names: whether MMDetection, or a module of the user's, has registered them.

Those of a model and of its pipelines are built where a config is read. The others are built no
sooner than a training is, so that a wrong name is looked for here.
"""

from typing import Iterator, List, Optional, Tuple, Type

from mmdet.registry import (
    DATA_SAMPLERS,
    DATASETS,
    HOOKS,
    LOG_PROCESSORS,
    LOOPS,
    OPTIM_WRAPPER_CONSTRUCTORS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
    PARAM_SCHEDULERS,
    VISBACKENDS,
    VISUALIZERS,
)
from mmengine import Config, Registry
from mmengine.registry import FUNCTIONS

from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.training.explanations import OWN_CLASS
from mmdet_jetson.stages.training.mmdet_config import DATALOADERS, wrapped


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
        if part is not None and not isinstance(part, dict):
            raise StageError(
                f"{place} of the training config is {part!r} and no dictionary",
                "write dict(type='...'), as MMDetection's own configs do",
            )
        # Without a type a part is of MMEngine's own.
        if part and isinstance(part.get("type"), str):
            registered(registry, part["type"], f"{place} of the training config")


def _built_late(config: Config) -> Iterator[Tuple[str, Registry, object]]:
    yield "optim_wrapper", OPTIM_WRAPPERS, config.optim_wrapper
    yield "the optimizer of optim_wrapper", OPTIMIZERS, config.optim_wrapper.get("optimizer")
    constructor = config.optim_wrapper.get("constructor")
    yield "the constructor of optim_wrapper", OPTIM_WRAPPER_CONSTRUCTORS, {"type": constructor}
    for each in _several(config.get("param_scheduler")):
        yield "a param_scheduler", PARAM_SCHEDULERS, each
    for name, each in (config.get("default_hooks") or {}).items():
        yield f"the hook {name} in default_hooks", HOOKS, each
    for each in _several(config.get("custom_hooks")):
        yield "a hook in custom_hooks", HOOKS, each
    for name in DATALOADERS:
        yield f"the sampler in {name}", DATA_SAMPLERS, config[name].get("sampler")
        yield f"the batch_sampler in {name}", DATA_SAMPLERS, config[name].get("batch_sampler")
        yield f"the collate_fn in {name}", FUNCTIONS, config[name].get("collate_fn")
        for dataset in wrapped(config[name].dataset):
            yield f"a dataset in {name}", DATASETS, dataset
    for name in ("train_cfg", "val_cfg", "test_cfg"):
        yield name, LOOPS, config.get(name)
    visualizer = config.get("visualizer") or {}
    yield "the visualizer", VISUALIZERS, visualizer
    for each in visualizer.get("vis_backends") or []:
        yield "a backend of the visualizer", VISBACKENDS, each
    yield "the log_processor", LOG_PROCESSORS, config.get("log_processor")


def _several(parts: object) -> List[object]:
    return list(parts) if isinstance(parts, (list, tuple)) else [parts]
