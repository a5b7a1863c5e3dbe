"""Packages that nobody mends any more: named in a verdict, and not judged.

The documented stack is of 2022, so nearly every bundle has some; who promotes should know which.
The table holds what had ended when it was last looked at, 2026-11, so that the same bundle has the
same verdict at any time. Of packages without a stated end, such as MMDetection, it says nothing.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mmdet_jetson.bundles.contents import Contents, PartName
from mmdet_jetson.contract.nvidia import is_version


@dataclass(frozen=True)
class Ended:
    """A package as facts call it, how its version starts, and its last month of support."""

    package: str
    version: str
    title: str
    until: str


# https://devguide.python.org/versions, https://numpy.org/neps/nep-0029-deprecation_policy.html,
# https://github.com/pytorch/pytorch/blob/main/RELEASE.md (a release is mended until the next one;
# 1.12 is of 2022-06), https://ubuntu.com/about/release-cycle (what Jetson Linux is built on).
ENDED = (
    Ended("python", "3.6", "Python", "2021-12"),
    Ended("python", "3.7", "Python", "2023-06"),
    Ended("python", "3.8", "Python", "2024-10"),
    Ended("python", "3.9", "Python", "2025-10"),
    Ended("python", "3.10", "Python", "2026-10"),
    Ended("numpy", "1", "NumPy", "2025-09"),
    Ended("torch", "1.11", "PyTorch", "2022-06"),
    Ended("l4t", "32", "Ubuntu 18.04 of Jetson Linux", "2023-05"),
    Ended("l4t", "34", "Ubuntu 20.04 of Jetson Linux", "2025-05"),
    Ended("l4t", "35", "Ubuntu 20.04 of Jetson Linux", "2025-05"),
)
PYTHON = re.compile(r":py(\d+\.\d+)")
"""In the identity of an environment on a machine (`environments.packages`)."""


def no_longer_supported(contents: Contents) -> list[str]:
    """A sentence for each version in the table that a part was made with."""
    used: dict[tuple[str, str], list[PartName]] = {}
    for part in contents.parts:
        for package, version in _versions(contents, part):
            for ended in ENDED:
                if ended.package == package and is_version(version, ended.version):
                    key = f"{ended.title} {_short(version, ended)}", ended.until
                    parts = used.setdefault(key, [])
                    parts.extend([part] if part not in parts else [])
    return [
        f"{what} was supported until {until}: {_list(parts)}."
        for (what, until), parts in sorted(used.items())
    ]


def _versions(contents: Contents, part: PartName) -> Iterator[tuple[str, str]]:
    """What a part says that it was made with; whoever wrote it may have written anything."""
    made = contents.parts[part].provenance
    for package, version in made.facts.items():
        if isinstance(version, str):
            yield package, version.partition("+")[0]
    if found := PYTHON.search(made.environment):
        yield "python", found[1]


def _short(version: str, ended: Ended) -> str:
    """As many numbers as tell what has ended, but at least two: 3.8, 1.23, 35.4."""
    numbers = max(2, ended.version.count(".") + 1)
    return ".".join(re.sub(r"[^0-9.]", "", version).split(".")[:numbers])


def _list(parts: list[PartName]) -> str:
    more = f" and {len(parts) - 1} more" if len(parts) > 1 else ""
    return f"{parts[0]}{more}"
