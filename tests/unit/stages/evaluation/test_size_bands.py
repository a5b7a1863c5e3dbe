"""AP over sizes and precision over recall, against pycocotools on the same arrays."""

from pathlib import Path

import pytest
from cocos_precision import cocos_precision
from small_splits import drawn_split, overlaps_by_hand, split_of, write_split

from mmdet_jetson.stages.evaluation.analysis import count, precision_recall
from mmdet_jetson.stages.evaluation.overlaps import overlaps_of
from mmdet_jetson.stages.evaluation.size_bands import area_scales, size_bands
from mmdet_jetson.stages.inference.preprocessing import Preprocessing

LETTERBOX = Preprocessing((320, 320), True, (0, 0, 0), (0, 0, 0), (1, 1, 1), to_rgb=False)
STRETCHED = Preprocessing((320, 320), False, (0, 0, 0), (0, 0, 0), (1, 1, 1), to_rgb=False)
SETS = {
    "few": {"seed": 1},
    "ties": {"seed": 2, "decimals": 1},
    "more than 100 of a class": {
        "seed": 3, "classes": 1, "most_objects": 40, "most_found": 300, "pictures": 5,
    },
    "many classes": {"seed": 4, "classes": 30},
}  # fmt: skip


@pytest.mark.parametrize("name", SETS)
def test_precision_over_recall_is_cocos(name: str, tmp_path: Path) -> None:
    content, predictions = drawn_split(**SETS[name])
    overlaps = overlaps_of(write_split(tmp_path, content), predictions)
    ours = precision_recall(overlaps, count(overlaps))

    theirs = cocos_precision(content, predictions)[0, :, :, 0]
    for label, class_ in enumerate(overlaps.classes):
        if (theirs[:, label] > -1).all():
            assert list(ours[class_]) == theirs[:, label].tolist()
        else:
            assert class_ not in ours


@pytest.mark.parametrize("preprocessing", [LETTERBOX, STRETCHED], ids=["letterbox", "stretched"])
@pytest.mark.parametrize("name", SETS)
def test_ap_over_size_is_cocos(name: str, preprocessing: Preprocessing, tmp_path: Path) -> None:
    content, predictions = drawn_split(**SETS[name])
    overlaps = overlaps_of(write_split(tmp_path, content), predictions)
    bands = size_bands(overlaps, preprocessing)

    theirs = cocos_precision(content, predictions, area_scales(overlaps, preprocessing))
    for index, band in enumerate(bands):
        here = theirs[..., index]
        judged = here[here > -1]
        assert (band.ap is None) == (not judged.size)
        if judged.size:
            assert band.ap == pytest.approx(judged.mean(), abs=1e-12)
            assert band.ap50 == pytest.approx(here[0][here[0] > -1].mean(), abs=1e-12)


def test_sizes_are_those_at_the_networks_input(tmp_path: Path) -> None:
    """Pictures are 640 x 480: a letterbox of 320 halves sides, a stretch takes height by 2/3."""
    overlaps = overlaps_by_hand(tmp_path, [(1, 1, (0, 0, 30, 30))], [])
    bands = {band.low: band.objects for band in size_bands(overlaps, LETTERBOX)}
    assert [low for low, objects in bands.items() if objects] == [8.0]  # 15 pixels
    bands = {band.low: band.objects for band in size_bands(overlaps, STRETCHED)}
    assert [low for low, objects in bands.items() if objects] == [16.0]  # 17.3


def test_a_band_without_objects_has_no_ap_and_one_without_finds_has_0(tmp_path: Path) -> None:
    overlaps = overlaps_by_hand(tmp_path, [(1, 1, (0, 0, 30, 30))], [])
    bands = size_bands(overlaps, LETTERBOX)
    assert [band.ap for band in bands] == [None, 0, None, None, None, None, None]
    assert bands[-1].high is None


def test_a_split_without_objects_has_no_ap_at_all(tmp_path: Path) -> None:
    overlaps = overlaps_by_hand(tmp_path, [], [(1, 1, (0, 0, 30, 30), 0.5)])
    assert all(band.ap is None for band in size_bands(overlaps, LETTERBOX))
    assert precision_recall(overlaps, count(overlaps)) == {}


def test_a_crowd_is_no_object(tmp_path: Path) -> None:
    path = write_split(tmp_path, split_of([(1, -1, (0, 0, 30, 30))]))
    assert not any(band.objects for band in size_bands(overlaps_of(path, []), LETTERBOX))
