"""Pictures of a COCO file whose objects the last run read and placed without a remark.

Of 20,000 pictures of which ten are new, the others' objects need not be read again: that took most
of the time. Whatever was to be said of a picture is said again, so such ones are not remembered.
"""

import json
import marshal
from hashlib import sha256
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union, overload

from mmdet_jetson.stages.annotations.extents import Extents
from mmdet_jetson.stages.annotations.notes import read_notes, write_notes
from mmdet_jetson.stages.annotations.pictures import Inspection
from mmdet_jetson.stages.annotations.records import Annotation, Labels, Region

_KEY = 40  # hex digits
_NO_REFERENCES = 2  # the last version of marshal in which equal values give equal bytes
_OWN_IDS = ("id", "image_id")  # they change when a picture is added before this one

_Objects = Sequence[Tuple[str, str]]
"""The class of each object, and what `Extents.again` knows its extent by; none is a crowd, of which
is warned.
"""
_Kept = Tuple[int, int, _Objects]
"""The picture's width and height, and its objects."""


class Unread(Sequence[Region]):
    """Regions that are read when somebody looks at one."""

    def __init__(self, number: int, read: Callable[[], List[Region]]) -> None:
        self._number, self._read = number, read
        self._regions: Optional[List[Region]] = None

    def __len__(self) -> int:
        return self._number

    @overload
    def __getitem__(self, index: int) -> Region: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Region]: ...

    def __getitem__(self, index: Union[int, slice]) -> Union[Region, Sequence[Region]]:
        if self._regions is None:
            self._regions = self._read()
        return self._regions[index]


class Readings:
    """The objects of pictures, by all that a file says of them and by how its classes are read."""

    def __init__(self, path: Optional[Path], extents: Extents) -> None:
        self._path, self._extents = path, extents
        self._last: Mapping[str, _Kept] = json.loads(read_notes(path) or b"{}")
        self._found: Dict[str, _Kept] = {}

    def has(self, key: str) -> bool:
        """Whether the last run found nothing to be said of what has this `reading_key`."""
        return key in self._last

    def annotations(self, key: str, picture: Inspection) -> Optional[Tuple[Annotation, ...]]:
        """What came of it the last time, None where that was not with such a picture."""
        width, height, objects = self._last.get(key, (0, 0, ()))
        if (width, height) != (picture.width, picture.height):
            return None
        made = []
        for label, extent_key in objects:
            extent = self._extents.again(extent_key)
            if extent is None:
                return None
            made.append(Annotation(label, extent, crowd=False))
        self._found[key] = width, height, objects
        return tuple(made)

    def note(self, key: str, picture: Inspection, objects: _Objects) -> None:
        """Note what came of a picture of which nothing was to be said."""
        self._found[key] = picture.width, picture.height, objects

    def keep(self) -> None:
        """Write what this run found, for the next; what it did not need any more is forgotten."""
        assert self._path
        write_notes(self._path, json.dumps(self._found).encode())


def reading_key(salt: bytes, objects: Sequence[Mapping[str, object]]) -> str:
    """A digest of all that a file says of a picture's objects; ``salt`` is of `salt_of`."""
    said = [{key: each[key] for key in each if key not in _OWN_IDS} for each in objects]
    return sha256(salt + marshal.dumps(said, _NO_REFERENCES)).hexdigest()[:_KEY]


def salt_of(labels: Labels, categories: object) -> bytes:
    """A digest of what gives the objects of a file their classes."""
    told = labels.classes, labels.default, labels.others, sorted(labels.rename.items()), categories
    return sha256(repr(told).encode("utf-8", "surrogatepass")).digest()
