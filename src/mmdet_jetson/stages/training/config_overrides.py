"""A user's changes to a training config, by dotted keys."""

import difflib
from typing import List, Mapping, Sequence

from mmengine import Config, ConfigDict

from mmdet_jetson.stages.errors import StageError


def apply_overrides(config: Config, overrides: Mapping[str, object]) -> None:
    """Set dotted keys: ``optim_wrapper.optimizer.lr``, ``param_scheduler.0.end``.

    A key must exist, so that a misspelt one does not silently train something else. To add
    one, write ``+`` before it: ``+optim_wrapper.clip_grad``; what it is added to must exist. A
    table is added so whole, and merged into one that is there. With the value None a key is looked
    for, and left as it is.

    Raises:
        StageError: there is no such key; the sentence names the nearest one.
    """
    for key, value in overrides.items():
        path = path_of(key)
        parent = _find(config, path[:-1], key)
        if "+" not in key:
            _find(config, path, key)
        elif not isinstance(parent, (dict, Config)):
            raise _no_such_key(key, path[-1], [])
        if value is not None:
            _assign(parent, path[-1], value, merge="+" in key)


def path_of(key: str) -> List[str]:
    """Give the names in a dotted key; a ``+`` may stand before any, as in a table of TOML."""
    return [name.lstrip("+") for name in key.split(".")]


def _find(config: Config, path: Sequence[str], key: str) -> object:
    node: object = config
    for name in path:
        choices = _choices(node)
        if name not in choices:
            raise _no_such_key(key, name, choices)
        node = _child(node, name)
    return node


def _child(node: object, name: str) -> object:
    if isinstance(node, list):
        return node[int(name)]
    assert isinstance(node, (dict, Config))  # nothing else has choices
    return node[name]


def _choices(node: object) -> List[str]:
    if isinstance(node, (dict, Config)):
        return [str(key) for key in node]
    return [str(index) for index in range(len(node))] if isinstance(node, list) else []


def _no_such_key(key: str, name: str, choices: Sequence[str]) -> StageError:
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.0)
    known = f'the nearest is "{near[0]}"' if near else "there is nothing to set below it"
    plain = ".".join(path_of(key))
    return StageError(
        f'train.overrides: the training config has no "{plain}": no "{name}"; {known}',
        f'to add a key that the config does not have, write "+{plain}"',
    )


def _assign(parent: object, name: str, value: object, *, merge: bool) -> None:
    old = _child(parent, name) if name in _choices(parent) else None
    # Dictionaries inside the value become what MMEngine expects, too.
    new = ConfigDict(value=_like(old, value)).value
    if merge and isinstance(old, dict) and isinstance(new, dict):
        for key, each in new.items():
            _assign(old, key, each, merge=True)
    elif isinstance(parent, list):
        parent[int(name)] = new
    else:
        assert isinstance(parent, (dict, Config))  # the caller has found the name there
        parent[name] = new


def _like(old: object, new: object) -> object:
    """Give lists of ``new`` as tuples where ``old`` has those: TOML has none, MMDetection asks."""
    if isinstance(new, list):
        olds = list(old) if isinstance(old, (list, tuple)) else []
        items = [_like(_counterpart(olds, index, each), each) for index, each in enumerate(new)]
        return tuple(items) if isinstance(old, tuple) else items
    if isinstance(new, dict):
        olds_by_key = old if isinstance(old, dict) else {}
        return {key: _like(olds_by_key.get(key), each) for key, each in new.items()}
    return new


def _counterpart(olds: Sequence[object], index: int, new: object) -> object:
    """Find what an item replaces: a part of the same type, or what is at its place."""
    if isinstance(new, dict) and "type" in new:
        alike = (each for each in olds if isinstance(each, dict) and each.get("type"))
        return next((each for each in alike if each["type"] == new["type"]), None)
    return olds[min(index, len(olds) - 1)] if olds else None
