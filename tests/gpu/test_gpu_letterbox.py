"""The letterbox kernel on a real GPU, against OpenCV's steps, to the last bit."""

from dataclasses import replace

import numpy as np
import pytest
from on_gpu import noise

from mmdet_jetson.stages.inference.buffers import Buffer
from mmdet_jetson.stages.inference.cuda_api import CannotCompile, Cuda
from mmdet_jetson.stages.inference.feeding import Feeding
from mmdet_jetson.stages.inference.graph import TENSOR
from mmdet_jetson.stages.inference.letterbox_kernel import (
    ARGUMENTS,
    BLOCK,
    KERNEL,
    kernel_source,
)
from mmdet_jetson.stages.inference.preprocessing import Preprocessing

MEAN, STD, PAD = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395), (114.0, 0.4, 254.6)
PLAIN = Preprocessing((640, 640), False, PAD, MEAN, STD, False)
KEEPING = replace(PLAIN, keep_ratio=True, to_rgb=True)
CASES = {
    "stretched": PLAIN,
    "keeping the ratio, RGB": KEEPING,
    "padded after normalising": replace(KEEPING, pads_normalized=True, pad_value=(0.0, 0.3, -1.7)),
    "96x96": replace(KEEPING, input_size=(96, 96)),
    "33x71": replace(PLAIN, input_size=(33, 71)),
    "1280x1280": replace(KEEPING, input_size=(1280, 1280)),
}
SIZES = [
    (1, 1), (3, 1), (1, 97), (2000, 1), (7, 1999), (96, 96), (640, 480), (480, 640), (640, 640),
    (1333, 800), (1023, 769), (1920, 1080), (3840, 2160),
]  # fmt: skip
RANDOM = np.random.default_rng(0)
SIZES += [(int(width), int(height)) for width, height in RANDOM.integers(1, 1500, (40, 2))]


class OnGpu:
    """The kernel of a preprocessing, as `taking_pictures` launches it."""

    def __init__(self, cuda: Cuda, preprocessing: Preprocessing, batch: int) -> None:
        self.cuda, self.preprocessing, self.batch = cuda, preprocessing, batch
        try:
            source = kernel_source(preprocessing, batch)
            self.kernel = cuda.compile(source, KERNEL, ARGUMENTS)
        except CannotCompile as error:
            pytest.skip(f"{type(cuda).__name__}: {error}")
        self.picture, self.tensor = Buffer(cuda), Buffer(cuda)

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """Prepare a picture; what the kernel does not write stays NaN."""
        width, height = self.preprocessing.input_size
        shape = (self.batch, 3, height, width)
        self.tensor.shaped(shape, np.dtype(np.float32)).fill(np.full(shape, np.nan)).upload()
        self.picture.shaped(picture.shape, picture.dtype).fill(picture).upload()
        grid = -(-width // BLOCK[0]), -(-height // BLOCK[1])
        size = picture.shape[1], picture.shape[0]
        new_size = self.preprocessing.fitted_size(*size)
        self.kernel(grid, BLOCK, self.picture.device, *size, *new_size, self.tensor.device)
        self.tensor.download()
        self.cuda.synchronize()
        found: np.ndarray = self.tensor.host.copy()
        return found


@pytest.mark.parametrize("case", CASES)
def test_every_value_is_opencvs_to_the_last_bit(cuda: Cuda, case: str) -> None:
    on_gpu = OnGpu(cuda, CASES[case], batch=1)
    by_opencv = Feeding(CASES[case], TENSOR)

    for size in SIZES:
        picture = noise(*size)
        assert np.array_equal(on_gpu(picture), by_opencv(picture)[0]), size


def test_a_batch_is_filled_with_the_same_picture(cuda: Cuda) -> None:
    picture = noise(50, 70)

    batch = OnGpu(cuda, KEEPING, batch=3)(picture)

    assert np.array_equal(batch, np.repeat(Feeding(KEEPING, TENSOR)(picture)[0], 3, axis=0))
