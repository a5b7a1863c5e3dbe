"""From a picture to the network's input, as MMDeploy's pipeline.json says.

The formulas are MMDetection's and MMCV's, so that a compiled network sees what the trained one saw.
OpenCV is imported where it computes, since a graph that takes pictures as they are does without it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import List, Mapping, Optional, Sequence, Tuple, TypedDict, Union

import numpy as np

from mmdet_jetson.stages.errors import StageError

Triple = Tuple[float, float, float]
Size = Tuple[int, int]

ORDERS = (
    ["LoadImageFromFile", "Resize", "Pad", "Normalize", "Collect"],
    ["LoadImageFromFile", "Resize", "Normalize", "Collect"],
)
FORMATS = ("DefaultFormatBundle", "ImageToTensor")
# Values that change the result; anything else than these would silently be another picture.
FIXED: Mapping[str, Mapping[str, object]] = {
    "LoadImageFromFile": {"color_type": "color", "imdecode_backend": "cv2", "to_float32": False},
    "Resize": {"interpolation": "bilinear"},
    "Pad": {"padding_mode": "constant"},
}


class _NamedTransform(TypedDict):
    type: str


class Transform(_NamedTransform, total=False):
    """A step of MMDeploy's preprocessing task, with the options of all kinds of steps."""

    size: Union[int, Sequence[int], None]
    keep_ratio: bool
    pad_val: "Union[float, Sequence[float], Mapping[str, Union[float, Sequence[float]]]]"
    pad_to_square: bool
    size_divisor: Optional[int]
    mean: Sequence[float]
    std: Sequence[float]
    to_rgb: bool
    meta_keys: Sequence[str]


class _Task(TypedDict):
    module: str
    transforms: List[Transform]


class _Tasks(TypedDict):
    tasks: List[_Task]


class Pipeline(TypedDict):
    """The content of a pipeline.json."""

    pipeline: _Tasks


def transforms_of(content: Pipeline) -> List[Transform]:
    """Find the preprocessing: it is the task of the module Transform."""
    tasks = content["pipeline"]["tasks"]
    return next(task["transforms"] for task in tasks if task["module"] == "Transform")


@dataclass(frozen=True)
class Preprocessing:
    """The steps from a decoded picture to the network's input.

    ``input_size`` is (width, height); ``pad_value`` is written right and below of a picture that
    keeps its aspect ratio; ``mean`` and ``std`` are in the channel order that ``to_rgb`` gives.
    """

    input_size: Size
    keep_ratio: bool
    pad_value: Triple
    mean: Triple
    std: Triple
    to_rgb: bool

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
            _check_options(transform)
        acting = [step for step in transforms if not _is_idle_pad(step, input_size)]
        _check_order([step["type"] for step in acting])
        steps = {step["type"]: step for step in acting}
        resize, normalize = steps["Resize"], steps["Normalize"]
        keep_ratio = bool(resize.get("keep_ratio", False))
        _check_sizes(resize, steps.get("Pad"), input_size)
        return cls(
            input_size=input_size,
            keep_ratio=keep_ratio,
            pad_value=_pad_value(steps.get("Pad")),
            mean=_triple(normalize["mean"]),
            std=_triple(normalize["std"]),
            to_rgb=bool(normalize.get("to_rgb", False)),
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

    def resize(self, picture: np.ndarray) -> np.ndarray:
        """Scale a BGR uint8 [height, width, 3] picture to the input size, and pad what is left."""
        import cv2  # noqa: PLC0415

        size = self.fitted_size(picture.shape[1], picture.shape[0])
        right, below = self.input_size[0] - size[0], self.input_size[1] - size[1]
        scaled = cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)
        padded: np.ndarray = cv2.copyMakeBorder(
            scaled, 0, below, 0, right, cv2.BORDER_CONSTANT, value=self.pad_value
        )
        return padded

    def normalize(self, picture: np.ndarray) -> np.ndarray:
        """Turn uint8 [height, width, 3] into float32: (value - mean) / std for each channel.

        A table of the 256 results a channel is as exact as the arithmetic, and faster.
        """
        import cv2  # noqa: PLC0415

        ordered = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB) if self.to_rgb else picture
        normalized: np.ndarray = cv2.LUT(ordered, self._table())
        return normalized

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
        content = np.frombuffer(path.read_bytes(), np.uint8)
    except FileNotFoundError:
        raise StageError(f"there is no picture {path.name}", f"looked in {path.parent}") from None
    except (IsADirectoryError, PermissionError) as error:
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


def _check_options(transform: Transform) -> None:
    for option, value in FIXED.get(transform["type"], {}).items():
        if transform.get(option, value) != value:
            raise StageError(
                f"pipeline.json: {transform['type']} has {option} = {transform.get(option)!r}, "
                f"where only {value!r} is supported",
                "change the test pipeline of the training config and export again",
            )


def _check_order(kinds: List[str]) -> None:
    if [kind for kind in kinds if kind not in FORMATS] not in ORDERS:
        raise StageError(
            f"pipeline.json: the preprocessing {', '.join(kinds)} is not supported",
            "a test pipeline may load, resize, pad and pack; "
            "mean and std belong into the model's data_preprocessor",
        )


def _check_sizes(resize: Transform, pad: Optional[Transform], input_size: Size) -> None:
    width, height = input_size
    size = resize["size"]
    if _sides(size) != input_size:
        raise StageError(
            f"pipeline.json resizes to {size}, but the network takes {width}x{height} pictures",
            "give the training config and the export the same input_size",
        )
    if pad is None and resize.get("keep_ratio", False):
        raise StageError(
            "pipeline.json keeps the aspect ratio but pads nothing, so most pictures do not fit "
            f"the network's {width}x{height}",
            "add a Pad to the test pipeline of the training config",
        )
    if pad is not None and not _fills(pad, input_size):
        raise StageError(
            f"pipeline.json pads to {pad.get('size')}, but the network takes {width}x{height}",
            "give the training config and the export the same input_size",
        )


def _sides(size: Union[int, Sequence[int], None]) -> Tuple[int, ...]:
    return (size, size) if isinstance(size, int) else tuple(size or ())


def _fills(pad: Transform, input_size: Size) -> bool:
    """Whether a Pad ends at the input size.

    MMDetection writes its size as (width, height), MMDeploy's SDK reads (height, width); the
    network's own shape settles which is meant.
    """
    if pad.get("pad_to_square"):
        return input_size[0] == input_size[1]
    return sorted(_sides(pad.get("size"))) == sorted(input_size)


def _is_idle_pad(transform: Transform, input_size: Size) -> bool:
    """Whether this is a Pad to multiples of a number that the input size already is."""
    if transform["type"] != "Pad" or transform.get("size") or transform.get("pad_to_square"):
        return False
    divisor = transform.get("size_divisor") or 1
    return all(side % divisor == 0 for side in input_size)


def _pad_value(pad: Optional[Transform]) -> Triple:
    given = pad.get("pad_val", 0) if pad else 0
    value = given.get("img", 0) if isinstance(given, Mapping) else given
    return _triple(value if isinstance(value, Sequence) else [value] * 3)


def _triple(values: Sequence[float]) -> Triple:
    first, second, third = values
    return float(first), float(second), float(third)
