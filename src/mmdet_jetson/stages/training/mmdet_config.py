"""Change an MMDetection config for a job: pure changes, each of them tested on its own.

Each does one thing to one config: where its data lie, its classes, its batch size.
"""

from typing import Dict, Iterator, List, Sequence

from mmengine import Config, ConfigDict

SPLITS = {"train": "train", "val": "val", "test": "val"}
DATALOADERS = tuple(f"{split}_dataloader" for split in SPLITS)
EVALUATORS = ("val_evaluator", "test_evaluator")
# What a Runner and MMDeploy read; other names in a config file are its own variables.
KEPT = (
    *("default_scope", "custom_imports", "model", "test_pipeline", *DATALOADERS),
    *("train_cfg", "val_cfg", "test_cfg", *EVALUATORS),
    *("optim_wrapper", "param_scheduler", "auto_scale_lr", "default_hooks", "custom_hooks"),
    *("env_cfg", "visualizer", "log_processor", "log_level", "randomness"),
)


def set_dataset(config: Config, root: str, classes: Sequence[str]) -> None:
    """Point every split at a `dataset` artifact in ``root`` and name its ``classes``."""
    for split, folder in SPLITS.items():
        dataset = innermost(config[f"{split}_dataloader"].dataset)
        dataset.data_root = f"{root}/"
        dataset.ann_file = f"{folder}.json"
        dataset.data_prefix = {"img": f"{folder}/"}
        dataset.metainfo = {"classes": tuple(classes)}
        if split != "train":
            config[f"{split}_evaluator"].ann_file = f"{root}/{folder}.json"


def innermost(dataset: ConfigDict) -> ConfigDict:
    """Look through wrappers such as MultiImageMixDataset and RepeatDataset."""
    *_, last = wrapped(dataset)
    return last


def innermost_of(config: Config, *parts: str) -> Iterator[ConfigDict]:
    """Give what these dataloaders read, of those that a config has and that say it."""
    for part in parts:
        dataset = (config.get(part) or {}).get("dataset")
        if isinstance(dataset, dict):
            yield innermost(dataset)


def wrapped(dataset: ConfigDict) -> Iterator[ConfigDict]:
    """Give a dataset and those that it wraps, from without to within."""
    yield dataset
    if "dataset" in dataset:
        yield from wrapped(dataset.dataset)


def set_class_count(config: Config, count: int) -> None:
    """Set ``num_classes`` of every head; a backbone's belongs to its own pre-training."""
    for key, part in config.model.items():
        if key != "backbone":
            for owner in owners(part, "num_classes"):
                owner["num_classes"] = count


def owners(node: object, key: str) -> Iterator[ConfigDict]:
    """Find the dictionaries that have a key, at any depth."""
    if isinstance(node, dict):
        if key in node:
            yield node
        children: Sequence[object] = list(node.values())
    else:
        children = node if isinstance(node, (list, tuple)) else ()
    for child in children:
        yield from owners(child, key)


def pipelines(config: Config) -> Iterator[List[ConfigDict]]:
    """Find every list of transforms that a training or an evaluation builds."""
    for part in (*DATALOADERS, "custom_hooks"):
        for key in ("pipeline", "switch_pipeline"):
            for owner in owners(config.get(part), key):
                yield owner[key]


def set_batch_size(config: Config, batch_size: int) -> None:
    """Train with this many pictures a step; the learning rate is the config's business."""
    config.train_dataloader.batch_size = batch_size


def set_workers(config: Config, workers: int, pin_memory: bool) -> None:
    """Load pictures in ``workers`` processes for each dataloader, in this process with 0."""
    for name in DATALOADERS:
        dataloader = config[name]
        dataloader.num_workers = workers
        dataloader.persistent_workers = workers > 0
        dataloader.pin_memory = pin_memory
        if workers == 0:
            # PyTorch refuses it without workers.
            dataloader.pop("prefetch_factor", None)


def drop_downloads(model: ConfigDict) -> List[str]:
    """Remove every ``init_cfg`` that takes weights from an address or a file; return those.

    A stage has no network, and of files only its inputs. Weights come by the input ``weights``,
    checked by their digest.
    """
    found: List[str] = []
    for owner in owners(model, "init_cfg"):
        found += _without_sources(owner)
    for owner in owners(model, "pretrained"):
        if isinstance(owner["pretrained"], str):
            found.append(owner["pretrained"])
            owner["pretrained"] = None
    return found


def _without_sources(owner: Dict[str, object]) -> List[str]:
    init = owner["init_cfg"]
    several = [
        each for each in (init if isinstance(init, list) else [init]) if isinstance(each, dict)
    ]
    sources = [str(each["checkpoint"]) for each in several if each.get("checkpoint")]
    if sources:
        owner["init_cfg"] = [each for each in several if not each.get("checkpoint")] or None
    return sources


def portable(config: Config, classes: Sequence[str]) -> Config:
    """Return the config for a `checkpoint` artifact: flat, without paths of this machine.

    Its data lie in ``dataset/``, beside wherever it is used.
    """
    parts = {key: value for key, value in config.to_dict().items() if key in KEPT}
    # MMDeploy reads the top-level name, MMDetection the dataloader's.
    parts["test_pipeline"] = parts["test_dataloader"]["dataset"]["pipeline"]
    flat = Config(parts)
    set_dataset(flat, "dataset", classes)
    return flat
