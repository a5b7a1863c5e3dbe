"""Regions of pictures that are stored lying on their side, and on which pixels they were drawn.

Browsers and OpenCV turn a picture upright by its EXIF orientation; other programs do not. Where a
file states the size as stored, its regions may have been drawn on either. Where they all fit one
of the two only, that is the one; otherwise it cannot be told.
"""

from dataclasses import replace
from typing import Callable, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from pycocotools import mask as coco_mask

from mmdet_jetson.stages.annotations import geometry
from mmdet_jetson.stages.annotations.findings import Defect, Findings
from mmdet_jetson.stages.annotations.masks import encoded_mask
from mmdet_jetson.stages.annotations.pictures import Inspection
from mmdet_jetson.stages.annotations.placed_masks import whole_mask
from mmdet_jetson.stages.annotations.records import Outline, Record, Region

Size = Tuple[int, int]

_SLACK = 1.0
_KNOWN = (
    "its size is stated as stored, but its EXIF orientation turns it; its regions are taken to be "
    "drawn on the upright picture, as the tool that wrote the file shows it"
)
_FIT_UPRIGHT = (
    "its size is stated as stored, but its EXIF orientation turns it; its regions are taken to be "
    "drawn on the upright picture, as those of the file fit that one only"
)
_FIT_STORED = (
    "its size is stated as stored, and its EXIF orientation turns it; its regions were turned with "
    "it, as those of the file fit the picture as stored only"
)

_TURNS: Mapping[int, Callable[[float, float, float, float], Tuple[float, float]]] = {
    2: lambda x, y, w, h: (w - x, y),
    3: lambda x, y, w, h: (w - x, h - y),
    4: lambda x, y, w, h: (x, h - y),
    5: lambda x, y, w, h: (y, x),
    6: lambda x, y, w, h: (h - y, x),
    7: lambda x, y, w, h: (h - y, w - x),
    8: lambda x, y, w, h: (y, w - x),
}
"""Where a point of the stored picture, w wide and h high, lies in the upright one."""


class Listed(NamedTuple):
    """A picture of a file: what the file says of it, and what it is."""

    record: Record
    picture: Inspection

    @property
    def states_stored_size(self) -> bool:
        """Whether the file gives the size as stored, which is not the upright one."""
        stored = self.picture.stored_size
        return stored != (self.picture.width, self.picture.height) and self.record.size == stored


def upright_records(
    listed: Mapping[str, Listed], shown: str, findings: Findings
) -> Dict[str, Record]:
    """The records whose stated size is that of the stored picture, as drawn on the upright one.

    Where it cannot be told on which their regions were drawn, that goes to ``findings``.
    """
    doubtful = {name: each for name, each in listed.items() if each.states_stored_size}
    filled = [each for each in doubtful.values() if each.record.regions]
    fit_upright = all(_fits(each, each.picture.width, each.picture.height) for each in filled)
    fit_stored = all(_fits(each, *each.picture.stored_size) for each in filled)
    made = {}
    for name, each in doubtful.items():
        where = f"{shown}, {name}"
        with findings.at(where):
            size = (each.picture.width, each.picture.height)
            # Notes of earlier runs do not hold for regions that are turned.
            made[name] = replace(each.record, size=size, reading="")
            if not each.record.regions:
                continue
            if any(region.turned for region in each.record.regions):
                raise _turned_in_pixels(each)
            if fit_upright and (each.record.upright or not fit_stored):
                findings.warn(_KNOWN if each.record.upright else _FIT_UPRIGHT, where)
            elif fit_stored and not fit_upright and not each.record.upright:
                findings.warn(_FIT_STORED, where)
                made[name] = replace(made[name], regions=_turned(each))
            else:
                raise _undecided(each)
    return made


def _fits(each: Listed, width: int, height: int) -> bool:
    """Whether all regions lie inside a picture of that size."""
    return all(_region_fits(region, width, height) for region in each.record.regions)


def _region_fits(region: Region, width: int, height: int) -> bool:
    if region.mask is not None:
        return region.mask.get("size") == [height, width]
    if region.fractions:
        return True
    left, top, right, bottom = geometry.bounds(region.outlines)
    inside = left >= -_SLACK and top >= -_SLACK
    return inside and right <= width + _SLACK and bottom <= height + _SLACK


def _undecided(each: Listed) -> Defect:
    stored, picture = each.picture.stored_size, each.picture
    return Defect(
        f"the annotations say {stored[0]} × {stored[1]} pixels, the size as stored, but its EXIF "
        f"orientation ({picture.orientation}) turns it to {picture.width} × {picture.height}, and "
        "nothing tells on which of the two its regions were drawn",
        "if on the upright one, as browsers show it, remove width and height from the annotation "
        "file; if on the stored one, remove the orientation: "
        "exiftool -Orientation= -overwrite_original FOLDER",
    )


def _turned_in_pixels(each: Listed) -> Defect:
    stored, picture = each.picture.stored_size, each.picture
    return Defect(
        f"its rotated regions were turned on {stored[0]} × {stored[1]} pixels, the size as stored, "
        f"but its EXIF orientation ({picture.orientation}) turns it to {picture.width} × "
        f"{picture.height}, and nothing tells on which of the two they were drawn",
        "if on the upright one, as browsers show it, swap original_width and original_height; if "
        "on the stored one, remove the orientation: "
        "exiftool -Orientation= -overwrite_original FOLDER",
    )


def _turned(each: Listed) -> Tuple[Region, ...]:
    """The regions of a picture, turned with it."""
    return tuple(_turned_region(region, each.picture) for region in each.record.regions)


def _turned_region(region: Region, picture: Inspection) -> Region:
    if region.mask is not None:
        mask = _turned_mask(region.mask, picture)
        return replace(region, mask=mask, stated=_turned_outline(region.stated, picture))
    outlines = [turned_outline(outline, picture) for outline in region.outlines]
    return replace(region, outlines=tuple(outlines), stated=_turned_outline(region.stated, picture))


def _turned_outline(outline: Optional[Outline], picture: Inspection) -> Optional[Outline]:
    return None if outline is None else turned_outline(outline, picture)


def turned_outline(outline: Outline, picture: Inspection) -> Outline:
    """An outline on the stored picture, on the upright one."""
    width, height = picture.stored_size
    turn = _TURNS[picture.orientation]
    return tuple(turn(x, y, width, height) for x, y in outline)


def _turned_mask(mask: Mapping[str, object], picture: Inspection) -> Mapping[str, object]:
    width, height = picture.stored_size
    pixels = coco_mask.decode(encoded_mask(mask, width, height))
    turned = turned_pixels(pixels, picture.orientation)
    return whole_mask(turned, (0, 0), (picture.width, picture.height))


def turned_pixels(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Stored pixels [height, width, ...], upright."""
    steps: Mapping[int, Sequence[Callable[[np.ndarray], np.ndarray]]] = {
        2: (np.fliplr,),
        3: (np.flipud, np.fliplr),
        4: (np.flipud,),
        5: (_transposed,),
        6: (_transposed, np.fliplr),
        7: (_transposed, np.flipud, np.fliplr),
        8: (_transposed, np.flipud),
    }
    for step in steps[orientation]:
        pixels = step(pixels)
    return pixels


def _transposed(pixels: np.ndarray) -> np.ndarray:
    return np.swapaxes(pixels, 0, 1)
