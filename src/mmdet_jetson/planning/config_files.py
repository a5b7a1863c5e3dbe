"""Which files a Python-style config needs: itself, its local ``_base_`` files and its own modules.

MMEngine's configs inherit by a literal ``_base_`` path or list of paths. Those that name a
package (``mmdet::rtmdet/...``) are pinned by the environment's lock; the local ones are input. So
are the project's own modules that ``custom_imports`` names, with what they import.

A file goes by the name that it is asked for by, also where that is a link: MMEngine looks for a
base beside the path as it is written, and not beside what a link leads to.
"""

import ast
import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from mmdet_jetson.contract import custom_imports
from mmdet_jetson.contract.files import SpecialFile, refuse_special
from mmdet_jetson.errors import ConfigError
from mmdet_jetson.planning.local_modules import Modules, imported_names, local_modules
from mmdet_jetson.planning.python_source import parse
from mmdet_jetson.planning.steps import ExternalInput
from mmdet_jetson.store import Artifact

NAMING = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr)
"""Statements that can say what a name stands for."""


def config_input(root: Path, config: str) -> ExternalInput:
    """Make the config at ``root / config`` the input of a step, with its bases and modules.

    Raises:
        ConfigError: a file is missing, lies outside ``root`` or is not valid Python.
    """
    files = _files(root, config)
    return ExternalInput(lambda: _digest(files), lambda into: _copy(files, into))


def config_name(root: Path, config: str) -> str:
    """Name a config as a stage finds it in its input, however the path to it is written."""
    root = root.resolve()
    path = _first(root, config)
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else config


def carried_folders(root: Path, config: str) -> tuple[str, ...]:
    """Name what a checkpoint has besides weights and config, because its config imports from it."""
    carries = any(name.startswith(f"{custom_imports.FOLDER}/") for name in _files(root, config))
    return (custom_imports.FOLDER,) if carries else ()


def carried_by(checkpoint: Artifact) -> tuple[str, ...]:
    """Name the same of a checkpoint that is made already."""
    return tuple({custom_imports.FOLDER} & checkpoint.titles)


def _files(root: Path, config: str) -> dict[str, Path]:
    """Every file by its name in the input, in the order of their paths."""
    root = root.resolve()
    configs = _closure(root, _first(root, config))
    files = {path.relative_to(root).as_posix(): path for path in sorted(configs)}
    modules: Modules = {}
    for path, tree in configs.items():
        # A config's own folder comes first, as a script's does.
        modules = {**_modules(path, tree, root), **modules}
    files.update(
        (f"{custom_imports.FOLDER}/{place}", path) for place, path in sorted(modules.items())
    )
    return files


def _modules(path: Path, tree: ast.Module, root: Path) -> Modules:
    names = [*_custom_imports(path, tree), *imported_names(tree)]
    beside = dict.fromkeys((path.parent, _real(path).parent))
    try:
        return local_modules(names, (*beside, root))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: imports a module that is no valid Python: {error}") from error


def _closure(root: Path, first: Path) -> dict[Path, ast.Module]:
    todo, seen = [first], dict[Path, ast.Module]()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        for each in (path, _real(path)):
            if not each.is_relative_to(root):
                raise ConfigError(f"{each}: outside the project", f"copy it below {root}")
        seen[path] = _parsed(path)
        todo += [_as_written(path.parent / base) for base in _local_bases(path, seen[path])]
    return seen


def _first(root: Path, config: str) -> Path:
    path = _as_written(root / config)
    # The project's folder itself may be named by a link to it.
    return path if path.is_relative_to(root) else _real(path)


def _as_written(path: Path) -> Path:
    """Take ``..`` out of a path as MMEngine does, which follows no link for that."""
    return Path(os.path.normpath(path))


def _real(path: Path) -> Path:
    # Path.resolve raises where links go round in a circle.
    return Path(os.path.realpath(path))


def _parsed(path: Path) -> ast.Module:
    try:
        refuse_special(path)
        return parse(path.read_text())
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: no such config", "see configs/train and configs/deploy"
        ) from error
    except (SyntaxError, ValueError, IsADirectoryError, SpecialFile) as error:
        raise ConfigError(f"{path}: not a Python config: {error}") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error


def _local_bases(path: Path, tree: ast.Module) -> list[str]:
    bases = [each for value in _values(tree, "_base_") for each in _literal(path, "_base_", value)]
    return [base for base in bases if "::" not in base]


def _custom_imports(path: Path, tree: ast.Module) -> list[str]:
    """Name what a config may import, in whichever block it says so.

    Where it is not said by ``custom_imports = dict(imports=...)``, every text beside that name is
    taken for a module's: what is none has no file, and nothing else comes of it.
    """
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, NAMING) and _names(node, "custom_imports"):
            assigned = isinstance(node, ast.Assign | ast.AnnAssign) and node.value
            imports = _items(assigned).get("imports") if assigned else None
            for value in imports or ():
                names += _literal(path, "custom_imports", value)
            names += [] if imports else _texts(node)
    return names


def _names(statement: ast.stmt, name: str) -> bool:
    return any(isinstance(each, ast.Name) and each.id == name for each in ast.walk(statement))


def _texts(statement: ast.stmt) -> list[str]:
    constants = [each.value for each in ast.walk(statement) if isinstance(each, ast.Constant)]
    return [each for each in constants if isinstance(each, str)]


def _values(tree: ast.Module, name: str) -> list[ast.expr]:
    """What a config assigns to a name at its top level."""
    return [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
    ]


def _items(value: ast.expr) -> Mapping[str, list[ast.expr]]:
    """The items of a dictionary, whether it is written ``dict(key=...)`` or ``{"key": ...}``."""
    items: dict[str, list[ast.expr]] = {}
    if isinstance(value, ast.Call):
        for keyword in value.keywords:
            items.setdefault(keyword.arg or "", []).append(keyword.value)
    elif isinstance(value, ast.Dict):
        for key, item in zip(value.keys, value.values, strict=True):
            if isinstance(key, ast.Constant):
                items.setdefault(str(key.value), []).append(item)
    return items


def _literal(path: Path, name: str, value: ast.expr) -> list[str]:
    try:
        content = ast.literal_eval(value)
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"{path}: {name} is computed, so its files cannot be known before it runs",
            "write it as a string or a list of strings",
        ) from error
    return [content] if isinstance(content, str) else [str(each) for each in content]


def _digest(files: Mapping[str, Path]) -> str:
    digest = hashlib.sha256()
    for name, path in files.items():
        digest.update(name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _copy(files: Mapping[str, Path], into: Path) -> Path:
    for name, path in files.items():
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return into
