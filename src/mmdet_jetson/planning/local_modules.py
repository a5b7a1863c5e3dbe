"""Which of a project's own modules a config imports, and what those import in turn.

They are found as Python finds them, in some folders one after the other. What is in none of them is
a package of the environment, which its lock pins, or missing, which only the environment can tell.
"""

import ast
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmdet_jetson.planning.python_source import parse

Modules = dict[str, Path]
"""Files by their place below a folder to import from, with slashes."""


def local_modules(names: Iterable[str], folders: Sequence[Path]) -> Modules:
    """Find modules by their dotted names, with all of the project's that they import.

    A package that is named itself comes whole, because it may load its modules in its own way.

    Raises:
        SyntaxError: a module is not valid Python.
    """
    found: Modules = {}
    todo = []
    for name in names:
        files = _files(name, folders)
        todo += list(files.items())
        for place, path in files.items():
            if path.name == "__init__.py" and place == f"{name.replace('.', '/')}/__init__.py":
                todo += _whole(path.parent, place)
    while todo:
        place, path = todo.pop()
        if place not in found:
            found[place] = path
            for name in _imported(path, place):
                todo += list(_files(name, folders).items())
    return found


def imported_names(tree: ast.AST, package: Sequence[str] = ()) -> list[str]:
    """What a module imports, also inside functions; ``package`` is what its dots start from.

    After ``from a import b``, ``b`` may be a module or not, so both ``a`` and ``a.b`` are named.
    """
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            names += [f"{module}.{alias.name}" for alias in node.names]
            names += [module] if module else []
    return names


def _imported(path: Path, place: str) -> list[str]:
    return imported_names(parse(path.read_text(), str(path)), place.split("/")[:-1])


def _files(name: str, folders: Sequence[Path]) -> Modules:
    """The module's file and the ``__init__.py`` of the packages that it is in."""
    parts = name.split(".")
    if "/" in name or "" in parts:
        return {}
    for folder in folders:
        for length in range(len(parts), 0, -1):
            if (place := _place(folder, parts[:length])) is not None:
                above = ["/".join((*parts[:n], "__init__.py")) for n in range(1, length)]
                places = [*(each for each in above if (folder / each).is_file()), place]
                return {each: folder / each for each in places}
    return {}


def _place(folder: Path, parts: Sequence[str]) -> str | None:
    name = "/".join(parts)
    # A package comes before a module of the same name, as it does in Python.
    choices = (f"{name}/__init__.py", f"{name}.py")
    return next((each for each in choices if (folder / each).is_file()), None)


def _whole(package: Path, place: str) -> list[tuple[str, Path]]:
    above = place.rpartition("/")[0]
    return [(f"{above}/{path.relative_to(package).as_posix()}", path) for path in _below(package)]


def _below(package: Path) -> list[Path]:
    """Find a package's modules, also in folders that are links, as Python does."""
    found: list[Path] = []
    for name, folders, files in os.walk(package, followlinks=True):
        folder = Path(name)
        # A link to a folder above would lead round in a circle.
        real = Path(os.path.realpath(folder))
        folders[:] = [
            each for each in folders if not real.is_relative_to(os.path.realpath(folder / each))
        ]
        found += [folder / each for each in files if each.endswith(".py")]
    return sorted(path for path in found if path.is_file())
