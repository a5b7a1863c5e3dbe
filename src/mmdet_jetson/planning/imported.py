"""What a module imports, parsed once for each content that it ever had.

Parsing all stages takes a third of a second, which is most of what a command with nothing to do
takes. What a content imports never changes, so it is kept by the content's digest, in the folder in
which Python keeps what it compiled of this very module, and by Python's own rules: not where
``PYTHONDONTWRITEBYTECODE`` is set, nor where the folder cannot be written.
"""

import ast
import hashlib
import os
import sys
from contextlib import suppress
from importlib.util import cache_from_source
from pathlib import Path

import msgspec

from mmdet_jetson.errors import UserError
from mmdet_jetson.planning.python_source import parse

_MOST = 5_000
"""Contents that are kept: some ten states of all modules; behind that it begins anew."""


class _Kept(msgspec.Struct, frozen=True):
    """What was parsed, and the digest of what did it: another may parse otherwise."""

    by: str
    imported: dict[str, list[str]]


class Imported:
    """What modules import of a package and of a few others, as far as it is known or asked for."""

    def __init__(self, package: str, others: tuple[str, ...]) -> None:
        self._package, self._others = package, others
        self._by = _digest_of(package, *others)
        self._known: dict[str, list[str]] | None = None
        self._is_new = False

    def names(self, path: Path, content: bytes) -> list[str]:
        """Name what a module imports, also inside functions; expressions import nothing.

        Raises:
            UserError: it is not Python.
        """
        if self._known is None:
            self._known = _read(self._by)
        digest = hashlib.sha256(content).hexdigest()
        if digest not in self._known:
            begins = f"{self._package}."
            self._known[digest] = [
                name
                for name in _imported_names(path, content)
                if name.startswith(begins) or name in self._others
            ]
            self._is_new = True
        return self._known[digest]

    def keep(self) -> None:
        """Keep what was parsed for the next process; one that comes at the same time may not."""
        file = _file()
        if not (self._is_new and self._known and file) or sys.dont_write_bytecode:
            return
        self._is_new = False
        kept = _Kept(self._by, self._known if len(self._known) <= _MOST else {})
        prepared = file.with_suffix(f".{os.getpid()}")
        with suppress(OSError):
            prepared.write_bytes(msgspec.json.encode(kept))
            prepared.replace(file)


def _file() -> Path | None:
    try:
        return Path(cache_from_source(__file__)).with_suffix(".json")
    except NotImplementedError:  # a Python that keeps nothing
        return None


def _read(by: str) -> dict[str, list[str]]:
    with suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
        if file := _file():
            kept = msgspec.json.decode(file.read_bytes(), type=_Kept)
            return kept.imported if kept.by == by else {}
    return {}


def _digest_of(*asked: str) -> str:
    """Tell apart what this module was like, and what it was asked for, when names were found."""
    said = "\n".join(asked).encode()
    return hashlib.sha256(Path(__file__).read_bytes() + said).hexdigest()


def _imported_names(path: Path, content: bytes) -> list[str]:
    found: list[str] = []
    todo: list[ast.AST] = [_parsed(path, content)]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.ImportFrom):
            found.append(str(node.module))
            found += (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            found += (alias.name for alias in node.names)
        inner = (ast.stmt, ast.excepthandler, ast.match_case)
        todo += (each for each in ast.iter_child_nodes(node) if isinstance(each, inner))
    return found


def _parsed(path: Path, content: bytes) -> ast.Module:
    try:
        return parse(content)
    except SyntaxError as error:
        raise UserError(
            f"{path}, line {error.lineno}: this is not Python: {error.msg}",
            "finish the edit, then run again: what was made is kept",
        ) from error
