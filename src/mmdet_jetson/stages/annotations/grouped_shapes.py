"""Shapes that a file puts into a group, which are one object where they have one class."""

from dataclasses import dataclass
from typing import Dict, Hashable, List, Optional, Sequence, Tuple

from mmdet_jetson.stages.annotations.findings import Defect
from mmdet_jetson.stages.annotations.place import Place
from mmdet_jetson.stages.annotations.records import Region


@dataclass(frozen=True)
class Shape:
    """A shape, and the group that the file puts it into.

    ``alone`` says that it is an object of its own whatever its group, as one without any is.
    """

    region: Region
    group: Optional[Hashable] = None
    alone: bool = False


def grouped(shapes: Sequence[Shape], picture: Place, called: str) -> List[Region]:
    """A region for each group of a class, and for each shape that is alone.

    ``called`` is the file's name for a group. Masks are not joined: that is a defect of the group.
    """
    groups: Dict[Tuple[Hashable, ...], List[Region]] = {}
    for index, shape in enumerate(shapes):
        alone = shape.alone or shape.group is None
        key = (index,) if alone else (shape.region.label, shape.group)
        groups.setdefault(key, []).append(shape.region)
    regions = []
    for members in groups.values():
        first, *others = members
        with picture.inside(first.where).checked():
            regions.append(_joined(members, called))
            for other in others:
                picture.inside(other.where, first.where).warn(
                    f"shapes of the same {called} were read as one object"
                )
    return regions


def _joined(members: Sequence[Region], called: str) -> Region:
    first, *others = members
    if others and any(member.mask is not None for member in members):
        raise Defect(
            f"its {called} joins it with {', '.join(other.where for other in others)}, and one of "
            "these is a mask",
            "make the object one mask, or polygons",
        )
    return Region(
        first.where,
        first.label,
        tuple(outline for member in members for outline in member.outlines),
        first.mask,
        crowd=any(member.crowd for member in members),
    )
