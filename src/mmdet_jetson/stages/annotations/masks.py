"""Run-length masks in COCO's form: where the object that one covers lies."""

import re
from typing import Dict, List, Mapping, Optional

from pycocotools import mask as coco_mask

from mmdet_jetson.stages.annotations.findings import Defect
from mmdet_jetson.stages.annotations.records import Extent

_HINT = "export the mask again, or as polygons"

# pycocotools' text form of a run-length mask: characters 48 to 111, of which those from 80 on say
# that the number goes on; pycocotools reads past the end of a text that stops with such a one.
_COUNTS = re.compile(r"[0-o]*[0-O]")


def mask_extent(mask: Mapping[str, object], width: int, height: int) -> Extent:
    """Box and area of a run-length mask of a picture of that size, by pycocotools.

    Raises:
        Defect: the mask belongs to a picture of another size, is broken or is empty.
    """
    encoded = encoded_mask(mask, width, height)
    area = float(coco_mask.area(encoded))
    x, y, box_width, box_height = (float(value) for value in coco_mask.toBbox(encoded))
    inside = x + box_width <= width and y + box_height <= height
    if area == 0 or not inside or area > box_width * box_height:
        raise Defect("its mask is empty or broken", _HINT)
    return Extent.of(dict(mask), (x, y, box_width, box_height), area)


def encoded_mask(mask: Mapping[str, object], width: int, height: int) -> Dict[str, object]:
    """A mask of a picture of that size in pycocotools' compressed form.

    Raises:
        Defect: the mask belongs to a picture of another size, or is broken.
    """
    if mask.get("size") != [height, width]:
        raise Defect(
            f"its mask has the size {mask.get('size')}, the picture is [{height}, {width}]", _HINT
        )
    return _encoded(mask.get("counts"), width, height)


def _encoded(counts: object, width: int, height: int) -> Dict[str, object]:
    """The mask in pycocotools' compressed form, from its compressed or plain run lengths."""
    size = [height, width]
    if isinstance(counts, str) and _COUNTS.fullmatch(counts):
        return {"size": size, "counts": counts.encode("ascii")}
    runs = _runs(counts)
    if runs is not None and sum(runs) == width * height:
        plain = {"size": size, "counts": runs}
        encoded: Dict[str, object] = coco_mask.frPyObjects(plain, height, width)
        return encoded
    raise Defect("the run lengths of its mask do not fit the picture", _HINT)


def _runs(counts: object) -> Optional[List[int]]:
    """Plain run lengths, None where this is anything else."""
    if not isinstance(counts, list):
        return None
    runs = [run for run in counts if type(run) is int and run >= 0]
    return runs if len(runs) == len(counts) else None
