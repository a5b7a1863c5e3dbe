"""Split one set of pictures in two by groups, so that both show each class in like shares.

It is the iterative stratification of K. Sechidis, G. Tsoumakas and I. Vlahavas, On the
Stratification of Multi-Label Data, ECML PKDD 2011, over groups of pictures instead of pictures: the
class that fewest of the remaining pictures show is dealt out first, to what still demands it. What
is another way here: the validation split is filled first, in an order that a digest of seed and
group gives. So a picture that is added moves few of the others, and the same seed gives the same
split on every machine: nothing depends on the order of files, on Python's hashes or on fractions.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from typing import Counter as Counts
from typing import Dict, FrozenSet, List, Mapping, Optional, Sequence, Set, Tuple

from mmdet_jetson.stages.annotations.findings import Findings
from mmdet_jetson.stages.annotations.grouping import Group
from mmdet_jetson.stages.annotations.records import Example
from mmdet_jetson.stages.errors import StageError

_TOLERATED = 0.1  # of the share that was asked for
_NOTHING = ""
"""The label of pictures without objects; no class has that name."""


@dataclass(frozen=True)
class PlacedGroup:
    """Where a group went and why it is one."""

    split: str
    why: str
    pictures: Tuple[str, ...]


@dataclass(frozen=True)
class SplitRecord:
    """``split.json``: how one folder was split; ``asked``, ``reached`` are shares of pictures."""

    seed: int
    group: str
    asked: float
    reached: float
    groups: Mapping[str, PlacedGroup]


@dataclass(frozen=True)
class Wanted:
    """What was asked for: the share of pictures that validate, and the settings beside it."""

    fraction: float
    seed: int
    group: str


@dataclass(frozen=True)
class _Share:
    """A group to be dealt out: how many of its pictures show each class, its place in line."""

    index: int
    shows: Counts[str]
    size: int
    rank: bytes


def check_fraction(pictures: int, fraction: float) -> None:
    """Check that neither split would be empty.

    Raises:
        StageError: one would.
    """
    wanted = Fraction(str(fraction)) * pictures
    if 2 * wanted < 1 or 2 * (pictures - wanted) < 1:
        name = "val" if 2 * wanted < 1 else "train"
        raise StageError(
            f"split = {fraction:g} of {pictures} picture{'s' * (pictures != 1)} leaves the {name} "
            "split empty",
            "choose a share that leaves both some pictures, or add pictures",
        )


def choose_validation(
    groups: Sequence[Group], shown: Sequence[FrozenSet[str]], fraction: float, seed: int
) -> Set[int]:
    """The indices of the groups that validate; ``shown`` are the classes in each picture.

    Raises:
        StageError: all pictures are in one group.
    """
    if len(groups) < 2:
        raise StageError(
            f"all pictures belong to one group ({groups[0].key}: {groups[0].why}), which cannot be "
            "split",
            'say otherwise what belongs together: dataset.group = "none", a key of the annotation '
            "file or a regular expression",
        )
    shares = [_share(index, group, shown, seed) for index, group in enumerate(groups)]
    dealer = _Dealer(shares, Fraction(str(fraction)))
    dealer.deal()
    return dealer.validation


def _share(index: int, group: Group, shown: Sequence[FrozenSet[str]], seed: int) -> _Share:
    shows = Counter(label for member in group.members for label in shown[member] or {_NOTHING})
    rank = hashlib.sha256(f"{seed}\0{group.key}".encode()).digest()
    return _Share(index, shows, len(group.members), rank)


class _Dealer:
    """Deals groups out. Demands are pictures times the fraction's denominator: whole numbers."""

    def __init__(self, shares: Sequence[_Share], fraction: Fraction) -> None:
        self.validation: Set[int] = set()
        self._shares = shares
        self._unit = fraction.denominator
        self._numerator = fraction.numerator
        self._totals: Counts[str] = Counter()
        for each in shares:
            self._totals.update(each.shows)
        self._pictures = sum(each.size for each in shares)
        self._demand = {label: count * self._numerator for label, count in self._totals.items()}
        self._target = self._pictures * self._numerator
        self._room = self._target

    def deal(self) -> None:
        """Deal out the rarest class first, and pictures without objects with the others."""
        left = Counter(self._totals)
        having = self._having()
        dealt: Set[int] = set()
        while (label := _rarest(left)) is not None:
            line = [each for each in having[label] if each.index not in dealt]
            for share in sorted(line, key=lambda each: each.rank):
                if self._is_wanted(share, label):
                    self._take(share)
                dealt.add(share.index)
                left.subtract(share.shows)
            self._see_to_both(label, having[label])
        self._improve()
        if not self.validation:
            self._take(min(self._shares, key=_smallest))
        if len(self.validation) == len(self._shares):
            self._give_back(min(self._shares, key=_smallest))

    def _having(self) -> Dict[str, List[_Share]]:
        """The groups that show each class."""
        found: Dict[str, List[_Share]] = {}
        for share in self._shares:
            for label in share.shows:
                found.setdefault(label, []).append(share)
        return found

    def _improve(self) -> None:
        """Move single groups over where that brings classes and pictures nearer to their shares.

        A class that few groups show may have decided on all of them, and left the rest out.
        """
        for share in sorted(self._shares, key=lambda each: each.rank):
            inside = share.index in self.validation
            if self._gain(share, -1 if inside else 1) > 0 and not self._empties(share, inside):
                if inside:
                    self._give_back(share)
                else:
                    self._take(share)

    def _gain(self, share: _Share, sign: int) -> Fraction:
        """How much nearer to their shares all are, each in parts of its total, after a move."""
        gain = Fraction(_nearer(self._room, sign * self._unit * share.size), self._pictures)
        for label, count in share.shows.items():
            moved = _nearer(self._demand[label], sign * self._unit * count)
            gain += Fraction(moved, self._totals[label])
        return gain

    def _empties(self, share: _Share, inside: bool) -> bool:
        """Whether a class would be in one split only after the move."""
        for label, count in share.shows.items():
            within = self._totals[label] * self._numerator - self._demand[label]
            here = within if inside else self._totals[label] * self._unit - within
            if here <= count * self._unit:
                return True
        return False

    def _is_wanted(self, share: _Share, label: str) -> bool:
        """Whether the validation split is nearer to its shares with it than without."""
        gives, demands = self._unit * share.shows[label], self._demand[label]
        return gives < 2 * demands and self._unit * share.size < 2 * self._room

    def _take(self, share: _Share) -> None:
        self.validation.add(share.index)
        self._change(share, 1)

    def _give_back(self, share: _Share) -> None:
        self.validation.remove(share.index)
        self._change(share, -1)

    def _change(self, share: _Share, sign: int) -> None:
        self._room -= sign * self._unit * share.size
        for label, count in share.shows.items():
            self._demand[label] -= sign * self._unit * count

    def _see_to_both(self, label: str, having: Sequence[_Share]) -> None:
        """Let both splits have the class, where there are two groups and they are not too large."""
        inside = [each for each in having if each.index in self.validation]
        if label == _NOTHING or len(having) < 2:
            return
        if not inside:
            share = min(having, key=_smallest)
            if 2 * (self._target - self._room + self._unit * share.size) <= 3 * self._target:
                self._take(share)
        elif len(inside) == len(having):
            self._give_back(min(inside, key=_smallest))


def _nearer(demand: int, given: int) -> int:
    """How much nearer to nothing a demand is once that was given."""
    return abs(demand) - abs(demand - given)


def _rarest(left: Mapping[str, int]) -> Optional[str]:
    """The class that fewest pictures show; of several the first by name, and no class at last."""
    there = [(label == _NOTHING, count, label) for label, count in left.items() if count]
    return min(there)[2] if there else None


def _smallest(share: _Share) -> Tuple[int, bytes]:
    return share.size, share.rank


def divide(
    examples: Sequence[Example], groups: Sequence[Group], split: Wanted
) -> Tuple[List[bool], SplitRecord]:
    """Say of each picture whether it validates, and why.

    Raises:
        StageError: all pictures are in one group.
    """
    shown = [frozenset(item.label for item in each.annotations) for each in examples]
    chosen = choose_validation(groups, shown, split.fraction, split.seed)
    validates = [False] * len(examples)
    placed: Dict[str, PlacedGroup] = {}
    for index, group in enumerate(groups):
        for member in group.members:
            validates[member] = index in chosen
        names = tuple(examples[member].name for member in group.members)
        where = "val" if index in chosen else "train"
        placed[group.key] = PlacedGroup(where, group.why, names)
    reached = round(sum(validates) / len(examples), 4)
    return validates, SplitRecord(split.seed, split.group, split.fraction, reached, placed)


def warn_of_split(record: SplitRecord, findings: Findings) -> None:
    """Say where the share of pictures that was asked for could not be reached."""
    pictures = sum(len(group.pictures) for group in record.groups.values())
    apart = abs(record.reached - record.asked)
    if apart * pictures > 1 and apart > _TOLERATED * record.asked:
        findings.warn(
            "the validation split has another share of the pictures than was asked for, as groups "
            "stay together",
            f"{record.reached:.3f} instead of {record.asked:g}, of {pictures} pictures in "
            f"{len(record.groups)} groups",
        )
