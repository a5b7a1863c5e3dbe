"""The kernel's very source, compiled for this CPU, against OpenCV's steps."""

import shutil
import subprocess

import numpy as np
import pytest
from kernels_on_cpu import compiled, needs_compiler

from mmdet_jetson.stages.inference.letterbox_kernel import (
    ARGUMENTS,
    BLOCK,
    KERNEL,
    kernel_source,
)
from mmdet_jetson.stages.inference.preprocessing import Preprocessing

pytestmark = needs_compiler
COLOURS = {
    "mean": (103.53, 116.28, 123.675),
    "std": (57.375, 57.12, 58.395),
    "pad_value": (114.0, 0.4, 254.6),
}
SIZES = [
    (1, 1), (2, 2), (3, 1), (1, 3), (1, 97), (97, 1), (1, 2000), (2000, 1), (7, 1999), (3001, 13),
    (96, 96), (192, 192), (95, 97), (48, 48), (640, 480), (480, 640), (1333, 800), (1023, 769),
]  # fmt: skip
RANDOM = np.random.default_rng(0)
SIZES += [tuple(map(int, pair)) for pair in RANDOM.integers(1, 700, (80, 2))]


def on_cpu(preprocessing, picture, batch=1):
    """Run the kernel; what it does not write stays NaN."""
    width, height = preprocessing.input_size
    tensor = np.full((batch, 3, height, width), np.nan, np.float32)
    rows, columns = picture.shape[:2]
    run = compiled(kernel_source(preprocessing, batch), KERNEL, ARGUMENTS)
    grid = -(-width // BLOCK[0]), -(-height // BLOCK[1])
    new_size = preprocessing.fitted_size(columns, rows)
    run(grid, BLOCK, picture.ctypes.data, columns, rows, *new_size, tensor.ctypes.data)
    return tensor


def by_opencv(preprocessing, picture):
    return preprocessing.format(preprocessing.normalize(preprocessing.resize(picture)))


def noise(width, height):
    return np.random.default_rng(width + height).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("to_rgb", [False, True])
@pytest.mark.parametrize("keep_ratio", [False, True])
def test_every_value_is_opencvs_to_the_last_bit(keep_ratio, to_rgb):
    preprocessing = Preprocessing((96, 96), keep_ratio, to_rgb=to_rgb, **COLOURS)

    for size in SIZES:
        picture = noise(*size)
        found = on_cpu(preprocessing, picture)
        assert np.array_equal(found, by_opencv(preprocessing, picture)), size


@pytest.mark.parametrize("input_size", [(640, 640), (320, 192), (33, 71), (1, 1)])
def test_other_networks_get_the_same_too(input_size):
    preprocessing = Preprocessing(input_size, keep_ratio=False, to_rgb=True, **COLOURS)

    for size in [(1920, 1080), (333, 501), (11, 3)]:
        picture = noise(*size)
        assert np.array_equal(on_cpu(preprocessing, picture), by_opencv(preprocessing, picture))


def test_beyond_what_a_float_counts_a_value_is_one_grey_level_off_at_most():
    plain = {**COLOURS, "mean": (0.0,) * 3, "std": (1.0,) * 3}
    preprocessing = Preprocessing((1280, 1280), keep_ratio=False, to_rgb=False, **plain)
    picture = noise(13007, 3)

    difference = np.abs(on_cpu(preprocessing, picture) - by_opencv(preprocessing, picture))

    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.02


def test_a_batch_is_filled_with_the_same_picture():
    preprocessing = Preprocessing((64, 32), keep_ratio=False, to_rgb=False, **COLOURS)
    picture = noise(50, 70)

    batch = on_cpu(preprocessing, picture, batch=3)

    assert np.array_equal(batch, np.repeat(by_opencv(preprocessing, picture), 3, axis=0))


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
def test_cudas_own_compiler_takes_it(tmp_path):
    preprocessing = Preprocessing((640, 640), keep_ratio=True, to_rgb=False, **COLOURS)
    # pycuda writes it into such a block.
    source = f'extern "C" {{\n{kernel_source(preprocessing, 1)}\n}}\n'
    (tmp_path / "kernel.cu").write_text(source)

    done = subprocess.run(
        ["nvcc", "--cubin", "-arch", "sm_87", "kernel.cu"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert b"letterbox" in (tmp_path / "kernel.cubin").read_bytes()
