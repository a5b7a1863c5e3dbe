"""From a picture to the network's input, as MMDeploy's pipeline.json says.

The formulas are MMDetection's and MMCV's, so that a compiled network sees what the trained one saw.
OpenCV is imported where it computes, since a graph that takes pictures as they are does without it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Sequence, Tuple

import numpy as np

from mmdet_jetson.contract.files import SpecialFile, refuse_special
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.pipeline_json import (
    Pipeline,
    Transform,
    Triple,
    check_options,
    check_order,
    check_sizes,
    is_idle_pad,
    pad_value_of,
    transforms_of,
    triple,
)

Size = Tuple[int, int]


@dataclass(frozen=True)
class Preprocessing:
    """The steps from a decoded picture to the network's input.

    ``input_size`` is (width, height); ``pad_value`` is written right and below of a picture that
    keeps its aspect ratio, as a BGR colour or, with ``pads_normalized``, as values of the network's
    input; these, ``mean`` and ``std`` are in the channel order that ``to_rgb`` gives.
    """

    input_size: Size
    keep_ratio: bool
    pad_value: Triple
    mean: Triple
    std: Triple
    to_rgb: bool
    pads_normalized: bool = False

    @classmethod
    def read(cls, pipeline: Path, input_size: Size) -> "Preprocessing":
        """Find and `parse` the transforms in a pipeline.json."""
        content: Pipeline = json.loads(pipeline.read_text(encoding="utf-8"))
        return cls.parse(transforms_of(content), input_size)

    @classmethod
    def parse(cls, transforms: Sequence[Transform], input_size: Size) -> "Preprocessing":
        """Read the transforms of MMDeploy's preprocessing task for a network of ``input_size``.

        Raises:
            StageError: a transform, an order or an option that this class does not compute.
        """
        for transform in transforms:
            check_options(transform)
        acting = [step for step in transforms if not is_idle_pad(step, input_size)]
        kinds = [step["type"] for step in acting]
        check_order(kinds)
        steps = {step["type"]: step for step in acting}
        resize, normalize = steps["Resize"], steps["Normalize"]
        keep_ratio = bool(resize.get("keep_ratio", False))
        check_sizes(resize, steps.get("Pad"), input_size)
        return cls(
            input_size=input_size,
            keep_ratio=keep_ratio,
            pad_value=pad_value_of(steps.get("Pad")),
            mean=triple(normalize["mean"]),
            std=triple(normalize["std"]),
            to_rgb=bool(normalize.get("to_rgb", False)),
            pads_normalized=keep_ratio and "Pad" in kinds[kinds.index("Normalize") :],
        )

    def resized_size(self, width: int, height: int) -> Size:
        """Give the (width, height) of a picture inside the network's input, before padding.

        With ``keep_ratio``: the scale is min(long / max(w, h), short / min(w, h)) of the input's
        long and short side, and a side becomes int(side * scale + 0.5), as in MMCV's
        ``rescale_size``. MMCV fails where a side rounds to 0; here it is 1 pixel.
        """
        if not self.keep_ratio:
            return self.input_size
        scale = min(
            max(self.input_size) / max(width, height), min(self.input_size) / min(width, height)
        )
        return max(1, int(width * scale + 0.5)), max(1, int(height * scale + 0.5))

    def fitted_size(self, width: int, height: int) -> Size:
        """Give the `resized_size` of a picture that fits into the network's input.

        Raises:
            StageError: it does not.
        """
        size = self.resized_size(width, height)
        if size[0] > self.input_size[0] or size[1] > self.input_size[1]:
            raise StageError(
                f"a picture of {width}x{height} does not fit a network of "
                f"{self.input_size[0]}x{self.input_size[1]}: MMDetection scales its longer side to "
                f"the longer side of the network, which gives {size[0]}x{size[1]}",
                "train and export with a square input_size",
            )
        return size

    def scale(self, picture: np.ndarray) -> np.ndarray:
        """Scale a BGR uint8 [height, width, 3] picture to its `fitted_size`."""
        import cv2  # noqa: PLC0415

        size = self.fitted_size(picture.shape[1], picture.shape[0])
        scaled: np.ndarray = cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)
        return scaled

    def resize(self, picture: np.ndarray) -> np.ndarray:
        """Scale a BGR uint8 [height, width, 3] picture, and pad it to the input size.

        What is padded after normalising has the nearest colour of 8 bits here.
        """
        return self._filled(self.scale(picture), self.pad_colour())

    def normalize(self, picture: np.ndarray) -> np.ndarray:
        """Turn uint8 [height, width, 3] into float32: (value - mean) / std for each channel.

        What is padded after normalising is padded here. A table of the 256 results a channel is as
        exact as the arithmetic, and faster.
        """
        import cv2  # noqa: PLC0415

        ordered = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB) if self.to_rgb else picture
        normalized: np.ndarray = cv2.LUT(ordered, self._table())
        return self._filled(normalized, self.pad_value) if self.pads_normalized else normalized

    def _filled(self, picture: np.ndarray, value: Triple) -> np.ndarray:
        import cv2  # noqa: PLC0415

        below, right = self.input_size[1] - picture.shape[0], self.input_size[0] - picture.shape[1]
        filled: np.ndarray = cv2.copyMakeBorder(
            picture, 0, below, 0, right, cv2.BORDER_CONSTANT, value=value
        )
        return filled

    def pad_colour(self) -> Tuple[int, int, int]:
        """Give the BGR colour of 8 bits that is nearest to the padding, as OpenCV rounds it."""
        values = np.array(self.pad_value)
        if self.pads_normalized:
            planes = values * self.std + self.mean
            values = planes[::-1] if self.to_rgb else planes
        blue, green, red = (min(max(round(value), 0), 255) for value in values.tolist())
        return blue, green, red

    def padding(self) -> np.ndarray:
        """Give what each channel of the network's input has where no picture is: float32 [3]."""
        if self.pads_normalized:
            return np.array(self.pad_value, np.float32)
        colour = self.pad_colour()
        levels = np.array(colour[::-1] if self.to_rgb else colour)
        padding: np.ndarray = self._table()[levels, 0, range(3)]
        return padding

    def _table(self) -> np.ndarray:
        values = np.arange(256, dtype=np.float32)[:, None, None]
        mean, std = np.array([self.mean, self.std], np.float32)
        table: np.ndarray = (values - mean) / std
        return table

    @staticmethod
    def format(picture: np.ndarray) -> np.ndarray:
        """Turn float32 [height, width, 3] into a contiguous batch of one: [1, 3, height, width]."""
        return np.ascontiguousarray(picture.transpose(2, 0, 1)[None])


def read_picture(path: Path) -> np.ndarray:
    """Decode a file to BGR uint8 [height, width, 3], turned as its EXIF orientation says.

    These are the calls MMCV makes for ``color_type='color'``: grey becomes three channels, an
    alpha channel is dropped, 16 bits become 8.
    """
    import cv2  # noqa: PLC0415

    try:
        refuse_special(path)
        content = np.frombuffer(path.read_bytes(), np.uint8)
    except FileNotFoundError:
        raise StageError(f"there is no picture {path.name}", f"looked in {path.parent}") from None
    except (IsADirectoryError, PermissionError, SpecialFile) as error:
        raise StageError(
            f"{path} cannot be read: {error.strerror}", "name a picture file"
        ) from error
    decoded: Optional[np.ndarray] = (
        cv2.imdecode(content, cv2.IMREAD_COLOR) if content.size else None
    )
    if decoded is None:
        raise StageError(
            f"{path.name} cannot be decoded as a picture", "replace the file or leave it out"
        )
    return decoded
