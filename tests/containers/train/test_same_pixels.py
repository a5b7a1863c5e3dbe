"""What an engine is fed of a picture file are the pixels that MMDetection trains and tests with."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine import Config, ConfigDict
from mmengine.dataset import Compose
from PIL import Image
from untrained import PACK, base_config

from mmdet_jetson.stages.annotations.pictures import inspect, write
from mmdet_jetson.stages.conversion.fused_preprocessing import INPUTS, preprocessing_graph
from mmdet_jetson.stages.conversion.trained_preprocessing import (
    padded_input,
    trained_preprocessing,
)
from mmdet_jetson.stages.inference.feeding import Feeding
from mmdet_jetson.stages.inference.preprocessing import Preprocessing, read_picture

SIDE = 320
SIZES = [
    *((640, 480), (481, 333), (97, 131), (639, 641), (1279, 717), (213, 320)),  # odd sides
    *((500, 1), (1, 500), (1200, 3), (3, 1200), (300, 2)),  # slivers
    *((1, 1), (3, 2), (16, 16)),  # tiny
    *((4000, 3000), (2000, 3008)),  # large
    *((SIDE, SIDE), (2 * SIDE, 2 * SIDE)),  # nothing to interpolate
]
# Of a million values, those that may be 1 of 255 too bright where the graph scales.
MOST_OFF = 3


FITTED = {
    "letterbox": {"keep_ratio": True},
    "stretch": {"keep_ratio": False},
    "padded after normalising": {"keep_ratio": True, "pads_later": True},
}


class Trained:
    """MMDetection's own transforms and data_preprocessor, and what the export reads from them."""

    def __init__(
        self, config: Config, *, keep_ratio: bool, to_rgb: bool, pads_later: bool = False
    ) -> None:
        pad = {"type": "Pad", "size": (SIDE, SIDE), "pad_val": {"img": (114, 114, 114)}}
        resize = {"type": "Resize", "scale": (SIDE, SIDE), "keep_ratio": keep_ratio}
        pads = [pad] if keep_ratio and not pads_later else []
        steps = [{"type": "LoadImageFromFile"}, resize, *pads, PACK]
        means = {**config.model.data_preprocessor, "bgr_to_rgb": to_rgb, "batch_augments": None}
        if pads_later:
            means.update(pad_size_divisor=32, pad_value=0.3)
        self.transforms, self.normalizer = Compose(steps), MODELS.build(means)
        described = [ConfigDict(step) for step in steps]
        self.preprocessing = trained_preprocessing(described, means, (SIDE, SIDE))

    def pixels(self, path: Path) -> np.ndarray:
        """Give what the network sees of a file: float32 [3, height, width]."""
        packed = self.transforms({"img_path": str(path), "img_id": 0})
        batch = {"inputs": [packed["inputs"]], "data_samples": [packed["data_samples"]]}
        inputs = padded_input(self.normalizer(batch, False)["inputs"], self.preprocessing)
        values: np.ndarray = inputs.numpy()[0]
        return values


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    register_all_modules()
    folder = tmp_path_factory.mktemp("config")
    return base_config("rtmdet/rtmdet_tiny_8xb32-300e_coco.py", None, folder)


@pytest.fixture(scope="module")
def trained(config: Config) -> Trained:
    return Trained(config, keep_ratio=True, to_rgb=False)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Noise of every size: nothing has more values that scaling can round."""
    folder, random = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    paths = [folder / f"{width}x{height}.png" for width, height in SIZES]
    for path, (width, height) in zip(paths, SIZES):
        cv2.imwrite(str(path), random.integers(0, 256, (height, width, 3), np.uint8))
    return paths


@lru_cache(None)
def session(mode: str, preprocessing: Preprocessing) -> onnxruntime.InferenceSession:
    graph = preprocessing_graph(mode, preprocessing, batch=1, folded=False)
    return onnxruntime.InferenceSession(graph.SerializeToString())


def in_engine(mode: str, preprocessing: Preprocessing, path: Path) -> np.ndarray:
    """Give what the network sees of a file where the graph has an input of this mode."""
    fed = Feeding(preprocessing, mode)(read_picture(path))
    if mode == "tensor":
        tensor: np.ndarray = fed[0][0]
        return tensor
    opened = session(mode, preprocessing)
    named = {value.name: array for value, array in zip(opened.get_inputs(), fed)}
    values: np.ndarray = opened.run(["input"], named)[0][0]
    return values


def differences(wanted: Preprocessing, values: np.ndarray, expected: np.ndarray) -> list[float]:
    """Give those that are not 0, in steps of 8 bits."""
    apart = (values - expected) * np.array(wanted.std, np.float32).reshape(3, 1, 1)
    found: list[float] = apart[values != expected].tolist()
    return found


@pytest.mark.parametrize("mode", INPUTS)
@pytest.mark.parametrize("to_rgb", [False, True])
@pytest.mark.parametrize("fitted", FITTED)
def test_pictures_of_any_size(
    fitted: str, to_rgb: bool, mode: str, config: Config, photos: list[Path]
) -> None:
    trained = Trained(config, to_rgb=to_rgb, **FITTED[fitted])
    wanted, off = trained.preprocessing, []
    for path in photos:
        off += differences(wanted, in_engine(mode, wanted, path), trained.pixels(path))
    assert off == pytest.approx([1] * len(off), abs=1e-3)
    values = len(photos) * 3 * SIDE**2
    assert len(off) <= (MOST_OFF * values / 1e6 if mode == "image" else 0)


def test_a_sliver_that_mmcv_cannot_scale_is_one_pixel_wide(
    trained: Trained, tmp_path: Path
) -> None:
    path = tmp_path / "sliver.png"
    cv2.imwrite(str(path), np.full((4000, 3, 3), 200, np.uint8))
    with pytest.raises(cv2.error, match=r"inv_scale_x > 0"):
        trained.pixels(path)
    wanted = trained.preprocessing
    picture, padding = ((value - np.array(wanted.mean)) / wanted.std for value in (200, 114))
    for mode in INPUTS:
        values = in_engine(mode, wanted, path).transpose(1, 2, 0)
        assert np.allclose(values[:, 0], picture)
        assert np.allclose(values[:, 1:], padding)


def by_pillow(mode: str, **options: object) -> Callable[[Path], None]:
    noise = np.random.default_rng(1).integers(0, 256, (33, 47, 4), np.uint8)
    return lambda path: Image.fromarray(noise, "RGBA").convert(mode).save(path, None, **options)


def deep(*channels: int) -> Callable[[Path], None]:
    """16 bits a channel."""
    noise = np.random.default_rng(1).integers(0, 2**16, (33, 47, *channels), np.uint16)

    def write_deep(path: Path) -> None:
        cv2.imwrite(str(path), noise)

    return write_deep


def turned(mode: str, orientation: int) -> Callable[[Path], None]:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return by_pillow(mode, exif=exif)


FILES = {
    "grey.png": by_pillow("L"),
    "grey.jpg": by_pillow("L"),
    "grey-and-alpha.png": by_pillow("LA"),
    "grey-16-bit.png": deep(),
    "black-and-white.png": by_pillow("1"),
    "palette.png": by_pillow("P"),
    "palette-with-one-transparent.png": by_pillow("P", transparency=3),
    "alpha.png": by_pillow("RGBA"),
    "alpha.webp": by_pillow("RGBA", lossless=True),
    "colour.jpg": by_pillow("RGB"),
    "colour.bmp": by_pillow("RGB"),
    "colour.tif": by_pillow("RGB"),
    "colour-16-bit.png": deep(3),
    "alpha-16-bit.png": deep(4),
    "cmyk.jpg": by_pillow("CMYK"),
    "turned.png": turned("RGB", 6),
    **{f"turned-{way}.jpg": turned("RGB", way) for way in range(1, 9)},
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_any_kind(name: str, trained: Trained, tmp_path: Path) -> None:
    """The same in training, in an engine, and in the copy that the stage `dataset` makes."""
    path, copy = tmp_path / name, tmp_path / "dataset" / name
    FILES[name](path)
    expected = trained.pixels(path)
    for mode in INPUTS:
        values = in_engine(mode, trained.preprocessing, path)
        off = differences(trained.preprocessing, values, expected)
        assert off == pytest.approx([1] * len(off), abs=1e-3)
        assert len(off) <= (3 * MOST_OFF if mode == "image" else 0)  # a grey one is three values
    write(path, copy, reencode=not inspect(path).plain)
    assert np.array_equal(trained.pixels(copy), expected)
