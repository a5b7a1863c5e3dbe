"""The annotations of a split, read piece by piece: a dataset may have 100,000 pictures.

What is read is what the dataset stage writes: one COCO file on one line, whose records all begin
with their id. A quotation mark inside a JSON string has a backslash before it, so that what
separates records and sections here stands nowhere else.
"""

import hashlib
from collections.abc import Iterator
from itertools import groupby
from typing import TypeVar

import msgspec

from mmdet_jetson.store.layers import Source

BLOCK = 1 << 20
LONGEST = 64 << 20
"""Bytes of one record; a mask of a large picture has a few million."""
HEAD = b'"images": ['
BETWEEN = b'}, {"id": '
ENDS = (b'], "annotations": [', b'], "categories": [', b"]}")
OBJECT = 10
"""Bytes of an object, of which there may be millions."""
T = TypeVar("T")


class NotAsWritten(ValueError):
    """A file is not what the dataset stage writes."""


class Picture(msgspec.Struct):
    """A picture of a split, and its objects.

    ``packed`` are its objects, sorted: the id of the class in two bytes, then a digest of the shape
    in eight. ``content`` is a digest of what the picture shows; empty where that is not known.
    """

    name: str
    packed: bytes = b""
    content: bytes = b""

    def objects(self) -> Iterator[tuple[int, bytes]]:
        """The class and the shape of each object."""
        for at in range(0, len(self.packed), OBJECT):
            each = self.packed[at : at + OBJECT]
            yield int.from_bytes(each[:2], "big"), each[2:]


class Split(msgspec.Struct):
    """The pictures of a split by their names, and the classes by their ids."""

    pictures: dict[str, Picture]
    classes: dict[int, str]


class _Image(msgspec.Struct, frozen=True):
    id: int
    file_name: str


class _Annotation(msgspec.Struct, frozen=True):
    image_id: int
    category_id: int
    bbox: msgspec.Raw
    segmentation: msgspec.Raw = msgspec.Raw(b"")
    iscrowd: int = 0


class _Category(msgspec.Struct, frozen=True):
    id: int
    name: str


def read_split(stream: Source) -> Split:
    """Read a COCO file; what is held is a few dozen bytes a picture and an object.

    Raises:
        NotAsWritten: it is not what the dataset stage writes.
    """
    try:
        return _read(_Sections(stream))
    except (msgspec.DecodeError, KeyError, OverflowError) as error:
        raise NotAsWritten(str(error)) from error


def _read(sections: "_Sections") -> Split:
    sections.skip(HEAD)
    names: dict[int, str] = {}
    pictures: dict[str, Picture] = {}
    for image in sections.records(ENDS[0], _Image):
        names[image.id] = image.file_name
        pictures[image.file_name] = Picture(image.file_name)
    annotations = sections.records(ENDS[1], _Annotation)
    for identifier, group in groupby(annotations, key=lambda each: each.image_id):
        picture = pictures[names[identifier]]
        before = [picture.packed[at : at + OBJECT] for at in range(0, len(picture.packed), OBJECT)]
        picture.packed = b"".join(sorted([*before, *map(_object, group)]))
    classes = {each.id: each.name for each in sections.records(ENDS[2], _Category)}
    return Split(pictures, classes)


def _object(annotation: _Annotation) -> bytes:
    shape = hashlib.blake2b(bytes(annotation.bbox), digest_size=8)
    shape.update(bytes(annotation.segmentation) + bytes([annotation.iscrowd]))
    return annotation.category_id.to_bytes(2, "big") + shape.digest()


class _Sections:
    """The arrays of a COCO file, one after the other, in pieces of whole records."""

    def __init__(self, stream: Source) -> None:
        self._stream = stream
        self._rest = b""

    def skip(self, head: bytes) -> None:
        found = b""
        while not found:
            block = self._stream.read(BLOCK)
            if not block or len(self._rest) > LONGEST:
                raise NotAsWritten("it has no pictures")
            _, found, rest = (self._rest + block).partition(head)
            self._rest = rest if found else self._rest + block

    def records(self, end: bytes, kind: type[T]) -> Iterator[T]:
        for piece in self._pieces(end):
            yield from msgspec.json.decode(b"[" + piece + b"]", type=list[kind])  # type: ignore[valid-type]

    def _pieces(self, end: bytes) -> Iterator[bytes]:
        while True:
            piece, found, rest = self._rest.partition(end)
            if found:
                self._rest = rest
                yield piece
                return
            cut = self._rest.rfind(BETWEEN)
            if cut >= 0:
                yield self._rest[: cut + 1]
                self._rest = self._rest[cut + 3 :]
            block = self._stream.read(BLOCK)
            if not block or len(self._rest) > LONGEST:
                raise NotAsWritten("its records are not where they should be")
            self._rest += block
