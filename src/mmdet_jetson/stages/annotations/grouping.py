"""Which pictures have to stay together where one folder is split, so that nothing leaks.

Pictures belong together

- that a setting puts together: a key of the annotation file, or a regular expression of the name;
- or that their names do: augmented copies that Roboflow made of one picture, and frames of a
  video, whose names differ in a number at their end only. Photos are numbered, too. So a series is
  a video where a word of its name or its folder says so, and else only those neighbours in it
  belong together that look alike;
- and in any case those that show the same pixels or nearly the same.
"""

import difflib
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from mmdet_jetson.contract.grouping import BY_NAMES, NO_GROUPS, is_key, pattern_of
from mmdet_jetson.stages.annotations.findings import Findings
from mmdet_jetson.stages.annotations.near_duplicates import Pair, look_alike
from mmdet_jetson.stages.annotations.records import Example
from mmdet_jetson.stages.errors import StageError

ALIKE = 20
"""Bits of 64 that the hashes of neighbours in a series differ by at most, of one scene."""
_PICTURE = "jpe?g|png|bmp|gif|webp|tiff?"
_ROBOFLOW = re.compile(rf"(.+)_(?:{_PICTURE})\.rf\.[0-9A-Za-z_-]+", re.IGNORECASE)
_NUMBERED = re.compile(r"(.*?)([0-9]+)")
_OF_A_VIDEO = re.compile(
    r"(?<![a-z])(frames?|frm|videos?|vid|clips?|cam|camera|seq|sequence|scene"
    r"|mp4|avi|mov|mkv|webm|m4v)(?![a-z])",
    re.IGNORECASE,
)
ALONE = "alone"
_CHAIN = 10  # groups: fewer that near-duplicates join are no chain
_CHAINED = (
    "near-duplicates were not kept together, as one leads to the next through more than half of "
    "the pictures (a camera that does not move?); dataset.group can say what belongs together"
)


@dataclass(frozen=True)
class Group:
    """Pictures, by their indices, that go into one split; ``why`` says what put them together."""

    key: str
    why: str
    members: Tuple[int, ...]


class _Place(NamedTuple):
    """What a picture's setting or name says that it belongs to."""

    key: str
    why: str = ALONE


class _Numbered(NamedTuple):
    """The series that a name is of, and its number there."""

    series: str
    number: int


def groups_of(
    examples: Sequence[Example], group: str, pairs: Sequence[Pair], findings: Findings
) -> List[Group]:
    """Each picture in one group; the same whatever the order of the pictures.

    ``group`` is the setting, ``pairs`` are near-duplicates. Groups that were made are warned of.
    """
    places = _placed(examples, group, findings)
    union = Union(len(examples))
    firsts: Dict[str, int] = {}
    for index, place in enumerate(places):
        union.join(firsts.setdefault(place.key, index), index, place.why)
    if group == BY_NAMES:
        _join_neighbours(examples, places, union)
    _join_same_pixels(examples, union)
    _join_duplicates(pairs, union, findings)
    reasons = union.reasons()
    groups = [
        Group(
            key=min(places[index].key for index in members),
            why=" and ".join(reasons.get(union.root(members[0]), [ALONE])),
            members=tuple(members),
        )
        for members in union.sets()
    ]
    _tell(groups, findings)
    return groups


def _placed(examples: Sequence[Example], group: str, findings: Findings) -> List[_Place]:
    if group == NO_GROUPS:
        return [_Place(example.name) for example in examples]
    if group == BY_NAMES:
        return [_by_name(example.name) for example in examples]
    pattern = pattern_of(group)
    told = [
        _told_by_name(pattern, example.name) if pattern else example.keys.get(group)
        for example in examples
    ]
    if all(value is None for value in told):
        raise _no_group(examples, group)
    for example, value in zip(examples, told):
        if value is None:
            what = f"has no {group}" if is_key(group) else "does not match dataset.group"
            findings.warn(f"in no group, as it {what}", example.name)
    why = group if is_key(group) else "dataset.group finds"
    return [
        _Place(example.name) if value is None else _Place(f"{group}={value}", f"{why} {value}")
        for example, value in zip(examples, told)
    ]


def _no_group(examples: Sequence[Example], group: str) -> StageError:
    """What to say of a setting that puts no picture into a group: it is hardly meant."""
    if not is_key(group):
        return StageError(
            f"dataset.group '{group}' matches the name of no picture, such as {examples[0].name}",
            'correct the regular expression, or set "names" or "none"',
        )
    keys = sorted({key for example in examples for key in example.keys})
    near = difflib.get_close_matches(group, keys, n=1, cutoff=0.5)
    hint = f'did you mean "{near[0]}"?' if near else f"they have: {', '.join(keys[:20]) or 'none'}"
    return StageError(f'dataset.group is "{group}", a key that no picture\'s entry has', hint)


def _told_by_name(pattern: "re.Pattern[str]", name: str) -> Optional[str]:
    found = pattern.search(name)
    return found.group(1) if found else None


def _by_name(name: str) -> _Place:
    original = _original(name)
    numbered = _numbered(original)
    if numbered and _OF_A_VIDEO.search(numbered.series):
        return _Place(f"{numbered.series}*", f"frames {numbered.series}*")
    stem = str(PurePosixPath(name).with_suffix(""))
    return _Place(name) if original == stem else _Place(original, f"copies of {original}")


def _original(name: str) -> str:
    """The name, without its suffix, of the picture that this is an augmented copy of, or is."""
    path = PurePosixPath(name)
    copied = _ROBOFLOW.fullmatch(path.stem)
    return str(path.with_name(copied.group(1) if copied else path.stem))


def _numbered(original: str) -> Optional[_Numbered]:
    path = PurePosixPath(original)
    found = _NUMBERED.fullmatch(path.name)
    if not found:
        return None
    folder = "" if str(path.parent) == "." else f"{path.parent}/"
    return _Numbered(f"{folder}{found.group(1)}", int(found.group(2)))


def _join_neighbours(examples: Sequence[Example], places: Sequence[_Place], union: "Union") -> None:
    """Join pictures that follow each other in a series and look alike."""
    series: Dict[str, List[Tuple[int, str, int]]] = {}
    for index, example in enumerate(examples):
        numbered = _numbered(_original(example.name))
        if numbered and not places[index].key.endswith("*"):
            entry = numbered.number, example.name, index
            series.setdefault(numbered.series, []).append(entry)
    for listed in series.values():
        listed.sort()
        for (_, _, one), (_, _, other) in zip(listed, listed[1:]):
            if look_alike(examples[one].fingerprint, examples[other].fingerprint, ALIKE):
                union.join(one, other, "a scene of numbered pictures")


def _join_same_pixels(examples: Sequence[Example], union: "Union") -> None:
    firsts: Dict[str, int] = {}
    for index, example in enumerate(examples):
        first = firsts.setdefault(example.digest, index)
        if first != index:
            union.join(first, index, "the same pixels")


def _join_duplicates(pairs: Sequence[Pair], union: "Union", findings: Findings) -> None:
    """Join near-duplicates, unless one leads to the next through more than half of all pictures."""
    trial = union.copy()
    for pair in pairs:
        trial.join(pair.first, pair.second)
    links: Dict[int, int] = {}
    for members in union.sets():
        root = trial.root(members[0])
        links[root] = links.get(root, 0) + 1
    size = {trial.root(members[0]): len(members) for members in trial.sets()}
    chained = {root for root in size if links[root] >= _CHAIN and 2 * size[root] > len(union)}
    for root in chained:  # it is more than half: one at most
        findings.warn(_CHAINED, f"{size[root]} of {len(union)} pictures")
    for pair in pairs:
        if trial.root(pair.first) not in chained:
            union.join(pair.first, pair.second, "near-duplicates")


class Union:
    """Sets of indices that are joined, and why each was."""

    def __init__(self, count: int) -> None:
        self._parents = list(range(count))
        self._reasons: List[Tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._parents)

    def root(self, index: int) -> int:
        """The index that stands for the set."""
        while self._parents[index] != index:
            self._parents[index] = index = self._parents[self._parents[index]]
        return index

    def join(self, one: int, other: int, why: str = "") -> None:
        """Make one set of two."""
        first, second = self.root(one), self.root(other)
        self._parents[max(first, second)] = min(first, second)
        if first != second and why:
            self._reasons.append((one, why))

    def sets(self) -> List[List[int]]:
        """The sets, each in order."""
        found: Dict[int, List[int]] = {}
        for index in range(len(self)):
            found.setdefault(self.root(index), []).append(index)
        return list(found.values())

    def reasons(self) -> Dict[int, List[str]]:
        """Why there is each set, by the index that stands for it."""
        found: Dict[int, List[str]] = {}
        for index, why in self._reasons:
            listed = found.setdefault(self.root(index), [])
            if why not in listed:
                listed.append(why)
        return found

    def copy(self) -> "Union":
        """The same sets, to be joined further."""
        other = Union(len(self))
        other._parents = list(self._parents)
        return other


def _tell(groups: Sequence[Group], findings: Findings) -> None:
    for group in sorted(groups, key=lambda each: -len(each.members)):
        if len(group.members) > 1:
            what = f"{group.key} ({len(group.members)} pictures, {group.why})"
            findings.warn("kept together in one split", what)
