"""The kernel's very source, compiled for this CPU, against OpenCV's steps."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from kernels_on_cpu import compiled, needs_compiler

from mmdet_jetson.stages.inference.feeding import Feeding
from mmdet_jetson.stages.inference.graph import TENSOR
from mmdet_jetson.stages.inference.letterbox_kernel import (
    ARGUMENTS,
    BLOCK,
    KERNEL,
    kernel_source,
)
from mmdet_jetson.stages.inference.preprocessing import Preprocessing

pytestmark = needs_compiler
MEAN, STD, PAD = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395), (114.0, 0.4, 254.6)
SIZES = [
    (1, 1), (2, 2), (3, 1), (1, 3), (1, 97), (97, 1), (1, 2000), (2000, 1), (7, 1999), (3001, 13),
    (96, 96), (192, 192), (95, 97), (48, 48), (640, 480), (480, 640), (1333, 800), (1023, 769),
]  # fmt: skip
RANDOM = np.random.default_rng(0)
SIZES += [(int(width), int(height)) for width, height in RANDOM.integers(1, 700, (80, 2))]


def preprocessing_for(
    input_size: tuple[int, int], keep_ratio: bool = False, to_rgb: bool = False
) -> Preprocessing:
    return Preprocessing(input_size, keep_ratio, PAD, MEAN, STD, to_rgb)


def on_cpu(preprocessing: Preprocessing, picture: np.ndarray, batch: int = 1) -> np.ndarray:
    """Run the kernel; what it does not write stays NaN."""
    width, height = preprocessing.input_size
    tensor = np.full((batch, 3, height, width), np.nan, np.float32)
    rows, columns = picture.shape[:2]
    run = compiled(kernel_source(preprocessing, batch), KERNEL, ARGUMENTS)
    grid = -(-width // BLOCK[0]), -(-height // BLOCK[1])
    new_size = preprocessing.fitted_size(columns, rows)
    run(grid, BLOCK, picture.ctypes.data, columns, rows, *new_size, tensor.ctypes.data)
    return tensor


def by_opencv(preprocessing: Preprocessing, picture: np.ndarray) -> np.ndarray:
    return preprocessing.format(preprocessing.normalize(preprocessing.resize(picture)))


@pytest.mark.parametrize("to_rgb", [False, True])
def test_what_is_padded_after_normalising_is_so_to_the_last_bit(to_rgb: bool) -> None:
    preprocessing = replace(
        preprocessing_for((96, 96), True, to_rgb), pads_normalized=True, pad_value=(0.0, 0.3, -1.7)
    )

    for size in SIZES:
        picture = noise(*size)
        expected = Feeding(preprocessing, TENSOR)(picture)[0]
        assert np.array_equal(on_cpu(preprocessing, picture), expected), size


def noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(width + height).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("to_rgb", [False, True])
@pytest.mark.parametrize("keep_ratio", [False, True])
def test_every_value_is_opencvs_to_the_last_bit(keep_ratio: bool, to_rgb: bool) -> None:
    preprocessing = preprocessing_for((96, 96), keep_ratio, to_rgb)

    for size in SIZES:
        picture = noise(*size)
        found = on_cpu(preprocessing, picture)
        assert np.array_equal(found, by_opencv(preprocessing, picture)), size


@pytest.mark.parametrize("input_size", [(640, 640), (320, 192), (33, 71), (1, 1)])
def test_other_networks_get_the_same_too(input_size: tuple[int, int]) -> None:
    preprocessing = preprocessing_for(input_size, to_rgb=True)

    for size in [(1920, 1080), (333, 501), (11, 3)]:
        picture = noise(*size)
        assert np.array_equal(on_cpu(preprocessing, picture), by_opencv(preprocessing, picture))


def test_beyond_what_a_float_counts_a_value_is_one_grey_level_off_at_most() -> None:
    preprocessing = replace(
        preprocessing_for((1280, 1280)), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
    )
    picture = noise(13007, 3)

    difference = np.abs(on_cpu(preprocessing, picture) - by_opencv(preprocessing, picture))

    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.02


def test_a_batch_is_filled_with_the_same_picture() -> None:
    preprocessing = preprocessing_for((64, 32))
    picture = noise(50, 70)

    batch = on_cpu(preprocessing, picture, batch=3)

    assert np.array_equal(batch, np.repeat(by_opencv(preprocessing, picture), 3, axis=0))


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
def test_cudas_own_compiler_takes_it(tmp_path: Path) -> None:
    preprocessing = preprocessing_for((640, 640), keep_ratio=True)
    # pycuda writes it into such a block.
    source = f'extern "C" {{\n{kernel_source(preprocessing, 1)}\n}}\n'
    (tmp_path / "kernel.cu").write_text(source)

    done = subprocess.run(
        ["nvcc", "--cubin", "-arch", "sm_87", "kernel.cu"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert b"letterbox" in (tmp_path / "kernel.cubin").read_bytes()
