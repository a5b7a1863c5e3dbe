"""MMDeploy's pipeline.json: its types, and what of it an engine's preprocessing computes."""

from typing import List, Mapping, Optional, Sequence, Tuple, TypedDict, Union

from mmdet_jetson.stages.errors import StageError

Triple = Tuple[float, float, float]
Size = Tuple[int, int]

ORDERS = (
    ["LoadImageFromFile", "Resize", "Pad", "Normalize", "Collect"],
    ["LoadImageFromFile", "Resize", "Normalize", "Pad", "Collect"],
    ["LoadImageFromFile", "Resize", "Normalize", "Collect"],
)
FORMATS = ("DefaultFormatBundle", "ImageToTensor")
# Values that change the result; anything else than these would silently be another picture.
FIXED: Mapping[str, Mapping[str, object]] = {
    "LoadImageFromFile": {"color_type": "color", "imdecode_backend": "cv2", "to_float32": False},
    "Resize": {"interpolation": "bilinear", "backend": "cv2"},
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


def check_options(transform: Transform) -> None:
    """Refuse an option that changes the result."""
    wrong = fixed_option_broken(transform)
    if wrong:
        raise StageError(
            f"pipeline.json: {wrong}",
            "change the test pipeline of the training config and export again",
        )


def fixed_option_broken(transform: Mapping[str, object]) -> str:
    """Say which option of a transform changes the result; empty where none does."""
    kind = str(transform["type"])
    for option, value in FIXED.get(kind, {}).items():
        given = transform.get(option, value)
        if given != value:
            return f"{kind} has {option} = {given!r}, where only {value!r} is supported"
    return ""


def check_order(kinds: List[str]) -> None:
    """Refuse transforms, or an order of them, that `Preprocessing` does not compute."""
    if [kind for kind in kinds if kind not in FORMATS] not in ORDERS:
        raise StageError(
            f"pipeline.json: the preprocessing {', '.join(kinds)} is not supported",
            "a test pipeline may load, resize, pad and pack; "
            "mean and std belong into the model's data_preprocessor",
        )


def check_sizes(resize: Transform, pad: Optional[Transform], input_size: Size) -> None:
    """Refuse what does not end at the network's input, (width, height)."""
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
            "export again: the export writes the Pad to the network's size",
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


def is_idle_pad(transform: Transform, input_size: Size) -> bool:
    """Whether this is a Pad to multiples of a number that the input size already is."""
    if transform["type"] != "Pad" or transform.get("size") or transform.get("pad_to_square"):
        return False
    divisor = transform.get("size_divisor") or 1
    return all(side % divisor == 0 for side in input_size)


def pad_value_of(pad: Optional[Transform]) -> Triple:
    """Give a value for each channel; without a Pad it is 0."""
    given = pad.get("pad_val", 0) if pad else 0
    value = given.get("img", 0) if isinstance(given, Mapping) else given
    return triple(value if isinstance(value, Sequence) else [value] * 3)


def triple(values: Sequence[float]) -> Triple:
    """Give three numbers as such."""
    first, second, third = values
    return float(first), float(second), float(third)
