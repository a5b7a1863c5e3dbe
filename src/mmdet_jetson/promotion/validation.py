"""The validation split as evidence is held against it: pictures, classes, and how many objects."""

from dataclasses import dataclass

import msgspec
import numpy as np


class _Image(msgspec.Struct, frozen=True):
    id: int
    file_name: str


class _Annotation(msgspec.Struct, frozen=True):
    image_id: int
    category_id: int
    iscrowd: int = 0


class _Category(msgspec.Struct, frozen=True):
    id: int
    name: str


class _Split(msgspec.Struct, frozen=True):
    """Of a COCO file what is counted."""

    images: tuple[_Image, ...]
    annotations: tuple[_Annotation, ...]
    categories: tuple[_Category, ...]


@dataclass(frozen=True)
class Validation:
    """File names in sorted order, classes in the dataset's, and ``objects`` [picture, class].

    Crowds are no objects to be found.
    """

    names: tuple[str, ...]
    classes: tuple[str, ...]
    objects: np.ndarray


def read_validation(content: bytes) -> Validation:
    """Read ``val.json``.

    Raises:
        ValueError: it is no COCO file, or contradicts itself.
    """
    try:
        split = msgspec.json.decode(content, type=_Split)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    images = sorted(split.images, key=lambda each: each.file_name)
    categories = sorted(split.categories, key=lambda each: each.id)
    if not images:
        raise ValueError("it has no pictures")
    rows = {each.id: row for row, each in enumerate(images)}
    columns = {each.id: column for column, each in enumerate(categories)}
    objects = np.zeros((len(images), len(categories)), np.int32)
    for each in split.annotations:
        if each.image_id not in rows or each.category_id not in columns:
            raise ValueError("it annotates a picture or a class that it has not")
        objects[rows[each.image_id], columns[each.category_id]] += not each.iscrowd
    names = tuple(each.file_name for each in images)
    return Validation(names, tuple(each.name for each in categories), objects)
