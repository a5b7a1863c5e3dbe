"""Which files a Python-style config needs: itself and the local files of its ``_base_``.

MMEngine's configs inherit by a literal ``_base_`` path or list of paths. Those that name a
package (``mmdet::rtmdet/...``) are pinned by the environment's lock; the local ones are input.
"""

import ast
import hashlib
import shutil
from pathlib import Path

from mmdet_jetson.errors import ConfigError
from mmdet_jetson.planning.steps import ExternalInput


def config_input(root: Path, config: str) -> ExternalInput:
    """Make the config at ``root / config``, with its local bases, the input of a step.

    Raises:
        ConfigError: a file is missing, lies outside ``root`` or is not valid Python.
    """
    files = _closure(root.resolve(), (root / config).resolve())
    return ExternalInput(
        lambda: _digest(root.resolve(), files), lambda into: _copy(root, files, into)
    )


def _closure(root: Path, first: Path) -> list[Path]:
    todo, seen = [first], set[Path]()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        if not path.is_relative_to(root):
            raise ConfigError(f"{path}: outside the project", f"copy it below {root}")
        seen.add(path)
        todo += [(path.parent / base).resolve() for base in _local_bases(path)]
    return sorted(seen)


def _local_bases(path: Path) -> list[str]:
    try:
        tree = ast.parse(path.read_text())
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: no such config", "see configs/train and configs/deploy"
        ) from error
    except (SyntaxError, UnicodeDecodeError, IsADirectoryError) as error:
        raise ConfigError(f"{path}: not a Python config: {error}") from error
    bases: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "_base_" for target in node.targets
        ):
            bases += _literal(path, node.value)
    return [base for base in bases if "::" not in base]


def _literal(path: Path, value: ast.expr) -> list[str]:
    try:
        base = ast.literal_eval(value)
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"{path}: _base_ is computed, so its files cannot be known before it runs",
            "write it as a string or a list of strings",
        ) from error
    return [base] if isinstance(base, str) else list(base)


def _digest(root: Path, files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _copy(root: Path, files: list[Path], into: Path) -> Path:
    for path in files:
        target = into / path.relative_to(root.resolve())
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return into
