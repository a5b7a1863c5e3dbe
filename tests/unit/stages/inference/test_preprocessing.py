import os
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest
from built_engines import MEAN, STD, transforms

from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.feeding import Feeding
from mmdet_jetson.stages.inference.pipeline_json import Transform
from mmdet_jetson.stages.inference.preprocessing import Preprocessing, read_picture

SIZES = [(1, 1), (1, 64), (64, 64), (65, 64), (1024, 768), (768, 1024), (333, 501), (1, 2000)]
SIZES += [(int(w), int(h)) for w, h in np.random.default_rng(0).integers(1, 3000, (100, 2))]


def letterbox(side: int = 64, keep_ratio: bool = True, to_rgb: bool = False) -> Preprocessing:
    return Preprocessing.parse(transforms(side, keep_ratio, to_rgb), (side, side))


def noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(width * height).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("size", SIZES)
def test_a_letterboxed_picture_touches_one_side_and_keeps_its_ratio(size: tuple[int, int]) -> None:
    width, height = letterbox(640).resized_size(*size)

    assert max(width, height) == 640
    scale = 640 / max(size)
    assert width == max(1, int(size[0] * scale + 0.5))
    assert height == max(1, int(size[1] * scale + 0.5))


@pytest.mark.parametrize("size", [(128, 96), (50, 120), (64, 64), (1, 2000)])
def test_what_the_picture_leaves_is_padded_right_and_below(size: tuple[int, int]) -> None:
    preprocessing = letterbox()
    picture = noise(*size)

    padded = preprocessing.resize(picture)

    width, height = preprocessing.resized_size(*size)
    assert padded.shape == (64, 64, 3)
    assert np.array_equal(padded[:height, :width], cv2.resize(picture, (width, height)))
    assert np.all(padded[height:] == 114)
    assert np.all(padded[:, width:] == 114)


def test_without_keep_ratio_the_picture_is_stretched() -> None:
    picture = noise(128, 32)

    stretched = letterbox(keep_ratio=False).resize(picture)

    assert np.array_equal(stretched, cv2.resize(picture, (64, 64)))


@pytest.mark.parametrize("to_rgb", [False, True])
def test_every_value_is_normalised_in_the_channel_order_of_the_model(to_rgb: bool) -> None:
    picture = np.arange(256 * 3, dtype=np.uint16).reshape(16, 16, 3).astype(np.uint8)
    ordered = picture[..., ::-1] if to_rgb else picture

    normalized = letterbox(to_rgb=to_rgb).normalize(picture)

    expected = (ordered.astype(np.float32) - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    assert normalized.dtype == np.float32
    assert np.array_equal(normalized, expected)


def test_the_network_gets_contiguous_planes() -> None:
    picture = noise(8, 4).astype(np.float32)

    batch = letterbox().format(picture)

    assert batch.shape == (1, 3, 4, 8)
    assert batch.flags["C_CONTIGUOUS"]
    assert batch[0, 2, 3, 7] == picture[3, 7, 2]


def test_a_portrait_picture_that_a_wide_network_cannot_take_is_named() -> None:
    wide = transforms()
    wide[1]["size"] = wide[2]["size"] = [64, 32]
    preprocessing = Preprocessing.parse(wide, (64, 32))

    assert preprocessing.resize(noise(128, 64)).shape == (32, 64, 3)
    with pytest.raises(StageError, match="30x90 does not fit a network of 64x32"):
        preprocessing.resize(noise(30, 90))


def padded_later(value: float, to_rgb: bool = False) -> Preprocessing:
    """Give what MMDeploy writes where the data_preprocessor pads: Pad behind Normalize."""
    steps = transforms(to_rgb=to_rgb)
    steps[2], steps[3] = steps[3], {"type": "Pad", "size": [64, 64], "pad_val": value}
    return Preprocessing.parse(steps, (64, 64))


@pytest.mark.parametrize("to_rgb", [False, True])
@pytest.mark.parametrize("value", [0.0, 0.3])
def test_what_is_padded_after_normalising_has_that_very_value(value: float, to_rgb: bool) -> None:
    preprocessing = padded_later(value, to_rgb)
    picture = noise(128, 96)

    tensor = Feeding(preprocessing)(picture)[0][0]

    assert preprocessing.pads_normalized
    assert np.array_equal(tensor[:, 48:], np.full((3, 16, 64), value, np.float32))
    whole = preprocessing.normalize(preprocessing.resize(picture)).transpose(2, 0, 1)
    assert np.array_equal(tensor[:, :48], whole[:, :48])
    # The nearest colours of 8 bits are half a level away at most.
    deviation = np.array(STD).reshape(3, 1, 1)
    assert np.abs((whole[:, 48:] - value) * deviation).max() <= 0.5 + 1e-4


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("to_rgb", [False, True])
def test_the_padding_is_told_for_each_channel_of_the_input(to_rgb: bool, later: bool) -> None:
    coloured = cast("Transform", {**transforms()[2], "pad_val": [250, 0.4, 114]})
    steps = transforms(to_rgb=to_rgb)
    steps[2] = coloured
    early = Preprocessing.parse(steps, (64, 64))
    preprocessing = padded_later(0.25, to_rgb) if later else early

    tensor = Feeding(preprocessing)(noise(64, 32))[0][0]

    assert np.array_equal(preprocessing.padding(), tensor[:, -1, -1])


def changed(index: int, **values: object) -> list[Transform]:
    steps = transforms()
    steps[index] = cast("Transform", {**steps[index], **values})
    return steps


def without(index: int) -> list[Transform]:
    steps = transforms()
    del steps[index]
    return steps


REFUSED = {
    "unknown transform": (changed(1, type="RandomCenterCropPad"), "is not supported"),
    "padding twice": (
        [transforms()[i] for i in (0, 1, 2, 3, 2, 5, 6)],
        "is not supported",
    ),
    "no mean": (without(3), "is not supported"),
    "no padding": (without(2), "pads nothing"),
    "another size": (changed(1, size=[32, 32]), "resizes to"),
    "another padding": (changed(2, size=[32, 64]), "pads to"),
    "padding to multiples": (changed(4, size_divisor=48), "is not supported"),
    "grey": (changed(0, color_type="grayscale"), "color_type = 'grayscale'"),
    "another interpolation": (changed(1, interpolation="area"), "interpolation = 'area'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_be_another_picture_is_refused(case: str) -> None:
    steps, message = REFUSED[case]

    with pytest.raises(StageError, match=message) as caught:
        Preprocessing.parse(steps, (64, 64))

    assert caught.value.hint


@pytest.mark.parametrize(
    "pad",
    [
        {"pad_val": 114},
        {"pad_val": {"img": 114}},
        {"pad_val": [114, 114, 114]},
        {"pad_val": 114, "size": None, "pad_to_square": True},
    ],
)
def test_the_ways_to_write_the_same_padding(pad: dict[str, object]) -> None:
    assert Preprocessing.parse(changed(2, **pad), (64, 64)) == letterbox()


def rotated_jpeg(path: Path) -> None:
    """Write a JPEG 40 wide and 20 high whose EXIF says: turn it by 90 degrees to look at it."""
    _, content = cv2.imencode(".jpg", noise(40, 20))
    orientation = b"\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00"
    tiff = b"II*\x00\x08\x00\x00\x00\x01\x00" + orientation + b"\x00\x00\x00\x00"
    body = b"Exif\x00\x00" + tiff
    segment = b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body
    data = content.tobytes()
    path.write_bytes(data[:2] + segment + data[2:])


def test_pictures_are_turned_as_exif_says(tmp_path: Path) -> None:
    rotated_jpeg(tmp_path / "turned.jpg")

    assert read_picture(tmp_path / "turned.jpg").shape == (40, 20, 3)


@pytest.mark.parametrize(
    "picture", [noise(5, 4)[..., 0], np.dstack([noise(5, 4), noise(5, 4)[..., :1]])]
)
def test_grey_and_transparent_pictures_get_three_channels(
    tmp_path: Path, picture: np.ndarray
) -> None:
    cv2.imwrite(str(tmp_path / "picture.png"), picture)

    assert read_picture(tmp_path / "picture.png").shape == (4, 5, 3)


def test_missing_and_broken_pictures_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("not a picture")

    with pytest.raises(StageError, match=r"no picture missing\.jpg"):
        read_picture(tmp_path / "missing.jpg")
    for name in ("empty.jpg", "text.jpg"):
        with pytest.raises(StageError, match=f"{name} cannot be decoded"):
            read_picture(tmp_path / name)


@pytest.mark.timeout(20)
def test_a_pipe_is_no_picture(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StageError, match="pipe cannot be read: it is a pipe"):
        read_picture(tmp_path / "pipe")
