"""The config that a checkpoint says it was trained with, read as data: nothing in it is run.

MMEngine writes it into every checkpoint, as Python without calls but ``dict``. A file from the web
must not run here, and a config would.
"""

import ast
from typing import Dict

from mmengine import Config

from mmdet_jetson.stages.errors import StageError

NAME_IT = (
    "name the config as model.config: a file, or one of MMDetection's own, such as "
    '"mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py"'
)


def literal_config(text: str, name: str) -> Config:
    """Read a config that is plain data; ``name`` is what a sentence calls the checkpoint.

    Raises:
        StageError: it is more than that.
    """
    try:
        return Config(_assigned(ast.parse(text)))
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise StageError(
            f"the config inside {name} is more than plain data, so it is not run", NAME_IT
        ) from error


def _assigned(tree: ast.Module) -> Dict[str, object]:
    values: Dict[str, object] = {}
    for statement in tree.body:
        if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
            raise ValueError
        target = statement.targets[0]
        if not isinstance(target, ast.Name):
            raise ValueError  # noqa: TRY004 - one error for whatever is no plain data
        values[target.id] = _value(statement.value)
    return values


def _value(node: ast.expr) -> object:
    """Evaluate literals, and ``dict(key=literal)``."""
    if isinstance(node, ast.Call):
        if not isinstance(node.func, ast.Name) or node.func.id != "dict" or node.args:
            raise ValueError
        return {_key(each): _value(each.value) for each in node.keywords}
    if isinstance(node, ast.Dict):
        if None in node.keys:
            raise ValueError
        keys = (ast.literal_eval(key) for key in node.keys if key)
        return dict(zip(keys, map(_value, node.values)))
    if isinstance(node, ast.List):
        return [_value(each) for each in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_value(each) for each in node.elts)
    return ast.literal_eval(node)


def _key(keyword: ast.keyword) -> str:
    if keyword.arg is None:
        raise ValueError
    return keyword.arg
