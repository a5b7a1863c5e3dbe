"""What the classes of a model are called that was trained elsewhere."""

import json
from typing import Any, Mapping, NamedTuple, Optional, Sequence, Tuple

from mmdet.registry import DATASETS
from mmengine import Config

from mmdet_jetson.stages.checkpoints.weights import listed
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.training.mmdet_config import innermost_of, owners

KEYS = ("classes", "CLASSES")
ADVICE = (
    "write dataset.classes: the names that it was trained with, in that order; a wrong order would "
    "show in the figures alone"
)


class Named(NamedTuple):
    """Names of classes, in the order of the model's outputs, and who says so."""

    names: Tuple[str, ...]
    remarks: Tuple[str, ...] = ()


def class_names(says: Mapping[str, Any], config: Config, given: Sequence[str], name: str) -> Named:
    """Find the names: the checkpoint's, else the config's, else those of its kind of dataset.

    Args:
        says: what the checkpoint says of itself.
        config: what it was trained with.
        given: what the user says they are; empty where the checkpoint is to be asked.
        name: what a sentence calls the checkpoint.

    Raises:
        StageError: nobody says so, or the user says otherwise.
    """
    told, own = _of_checkpoint(says), _of_config(config)
    known = told or own
    if known is None:
        return _unsaid(config, given, name)
    if given and tuple(given) != known:
        raise _others(known, given, name)
    remarks = []
    if told and own and told != own:
        remarks.append(
            f"{name} says that its classes are {listed(told)}, and the config {listed(own)}: "
            "the checkpoint's are taken"
        )
    return Named(known, tuple(remarks))


def _unsaid(config: Config, given: Sequence[str], name: str) -> Named:
    """The user's own word, or what the config's kind of dataset has where the number is right."""
    if given:
        word = (
            f"neither {name} nor its config names classes: {listed(given)} are taken in that "
            "order, which nothing here can check"
        )
        return Named(tuple(given), (word,))
    kind, usual = _of_dataset(config)
    if usual and len(usual) in _counts(config):
        word = (
            f"neither {name} nor its config names classes: the {len(usual)} of {kind} are taken, "
            "which its config reads"
        )
        return Named(usual, (word,))
    raise StageError(f"neither {name} nor its config names the classes of the model", ADVICE)


def _others(known: Tuple[str, ...], given: Sequence[str], name: str) -> StageError:
    """Say in what the user's classes differ from a checkpoint's."""
    leave_out = "leave dataset.classes out: they are then the checkpoint's own"
    if sorted(known) == sorted(given):
        first = next(at for at, pair in enumerate(zip(known, given)) if pair[0] != pair[1])
        return StageError(
            f"dataset.classes has the classes of {name} in another order: its number {first + 1} "
            f"is {json.dumps(known[first])}, not {json.dumps(given[first])}",
            leave_out,
        )
    absent = [each for each in known if each not in given]
    more = [each for each in given if each not in known]
    parts = [f"it has {listed(absent)}, which are not in dataset.classes"] if absent else []
    parts += [f"it has no {listed(more)}"] if more else []
    return StageError(
        f"{name} detects {len(known)} classes, and dataset.classes are others: " + "; ".join(parts),
        leave_out + ("" if more else "; pictures need not show all of them"),
    )


def _of_checkpoint(says: Mapping[str, Any]) -> Optional[Tuple[str, ...]]:
    """What MMEngine writes (dataset_meta), or mmcv 1 (CLASSES)."""
    told = says.get("dataset_meta")
    return _names(told if isinstance(told, dict) else {}) or _names(says)


def _of_config(config: Config) -> Optional[Tuple[str, ...]]:
    for dataset in innermost_of(config, "test_dataloader", "val_dataloader", "train_dataloader"):
        found = _names(dataset.get("metainfo") or {})
        if found:
            return found
    return _names(config.get("metainfo") or {})


def _of_dataset(config: Config) -> Tuple[str, Optional[Tuple[str, ...]]]:
    kind = next((each.get("type") for each in innermost_of(config, "test_dataloader")), None)
    found = DATASETS.get(kind) if isinstance(kind, str) else None
    return str(kind), _names(getattr(found, "METAINFO", {}))


def _names(told: Mapping[str, Any]) -> Optional[Tuple[str, ...]]:
    for key in KEYS:
        names = told.get(key)
        if isinstance(names, str):  # ('balloon') is no tuple
            return (names,)
        if isinstance(names, (list, tuple)) and names:
            return tuple(map(str, names))
    return None


def _counts(config: Config) -> Sequence[int]:
    """How many classes the model's heads have."""
    parts = {key: part for key, part in config.model.items() if key != "backbone"}
    return [each["num_classes"] for each in owners(parts, "num_classes")]
