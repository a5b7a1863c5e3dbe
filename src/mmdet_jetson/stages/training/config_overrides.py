"""A user's changes to a training config, by dotted keys."""

import difflib
from typing import List, Mapping, Sequence

from mmengine import Config, ConfigDict

from mmdet_jetson.stages.errors import StageError


def apply_overrides(config: Config, overrides: Mapping[str, object]) -> None:
    """Set dotted keys: ``optim_wrapper.optimizer.lr``, ``param_scheduler.0.end``.

    A key must exist, so that a misspelt one does not silently train something else. To add
    one, write ``+`` before it: ``+optim_wrapper.clip_grad``; what it is added to must exist.

    Raises:
        StageError: there is no such key; the sentence names the nearest one.
    """
    for key, value in overrides.items():
        path = key.lstrip("+").split(".")
        parent = _find(config, path[:-1], key)
        if not key.startswith("+"):
            _find(config, path, key)
        elif not isinstance(parent, (dict, Config)):
            raise _no_such_key(key, path[-1], [])
        # Dictionaries inside the value become what MMEngine expects, too.
        _assign(parent, path[-1], ConfigDict(value=value).value)


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
    return StageError(
        f'train.overrides: the training config has no "{key.lstrip("+")}": no "{name}"; {known}',
        f'to add a key that the config does not have, write "+{key.lstrip("+")}"',
    )


def _assign(parent: object, name: str, value: object) -> None:
    if isinstance(parent, list):
        parent[int(name)] = value
    else:
        assert isinstance(parent, (dict, Config))  # the caller has found the name there
        parent[name] = value
