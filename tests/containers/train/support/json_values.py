"""Values deep inside JSON and configs, which have no types of their own."""

from __future__ import annotations


def at(content: object, path: str) -> object:
    """Give the value at a dotted path; a number is a place in a list."""
    for name in path.split("."):
        if isinstance(content, (list, tuple)):
            content = content[int(name)]
        else:
            assert isinstance(content, dict), f"{path}: nothing is below {name}"
            content = content[name]
    return content
