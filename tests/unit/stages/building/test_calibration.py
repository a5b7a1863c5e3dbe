import shutil
from pathlib import Path

import cv2
import pytest
from fused import split_folder

from mmdet_jetson.stages.building.calibration import choose
from mmdet_jetson.stages.errors import StageError


@pytest.fixture
def training(tmp_path: Path) -> Path:
    return split_folder(tmp_path / "training", "train", list(range(10)))


@pytest.fixture
def validation(tmp_path: Path) -> Path:
    return split_folder(tmp_path / "validation", "val", [100, 101])


def test_pictures_are_spread_over_the_training_split(training: Path, validation: Path) -> None:
    chosen = choose(training, validation, 5)

    assert [path.name for path in chosen.pictures] == [f"train_{n:02}.png" for n in (1, 3, 5, 7, 9)]
    assert chosen.described() == choose(training, validation, 5).described()
    assert chosen.described().pictures == 5
    assert chosen.described().sha256 != choose(training, validation, 4).described().sha256


def test_more_than_there_are_is_all(training: Path, validation: Path) -> None:
    assert len(choose(training, validation, 64).pictures) == 10


def test_a_picture_of_both_splits_is_refused_whatever_its_name_and_format(
    training: Path, validation: Path
) -> None:
    pixels = cv2.imread(str(training / "train" / "train_03.png"))
    cv2.imwrite(str(validation / "val" / "val_02.bmp"), pixels)
    shutil.move(validation / "val" / "val_02.bmp", validation / "val" / "val_02.png")

    with pytest.raises(StageError, match=r"train_03\.png .* shows the same as val_02\.png"):
        choose(training, validation, 10)


def test_without_pictures_there_is_nothing_to_calibrate_with(
    tmp_path: Path, validation: Path
) -> None:
    empty = split_folder(tmp_path / "empty", "train", [])

    with pytest.raises(StageError, match="no pictures"):
        choose(empty, validation, 5)
