"""Annotation files made wrong at random places, in the ways that exporters and people do it."""

import json
import os
from collections.abc import Callable, Iterator
from copy import deepcopy
from random import Random

Node = dict[str, object] | list[object]
Place = tuple[Node, str | int]

COUNT = int(os.environ.get("MMDET_JETSON_TEST_MUTATIONS", "150"))
"""How many files of each kind are tried."""

VALUES: tuple[object, ...] = (
    None, True, False, 0, 1, -1, 2, 7, 0.5, 10**12, 1e300, 1e308, float("nan"), float("inf"),
    -float("inf"), 10**30, "", " ", "x", "0", "1", "7", "1.0", "nan", "kite", "Kite ", "../..",
    "../../a.png", "/etc/passwd", "a\0b", "\ud800", "ünï/cödé.png", "x" * 300, [], {}, [[]], [None],
    [1], [1, 2], [1, 2, 3, 4], [[1, 2, 3]], {"a": 1}, {"id": 1},
)  # fmt: skip

_KEYS = ("id", "filename", "bbox", "label", "type", "x")


def places(node: object) -> Iterator[Place]:
    """Every place of a JSON tree that has a value."""
    items: list[tuple[str | int, object]] = []
    if isinstance(node, dict):
        items = list(node.items())
    elif isinstance(node, list):
        items = list(enumerate(node))
    for key, value in items:
        assert isinstance(node, (dict, list))
        yield node, key
        yield from places(value)


def _get(place: Place) -> object:
    node, key = place
    return node[key]  # type: ignore[index]


def _set(place: Place, value: object) -> None:
    node, key = place
    node[key] = value  # type: ignore[index]


def _drop(place: Place, others: list[Place], random: Random) -> None:
    del place[0][place[1]]  # type: ignore[arg-type]


def _replace(place: Place, others: list[Place], random: Random) -> None:
    _set(place, deepcopy(random.choice(VALUES)))


def _retype(place: Place, others: list[Place], random: Random) -> None:
    value = _get(place)
    ways: list[Callable[[], object]] = [
        lambda: str(value),
        lambda: [value],
        lambda: {"value": value},
        lambda: -value if isinstance(value, (int, float)) else value,
        lambda: value / 100 if isinstance(value, (int, float)) else None,
        lambda: float(value) if isinstance(value, int) else value,
        lambda: list(value.values()) if isinstance(value, dict) else value,
        lambda: dict(enumerate(value)) if isinstance(value, list) else value,
    ]
    _set(place, random.choice(ways)())


def _repeat(place: Place, others: list[Place], random: Random) -> None:
    node, _ = place
    copied = json.loads(json.dumps(_get(place)))
    if isinstance(node, list):
        node.insert(random.randrange(len(node) + 1), copied)
    else:
        node[random.choice([f"again {random.randrange(9)}", *_KEYS])] = copied


def _move(place: Place, others: list[Place], random: Random) -> None:
    """Put a copy of another place's value here."""
    _set(place, json.loads(json.dumps(_get(random.choice(others)))))


def _rename(place: Place, others: list[Place], random: Random) -> None:
    node, key = place
    if isinstance(node, dict):
        node[random.choice([str(key).upper(), f"{key}s", *_KEYS])] = node.pop(str(key))


_CHANGES = (_drop, _replace, _replace, _retype, _retype, _repeat, _move, _rename)


def changed(content: object, random: Random) -> object:
    """The content of a JSON file, wrong at one to four places."""
    tree = json.loads(json.dumps(content))
    for _ in range(random.choice([1, 1, 1, 2, 3, 4])):
        found = list(places(tree))
        if found:
            random.choice(_CHANGES)(random.choice(found), found, random)
    return tree


def mutated(content: object, random: Random) -> bytes:
    """A JSON file that is wrong at one to four places, or as text."""
    text = json.dumps(changed(content, random), ensure_ascii=random.random() < 0.5)
    return _damaged(text, random) if random.random() < 0.08 else _bytes(text)


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _damaged(text: str, random: Random) -> bytes:
    at = random.randrange(len(text))
    ways: list[Callable[[], bytes]] = [
        lambda: _bytes(text[:at]),
        lambda: _bytes(text[:at] + random.choice('{}[]",:0x\n') + text[at:]),
        lambda: _bytes(text[:at] + text[at + 1 :]),
        lambda: b"\xef\xbb\xbf" + _bytes(text),
        lambda: text.encode("utf-16", "replace"),
        lambda: text.encode("latin-1", "replace"),
        lambda: _bytes(text.replace("{", '{"id": 1, "id": 2, ', 1)),
        lambda: b"",
    ]
    return random.choice(ways)()
