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
        values[target.id] = ast.literal_eval(_Dicts().visit(statement.value))
    return values


class _Dicts(ast.NodeTransformer):
    """Write ``dict(key=value)`` as ``{"key": value}``, which is a literal."""

    def visit_Call(self, node: ast.Call) -> ast.Dict:
        names = [keyword.arg for keyword in node.keywords]
        if not isinstance(node.func, ast.Name) or node.func.id != "dict" or node.args:
            raise ValueError
        if None in names:  # dict(**more)
            raise ValueError
        values = [self.visit(keyword.value) for keyword in node.keywords]
        return ast.Dict([ast.Constant(name) for name in names], values)
