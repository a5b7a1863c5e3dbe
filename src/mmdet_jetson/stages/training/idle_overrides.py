"""Overrides that change nothing that is trained: refused, with the key that would."""

import re
from difflib import SequenceMatcher
from typing import Iterable, Iterator, List, Tuple

from mmengine import Config

from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.training.config_overrides import path_of
from mmdet_jetson.stages.training.mmdet_config import DATALOADERS, EVALUATORS, KEPT

# What a training is built from. MMDeploy's `test_pipeline` is made of test_dataloader's.
READ = (
    *(key for key in KEPT if key != "test_pipeline"),
    *("load_from", "resume", "experiment_name", "compile"),
)
# As `set_dataset` does, whatever a config says.
OF_THE_DATASET = re.compile(
    rf"({'|'.join(DATALOADERS)})(\.dataset)+\.(data_root|ann_file|data_prefix|metainfo)(\..*)?"
    rf"|({'|'.join(EVALUATORS)})\.ann_file"
)
OF_OURS = "set it below [dataset] in pipeline.toml"
OF_THE_PIPELINE = {
    "train_cfg.max_epochs": "train.epochs",
    "train_dataloader.batch_size": "train.batch_size",
    "randomness.seed": "train.seed",
}
ALIKE = 0.6
"""How much the names of a number and of the place that it went to have in common."""

Place = Tuple[str, ...]


def check_effective(config: Config, keys: Iterable[str], *, has_modules: bool) -> List[str]:
    """Refuse keys of overrides that nobody reads; return warnings about what only a module may.

    ``config`` is as its file has it: a name in it that is no part of a training has been read by
    then. ``has_modules`` tells whether modules of the user's see the config, too.

    Raises:
        StageError: the sentence names the key, and where its value would have an effect.
    """
    warnings = []
    for key in keys:
        path = path_of(key)
        if OF_THE_DATASET.fullmatch(".".join(path)):
            raise StageError(
                f'train.overrides: "{key}" would change nothing: where the data lie and what '
                "their classes are is set by the pipeline",
                OF_OURS,
            )
        adds = key.startswith("+") and len(path) == 1
        if path[0] in READ or not (adds or path[0] in config):
            continue  # what is not there is for `apply_overrides` to refuse
        if not has_modules:
            raise StageError(
                f'train.overrides: "{key}" would change nothing: {path[0]} is only a name in the '
                "config file, and where its value belongs it has been put already",
                _advice(config, path),
            )
        warnings.append(
            f'train.overrides: "{key}" changes nothing that MMDetection reads, only what modules '
            f"of your own may: {path[0]} is only a name in the config file"
        )
    return warnings


def _advice(config: Config, path: List[str]) -> str:
    name, value = path[0], config.get(path[0])
    places = [each for each in _places(config, value) if _belongs(name, value, each)]
    if not places:
        return "override the key that the value belongs to, such as optim_wrapper.optimizer.lr"
    place = max(places, key=lambda each: (_likeness(name, each[-1]), _same_split(name, each[0])))
    key = ".".join((*place, *path[1:]))
    if OF_THE_DATASET.fullmatch(key):
        return OF_OURS
    ours = OF_THE_PIPELINE.get(key)
    return f"set {ours}" if ours else f'override "{key}"'


def _belongs(name: str, value: object, place: Place) -> bool:
    """Whether a value is at a place because of its name, and not because numbers are alike."""
    if isinstance(value, (dict, list)) and value:
        return True
    return place[-1] in name.split("_") or _likeness(name, place[-1]) >= ALIKE


def _same_split(name: str, section: str) -> bool:
    return name.partition("_")[0] == section.partition("_")[0]


def _likeness(name: str, other: str) -> float:
    return SequenceMatcher(None, name, other).ratio()


def _places(config: Config, value: object) -> Iterator[Place]:
    for section in READ:
        if section in config:
            yield from _equal(config[section], value, (section,))


def _equal(node: object, value: object, place: Place) -> Iterator[Place]:
    if type(node) is type(value) and node == value:
        yield place
    elif isinstance(node, dict):
        for key, child in node.items():
            yield from _equal(child, value, (*place, str(key)))
    elif isinstance(node, list):
        for index, child in enumerate(node):
            yield from _equal(child, value, (*place, str(index)))
