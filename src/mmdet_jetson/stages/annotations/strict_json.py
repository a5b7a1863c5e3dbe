"""Read JSON that people and annotation tools wrote, and say in a sentence what is wrong with it."""

import json
from pathlib import Path
from typing import Dict, List, Mapping, Sequence, Tuple

from mmdet_jetson.stages.annotations.findings import Defect, Findings

LFS_POINTER = b"version https://git-lfs."
"""How a file begins that Git has put aside."""

_PICTURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM")
_LARGEST = 1e9
"""Far above the side of any picture, and far below where areas lose their precision."""
_NUMBERS = (int, float)  # and no bool
_TEXT_FLAGS = {
    "": False,
    "0": False,
    "0.0": False,
    "false": False,
    "1": True,
    "1.0": True,
    "true": True,
}


def load(path: Path) -> object:
    """The content of a UTF-8 JSON file (a byte order mark is allowed).

    Raises:
        Defect: a folder, unreadable, not UTF-8, not JSON, or an object that names a key twice (the
            standard parser would silently drop the first).
    """
    if path.is_dir():
        raise Defect("is a folder, not a JSON file", "name the annotation file inside it")
    try:
        text = _decoded(path.read_bytes())
    except OSError as error:
        raise Defect(f"cannot be read ({error.strerror})", "make it readable") from error
    except UnicodeDecodeError as error:
        raise Defect(
            f"is not UTF-8 text (byte {error.start})", "save it again with the encoding UTF-8"
        ) from error
    try:
        content: object = json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise Defect(
            f"is not JSON (line {error.lineno}: {error.msg})",
            "export the annotations as JSON; a file cut off while copying looks like this too",
        ) from error
    except ValueError as error:
        raise Defect(f"is not usable JSON ({error})", "export the annotations again") from error
    except RecursionError as error:
        raise Defect("is nested too deeply", "export the annotations again as JSON") from error
    return content


def _decoded(content: bytes) -> str:
    if not content.strip():
        raise Defect("is empty", "export the annotations again")
    if content.startswith(_PICTURES):
        raise Defect("is a picture, not an annotation file", "name the annotation file")
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise Defect("is UTF-16 text", "save it again with the encoding UTF-8")
    if content.startswith(LFS_POINTER):
        raise Defect("is a Git LFS pointer, not the file itself", "bring it by: git lfs pull")
    return content.decode("utf-8-sig")


def _unique(pairs: Sequence[Tuple[str, object]]) -> Dict[str, object]:
    content = dict(pairs)
    if len(content) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise Defect(f'has the key "{twice}" twice in one object', "rename or remove one of them")
    return content


def number(value: object, name: str) -> float:
    """A number of pixels or radians, finite and not absurd.

    Raises:
        Defect: anything else, true and false included; ``name`` says which one.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        hint = "write it without quotes" if isinstance(value, str) else "draw the region again"
        raise Defect(f"{name} is {_shown(value)}, not a number", hint)
    if not abs(value) <= _LARGEST:
        raise Defect(
            f"{name} is {_shown(value)}, which cannot be a coordinate", "draw the region again"
        )
    return float(value)


def flag(raw: Mapping[str, object], key: str, where: str, findings: Findings) -> bool:
    """A yes or no that an exporter may have written as a number, as text, or not at all.

    Raises:
        Defect: anything else.
    """
    value = raw.get(key)
    if value is None:
        return False
    if isinstance(value, str) and value.strip().lower() in _TEXT_FLAGS:
        told = _TEXT_FLAGS[value.strip().lower()]
        findings.warn(f'{key} is the text "{value}" and was read as {int(told)}', where)
        return told
    if isinstance(value, (bool, int, float)) and value in (0, 1):
        return bool(value)
    raise Defect(f"its {key} is {_shown(value)}, neither 0 nor 1", "write 0 or 1")


def positive(value: object, name: str) -> float:
    """A finite number above zero.

    Raises:
        Defect: anything else; ``name`` says which one.
    """
    result = number(value, name)
    if result <= 0:
        raise Defect(f"{name} is {_shown(value)}, it must be above 0", "draw the region again")
    return result


def numbers(values: object, name: str) -> List[float]:
    """A list of finite numbers.

    Raises:
        Defect: not a list, or one of its members is not a finite number.
    """
    if not isinstance(values, list):
        raise Defect(f"{name} is {_shown(values)}, not a list of numbers", "draw the region again")
    if all(type(value) in _NUMBERS and -_LARGEST <= value <= _LARGEST for value in values):
        return list(map(float, values))  # nearly all are: it takes a sixth of what comes next
    return [number(value, f"{name}[{index}]") for index, value in enumerate(values)]


def pairs(values: object) -> List[Tuple[float, float]]:
    """A list of points, each of which is a list of two finite numbers.

    Raises:
        Defect: it is anything else.
    """
    if not isinstance(values, list):
        raise Defect("its points are not a list", "draw the region again")
    points = [numbers(point, f"points[{index}]") for index, point in enumerate(values)]
    if any(len(point) != 2 for point in points):
        raise Defect("one of its points does not have two coordinates", "draw the region again")
    return [(point[0], point[1]) for point in points]


def texts(content: object) -> Dict[str, str]:
    """What an object of JSON says, as text: lists, objects and empty texts say nothing.

    Of pictures those whose key says nothing would otherwise be one group by that key.
    """
    return {
        key: str(value)
        for key, value in (content.items() if isinstance(content, dict) else ())
        if isinstance(value, (str, int, float)) and value != ""
    }


def _shown(value: object) -> str:
    text = "missing" if value is None else json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."
