import numpy as np
import pytest
from labelled import HEIGHT, WIDTH, Json
from pycocotools import mask as coco_mask

from mmdet_jetson.stages.annotations.findings import Defect
from mmdet_jetson.stages.annotations.masks import mask_extent


def square_mask() -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
    mask[6:14, 4:14] = 1
    return mask


def compressed() -> Json:
    encoded = coco_mask.encode(square_mask())
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def plain() -> Json:
    flat = square_mask().flatten(order="F")
    ends = [*np.flatnonzero(np.diff(flat)) + 1, flat.size]
    return {"size": [HEIGHT, WIDTH], "counts": np.diff([0, *ends]).tolist()}


@pytest.mark.parametrize("mask", [compressed(), plain()], ids=["compressed", "plain"])
def test_mask_gives_box_and_area(mask: Json) -> None:
    extent = mask_extent(mask, WIDTH, HEIGHT)
    assert (extent.box, extent.area, extent.segmentation) == ((4, 6, 10, 8), 80, mask)


def larger_mask() -> str:
    encoded = coco_mask.encode(np.ones((99, 99), np.uint8, order="F"))
    return str(encoded["counts"], "ascii")


BAD_MASKS: dict[str, tuple[Json, str]] = {
    "other-size": ({**plain(), "size": [5, 5]}, "has the size"),
    "no-size": ({"counts": [1200]}, "has the size None"),
    "runs-too-short": ({**plain(), "counts": [10, 10]}, "run lengths of its mask"),
    "negative-run": ({**plain(), "counts": [-1, 1201]}, "run lengths of its mask"),
    "text-goes-on-past-its-end": ({**plain(), "counts": "0o"}, "run lengths of its mask"),
    "text-not-a-mask": ({**plain(), "counts": "~~ä"}, "run lengths of its mask"),
    "no-runs": ({"size": [HEIGHT, WIDTH]}, "run lengths of its mask"),
    "empty": ({**plain(), "counts": [HEIGHT * WIDTH]}, "empty or broken"),
    "text-of-a-larger-mask": ({**plain(), "counts": larger_mask()}, "empty or broken"),
}


@pytest.mark.parametrize(("mask", "sentence"), BAD_MASKS.values(), ids=BAD_MASKS.keys())
def test_bad_mask_is_a_defect(mask: Json, sentence: str) -> None:
    with pytest.raises(Defect, match=sentence):
        mask_extent(mask, WIDTH, HEIGHT)
