"""All preprocessing of a picture in one pass on the GPU, for engines that take a float tensor.

TensorRT 8.4 has no 8-bit inputs, so its graphs cannot begin with a picture. Here the picture goes
to the GPU as it is, and one kernel scales, pads, normalises and lays it out, right into the
engine's input.
"""

import warnings
from string import Template
from typing import Optional, Sequence, Tuple

import numpy as np

from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.buffers import Buffer
from mmdet_jetson.stages.inference.cuda_api import CannotCompile, Kernel
from mmdet_jetson.stages.inference.feeding import mapping
from mmdet_jetson.stages.inference.gpu import GpuSession
from mmdet_jetson.stages.inference.network import Network
from mmdet_jetson.stages.inference.preprocessing import Preprocessing

KERNEL = "letterbox"
ARGUMENTS = "PiiiiP"
# Threads side by side write neighbours of a row, which the GPU joins to one access.
BLOCK = (32, 8, 1)

# The arithmetic is OpenCV's INTER_LINEAR of 8-bit pictures: the place of a pixel's middle as a
# float, weights of 11 bits, 4 bits dropped after the horizontal pass, 16 of each row after the
# vertical one, and a rounding to 8 bits. At the ends the same pixel counts twice: the two weights
# sum to 2048. No floating-point product is part of a sum, since the compiler would fuse the two
# into one rounding. The numerator of a place fits into a float up to 6500 pixels a side for a
# network of 1280; beyond that a weight may be 1 of 2048 off.
SOURCE = Template(
    """
struct Pair { int first, second, first_weight, second_weight; };

__device__ Pair pair_at(int place, int side, int new_side)
{
  const float source = (float)((2 * place + 1) * side - new_side) / (float)(2 * new_side);
  const int whole = (int)floorf(source);
  const float part = source - floorf(source);
  Pair pair;
  pair.first = min(max(whole, 0), side - 1);
  pair.second = min(max(whole + 1, 0), side - 1);
  pair.first_weight = (int)rintf((1.0f - part) * 2048.0f);
  pair.second_weight = (int)rintf(part * 2048.0f);
  return pair;
}

__device__ int mixed(const unsigned char *row, Pair column, int channel)
{
  const int first = row[3 * column.first + channel], second = row[3 * column.second + channel];
  return (first * column.first_weight + second * column.second_weight) >> 4;
}

__global__ void letterbox(
  const unsigned char *picture, int width, int height, int new_width, int new_height, float *tensor)
{
  const int batch = $batch, input_width = $width, input_height = $height;
  const int channel_of_plane[3] = {$channels};
  const float padding[3] = {$padding}, mean[3] = {$mean}, std[3] = {$std};
  const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
  if (x >= input_width || y >= input_height) return;
  const bool is_picture = x < new_width && y < new_height;
  const Pair column = pair_at(x, width, new_width);
  const Pair row = pair_at(y, height, new_height);
  const unsigned char *upper = picture + 3 * (size_t)width * row.first;
  const unsigned char *lower = picture + 3 * (size_t)width * row.second;
  for (int plane = 0; plane < 3; ++plane) {
    const int channel = channel_of_plane[plane];
    float value = padding[plane];
    if (is_picture) {
      const int quarters = ((mixed(upper, column, channel) * row.first_weight) >> 16)
                         + ((mixed(lower, column, channel) * row.second_weight) >> 16);
      const int level = (quarters + 2) >> 2;
      value = ((float)level - mean[plane]) / std[plane];
    }
    for (int copy = 0; copy < batch; ++copy)
      tensor[((size_t)(3 * copy + plane) * input_height + y) * input_width + x] = value;
  }
}
"""
)


def kernel_source(preprocessing: Preprocessing, batch: int) -> str:
    """Write the kernel in CUDA C; the engine's size and all constants are part of it."""
    width, height = preprocessing.input_size
    return SOURCE.substitute(
        batch=batch,
        width=width,
        height=height,
        padding=_floats(preprocessing.padding().tolist()),
        channels="2, 1, 0" if preprocessing.to_rgb else "0, 1, 2",
        mean=_floats(preprocessing.mean),
        std=_floats(preprocessing.std),
    )


def _floats(values: Sequence[float]) -> str:
    return ", ".join(f"{float(np.float32(value))!r}f" for value in values)


def taking_pictures(
    network: Network, preprocessing: Preprocessing, batch: int
) -> Optional[Network]:
    """Let an engine that takes a tensor take pictures.

    Returns:
        A network that is called with one uint8 picture [1, height, width, 3]. None where the kernel
        cannot be compiled, which a warning tells: preprocessing is up to the CPU then.
    """
    session = network
    assert isinstance(session, GpuSession)
    try:
        with session.cuda.active():
            kernel = session.cuda.compile(kernel_source(preprocessing, batch), KERNEL, ARGUMENTS)
    except CannotCompile as reason:
        warnings.warn(f"pictures are prepared on the CPU, as {reason}", stacklevel=2)
        return None
    return PictureSession(session, kernel, preprocessing, batch)


class PictureSession:
    """A `Network` that takes one picture; a batch of several is filled with the same one."""

    def __init__(
        self, session: GpuSession, kernel: Kernel, preprocessing: Preprocessing, batch: int
    ) -> None:
        self.session, self.kernel = session, kernel
        self.preprocessing, self.batch = preprocessing, batch
        self.picture = Buffer(session.cuda, session.mapped)

    @property
    def milliseconds(self) -> float:
        """What the last call took on the GPU, kernel and engine, copies left out."""
        return self.session.milliseconds

    def __call__(self, picture: np.ndarray) -> Tuple[np.ndarray, ...]:
        """Prepare a BGR uint8 picture [1, height, width, 3] and run the engine on it.

        Raises:
            StageError: it has not three channels, it does not fit the network, or TensorRT fails.
        """
        if picture.ndim != 4 or picture.shape[0] != 1 or picture.shape[3] != 3:
            shape = "x".join(map(str, picture.shape))
            raise StageError(
                f"this engine does not accept a picture of shape {shape}",
                "give it one picture with the channels blue, green and red: 1xHEIGHTxWIDTHx3",
            )
        size = picture.shape[2], picture.shape[1]
        new_size = self.preprocessing.fitted_size(*size)
        row = np.repeat(mapping(self.preprocessing, size)[None], self.batch, axis=0)
        tensor, mapped = self.session.inputs
        width, height = self.preprocessing.input_size
        grid = -(-width // BLOCK[0]), -(-height // BLOCK[1])
        with self.session.cuda.active():
            values = self.session.reserve(tensor, (self.batch, 3, height, width))
            uploads = (
                self.session.reserve(mapped, row.shape).fill(row),
                self.picture.shaped(picture.shape, picture.dtype).fill(picture),
            )

            def prepare() -> None:
                self.kernel(grid, BLOCK, self.picture.device, *size, *new_size, values.device)

            return self.session.run(uploads, prepare)
