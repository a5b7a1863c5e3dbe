"""How two datasets differ: pictures added, removed, relabelled, moved between splits."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from mmdet_jetson.bundles.annotations import Picture, Split

Splits = Mapping[str, Split]
BY_CONTENT, BY_NAME = "content", "file name"


@dataclass
class ClassChanges:
    """Objects of one class, counted: before and after, and what became of them.

    ``reshaped`` have another outline; ``became`` counts those that have another class now.
    """

    before: int = 0
    after: int = 0
    added: int = 0
    removed: int = 0
    reshaped: int = 0
    became: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class PictureChanges:
    """What differs between two datasets.

    ``told_by`` says what makes two pictures the same one. All lists are of names, each with its
    split before it; ``moved`` are the names and splits of then and now. ``replaced`` counts those
    that were removed while another picture came under the same name in the same split.
    """

    told_by: str
    pictures: tuple[Mapping[str, int], Mapping[str, int]]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    relabelled: tuple[str, ...]
    moved: tuple[tuple[str, str], ...]
    renamed: tuple[tuple[str, str], ...]
    replaced: int
    classes: Mapping[str, ClassChanges]

    @property
    def is_empty(self) -> bool:
        """Whether both datasets hold the same pictures with the same objects."""
        lists = (self.added, self.removed, self.relabelled, self.moved, self.renamed)
        same = all(each.before == each.after for each in self.classes.values())
        return not any(lists) and same


@dataclass(frozen=True)
class _Placed:
    """A picture where it lies."""

    split: str
    picture: Picture
    classes: Mapping[int, str]

    @property
    def where(self) -> str:
        return f"{self.split}/{self.picture.name}"

    def labels(self) -> Counter[tuple[str, bytes]]:
        """Its objects as class and shape."""
        return Counter(
            (self.classes.get(number, "?"), shape) for number, shape in self.picture.objects()
        )


def compare_pictures(before: Splits, after: Splits) -> PictureChanges:
    """Compare two datasets, by content where it is known of every picture of both."""
    everything = [p for splits in (before, after) for p in _pictures(splits)]
    told_by = BY_CONTENT if all(each.picture.content for each in everything) else BY_NAME
    repeated = _repeated(before) | _repeated(after)
    was, now = (_keyed(splits, told_by, repeated) for splits in (before, after))
    classes = _count(before, after)
    added, removed = (
        sorted(one[key].where for key in one.keys() - other.keys())
        for one, other in ((now, was), (was, now))
    )
    for key in now.keys() - was.keys():
        _tally(classes, Counter(), now[key].labels())
    for key in was.keys() - now.keys():
        _tally(classes, was[key].labels(), Counter())
    both = [(was[key], now[key]) for key in was.keys() & now.keys()]
    relabelled = [pair for pair in both if _relabelled(*pair)]
    for pair in relabelled:
        _tally(classes, pair[0].labels(), pair[1].labels())
    return PictureChanges(
        told_by=told_by,
        pictures=(_sizes(before), _sizes(after)),
        added=tuple(added),
        removed=tuple(removed),
        relabelled=tuple(sorted(new.where for _, new in relabelled)),
        moved=_ordered((a.where, b.where) for a, b in both if a.split != b.split),
        renamed=_ordered(
            (a.where, b.where)
            for a, b in both
            if a.split == b.split and a.picture.name != b.picture.name
        ),
        replaced=len(set(added) & set(removed)),
        classes={name: classes[name] for name in sorted(classes)},
    )


def _ordered(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(pairs))


def _pictures(splits: Splits) -> Iterator[_Placed]:
    for name, split in splits.items():
        for picture in split.pictures.values():
            yield _Placed(name, picture, split.classes)


def _repeated(splits: Splits) -> set[str]:
    names = Counter(each.picture.name for each in _pictures(splits))
    return {name for name, count in names.items() if count > 1}


def _keyed(splits: Splits, told_by: str, repeated: set[str]) -> dict[object, _Placed]:
    """Every picture under what makes it the same one; a repeated one counts each time.

    Two splits may have a file of one name each: then the split is a part of what it is called.
    """
    keyed: dict[object, _Placed] = {}
    seen: Counter[bytes] = Counter()
    for each in sorted(_pictures(splits), key=lambda each: (each.split, each.picture.name)):
        picture = each.picture
        if told_by == BY_CONTENT:
            keyed[(picture.content, seen[picture.content])] = each
            seen[picture.content] += 1
        else:
            keyed[each.where if picture.name in repeated else picture.name] = each
    return keyed


def _relabelled(was: _Placed, now: _Placed) -> bool:
    same = was.classes == now.classes and was.picture.packed == now.picture.packed
    return not same and was.labels() != now.labels()


def _sizes(splits: Splits) -> dict[str, int]:
    return {name: len(split.pictures) for name, split in splits.items()}


def _count(before: Splits, after: Splits) -> dict[str, ClassChanges]:
    """The objects of each class, of classes without any, too."""
    counts = [
        Counter(
            {
                split.classes.get(number, "?"): 0
                for split in splits.values()
                for number in split.classes
            }
        )
        for splits in (before, after)
    ]
    for splits, count in zip((before, after), counts, strict=True):
        for split in splits.values():
            numbers = Counter(
                number for each in split.pictures.values() for number, _ in each.objects()
            )
            for number, objects in numbers.items():
                count[split.classes.get(number, "?")] += objects
    was, now = counts
    return {name: ClassChanges(was[name], now[name]) for name in was.keys() | now.keys()}


def _tally(
    classes: dict[str, ClassChanges],
    was: Counter[tuple[str, bytes]],
    now: Counter[tuple[str, bytes]],
) -> None:
    """Add what became of a picture's objects: another class, another shape, gone or new."""
    gone, new = was - now, now - was
    for name, shape in list(gone.elements()):
        other = next((label for label, place in new if place == shape and new[label, place]), None)
        if other is not None:
            _pair(gone, new, (name, shape), (other, shape))
            classes[name].became[other] += 1
    for name, shape in list(gone.elements()):
        place = next((p for label, p in new if label == name and new[label, p]), None)
        if place is not None:
            _pair(gone, new, (name, shape), (name, place))
            classes[name].reshaped += 1
    for name, _ in gone.elements():
        classes[name].removed += 1
    for name, _ in new.elements():
        classes[name].added += 1


def _pair(
    gone: Counter[tuple[str, bytes]],
    new: Counter[tuple[str, bytes]],
    one: tuple[str, bytes],
    other: tuple[str, bytes],
) -> None:
    gone[one] -= 1
    new[other] -= 1
