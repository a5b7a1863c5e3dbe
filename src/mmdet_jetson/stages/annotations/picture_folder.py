"""Find the pictures of a dataset by the names that annotation files give them.

Tools write paths of the machine that they ran on, addresses, and their own folders in front. What
all these have in common with the files here is the end of the path, so the longest one decides.
"""

import os
import re
import unicodedata
from collections import defaultdict
from os.path import isfile
from pathlib import Path, PurePosixPath
from typing import (
    Callable,
    Container,
    Dict,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)
from urllib.parse import parse_qs, unquote, urlsplit

from mmdet_jetson.stages.annotations.findings import Defect

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif"}
"""How the names of pictures end."""

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
# Label Studio puts eight hexadecimal digits before the name of a picture that is uploaded, and
# stores it as Django does: spaces become underscores, signs but - _ . are left out.
_UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")
_NOT_STORED = re.compile(r"[^-\w.]")
_LONGEST_LINK = 1024
_NO_PATH = re.compile(r"""://|[<>{}"|*?]""")
_LOCAL_FILES = "/local-files/"

Parts = Tuple[str, ...]


class Match(NamedTuple):
    """The file that a name means: its own name, and whether the two are the same."""

    name: str
    exact: bool


class PictureFolder:
    """The files below a folder, found by the names that annotations give them.

    A name is only ever compared with the names of these files, so none can lead out of the folder.
    """

    def __init__(self, folder: Path) -> None:
        # Links to folders, on another disk perhaps, are followed; rglob would not.
        walked = os.walk(folder, followlinks=True)
        places = [os.path.join(at, name) for at, _, names in walked for name in names]  # noqa: PTH118
        start = len(os.path.join(folder, ""))  # noqa: PTH118 - with the slash behind it
        names = sorted((place[start:] for place in filter(isfile, places)), key=_in_parts)
        self._files = {_normal(name): folder / name for name in names}
        self._indexed: Optional[_Index] = None

    def find(self, name: str) -> Match:
        """The file that an annotation's name means.

        That is the one of exactly this name; else the one whose path ends like it in the most
        parts. A name without a picture's suffix means the picture of this name with any.

        Raises:
            Defect: there is no such file, or several are as near.
        """
        if name in self._files:
            return Match(name, exact=True)
        exact = _normal(str(PurePosixPath(name)))
        if exact in self._files:
            return Match(exact, exact=True)
        for parts in _spellings(_normal(name)):
            for near, key in self._nearest(parts):
                if len(near) > 1:
                    raise _ambiguous(near)
                if near:
                    return Match(near[0], exact=_without_suffix(near[0]) == exact == key)
        stored = self._uploaded(_normal(name))
        if len(stored) > 1:
            raise _ambiguous(stored)
        if stored:
            return Match(stored[0], exact=False)
        if name.startswith("/") or ".." in PurePosixPath(name).parts:
            raise Defect(
                "the name points out of the pictures folder, and nothing in it ends like it",
                "put the picture into the pictures folder, or correct its name",
            )
        raise self._missing(exact)

    @property
    def _index(self) -> "_Index":
        """What finds names that are not exact; most folders never need it."""
        if self._indexed is None:
            self._indexed = _Index(self._files)
        return self._indexed

    def _uploaded(self, name: str) -> List[str]:
        """The files whose names become this one where Label Studio stores what is uploaded."""
        last = next((parts[-1] for parts in _spellings(name)), "")
        uploaded = _UPLOADED.match(last)
        return self._index.by_stored.get(last[uploaded.end() :].casefold(), []) if uploaded else []

    def _nearest(self, parts: Parts) -> Iterator[Tuple[List[str], str]]:
        """The files that share the most parts at the end, by stricter ways to compare first."""
        last = parts[-1].casefold()
        if PurePosixPath(last).suffix in SUFFIXES:
            yield _best(parts, self._index.by_last.get(last, ()), lambda name: name), ""
            return
        yield _best(parts, self._index.by_stem.get(last, ()), _without_suffix), "/".join(parts)

    def _missing(self, name: str) -> Defect:
        last = PurePosixPath(name).stem.casefold()
        near = self._index.by_stem.get(last, [])
        return Defect(
            "the picture is missing",
            f'there is "{near[0]}"; rename one of them'
            if near
            else "put it into the pictures folder or remove its entry",
        )

    def path(self, name: str) -> Path:
        """The file of a name that ``find`` returned."""
        return self._files[name]

    def unlisted(self, listed: Container[Path]) -> List[str]:
        """Names of the pictures in the folder that are not among these files."""
        return [
            name
            for name, path in self._files.items()
            if path not in listed and path.suffix.lower() in SUFFIXES
        ]


class _Index:
    """The names of files by their last parts, by these without a suffix, and as uploaded."""

    def __init__(self, names: Iterable[str]) -> None:
        self.by_last: Dict[str, List[str]] = defaultdict(list)
        self.by_stem: Dict[str, List[str]] = defaultdict(list)
        self.by_stored: Dict[str, List[str]] = defaultdict(list)
        for name in names:
            last = PurePosixPath(name)
            self.by_last[last.name.casefold()].append(name)
            if last.suffix.lower() in SUFFIXES:
                self.by_stem[last.stem.casefold()].append(name)
                self.by_stored[_stored(last.name).casefold()].append(name)


def lost_link(path: Path) -> Optional[str]:
    """Where a file that was a symbolic link led before it was copied as text, None if it was none.

    Git does that on file systems without links, and so do some archives.
    """
    if not path.is_file() or path.stat().st_size > _LONGEST_LINK:
        return None
    content = path.read_bytes()
    target = content.decode("utf-8", "replace").strip()
    is_path = "/" in target and target.isprintable() and not _NO_PATH.search(target)
    return target if is_path else None


def _best(parts: Parts, names: Sequence[str], key: Callable[[str], str]) -> List[str]:
    """Those of the names that end in the most of these parts, by upper and lower case as well."""
    shared = {name: _likeness(parts, key(name).split("/")) for name in names}
    most = max(shared.values(), default=(0, 0))
    return [name for name, likeness in shared.items() if likeness == most and most[0]]


def _likeness(parts: Sequence[str], others: Sequence[str]) -> Tuple[int, int]:
    """How many parts two paths share at their ends, whatever their case and in their case."""
    lower = [[part.casefold() for part in path] for path in (parts, others)]
    return _shared(*lower), _shared(parts, others)


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    """How many parts two paths share at their ends."""
    count = 0
    for mine, theirs in zip(reversed(one), reversed(other)):
        if mine != theirs:
            break
        count += 1
    return count


def _spellings(name: str) -> Iterator[Parts]:
    """What a name may be as the parts of a path, the likeliest first."""
    seen = set()
    for path in _paths(name):
        parts = _parts(path)
        if parts and parts not in seen:
            seen.add(parts)
            yield parts
    for parts in sorted(seen, key=len, reverse=True):
        uploaded = _UPLOADED.match(parts[-1])
        if uploaded:
            yield (*parts[:-1], parts[-1][uploaded.end() :])


def _paths(name: str) -> Iterator[str]:
    """A name as it is, as a Windows path, and as an address with and without its query."""
    yield name
    query = _query_of(name)
    if query is not None:
        path, served = query
        if served:
            yield unquote(served)
        yield unquote(path)
        yield path
    yield unquote(name)


def _query_of(name: str) -> Optional[Tuple[str, str]]:
    """The path of an address, and the file that its query names, as of Label Studio's own files."""
    if not _ADDRESS.match(name) and "?" not in name and "#" not in name:
        return None
    try:
        address = urlsplit(name)
    except ValueError:
        return None
    served = parse_qs(address.query).get("d", [""])[0] if _LOCAL_FILES in address.path else ""
    return address.path, served


def _parts(path: str) -> Parts:
    """The parts of a path behind the last '..', whichever slashes it has."""
    parts = [part for part in path.strip().replace("\\", "/").split("/") if part not in ("", ".")]
    if ".." in parts:
        parts = parts[len(parts) - parts[::-1].index("..") :]
    return tuple(parts)


def _in_parts(name: str) -> List[str]:
    """What sorts names as paths are sorted."""
    return name.split("/")


def _stored(name: str) -> str:
    """The name under which Label Studio stores a file (Django's get_valid_name)."""
    return _NOT_STORED.sub("", name.strip().replace(" ", "_"))


def _without_suffix(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _normal(name: str) -> str:
    """One form for names that look the same: macOS stores letters and accents apart."""
    return unicodedata.normalize("NFC", name)


def _ambiguous(near: Sequence[str]) -> Defect:
    listed = " or ".join(f'"{name}"' for name in near[:3])
    more = f" or {len(near) - 3} more" if len(near) > 3 else ""
    return Defect(
        f"the picture may be {listed}{more}", "name it by its path inside the pictures folder"
    )
