"""The few names that a checkpoint may contain, and what stands for each when one is opened.

None of them is called as the library has it: what stands for it takes the arguments that tensors,
NumPy's numbers and MMEngine's histories are stored with, checks them, and refuses others. That
matters as much as the list: ``torch.storage._load_from_bytes`` opens another pickle, an array of
objects as well, and ``set_`` gives a tensor whatever memory it asks for.
"""

import re
from collections import OrderedDict
from math import prod
from typing import (
    Any,
    Callable,
    Dict,
    FrozenSet,
    Iterable,
    List,
    NamedTuple,
    Sequence,
    Set,
    Tuple,
    cast,
)

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler

# A tensor may repeat its numbers (stride 0) up to this many; more is made to fill the memory.
MOST_REPEATED = 1 << 24
MOST = 1 << 63
MOST_DIMENSIONS = 32
# Booleans, integers, floating point, complex numbers and text, of a few bytes: no objects.
PLAIN_DTYPE = re.compile(r"[<|=]?(\?|[bhilqBHILQefdFD]|[biufcSU][1-9]\d{0,5})")
# Hashing a nested tuple takes as long, and as much of the stack, as its author likes.
KEYS = (str, int, float, bool, bytes, type(None))


class Refused(Exception):
    """A file that must not be opened; the message completes "the weights ..."."""


class Named(NamedTuple):
    """What stands for a function or class: its full name, and what makes its results."""

    name: str
    make: Callable[..., object]


class StorageKind(NamedTuple):
    """What stands for the kind of a tensor's storage, such as ``torch.FloatStorage``."""

    dtype: torch.dtype


class Storage(NamedTuple):
    """The numbers [count] that one or more tensors show."""

    numbers: torch.Tensor


class Ignored:
    """In the place of an object whose kind is not allowed, where such objects do not matter."""


def checked_keys(keys: Iterable[object]) -> List[object]:
    """Return keys of a dictionary, or items of a set.

    Raises:
        Refused: one of them is no plain value.
    """
    keys = list(keys)
    if not all(type(key) in KEYS for key in keys):
        raise Refused("have a name for an item that is no plain value")
    return keys


def natural(value: object) -> int:
    """Return a number of bytes, items or steps.

    Raises:
        Refused: it is negative, no integer, or larger than any memory.
    """
    if type(value) is not int or not 0 <= value < MOST:
        raise Refused("claim an impossible size")
    return value


def _tensor(
    storage: object, offset: object, size: object, stride: object, *_: object
) -> torch.Tensor:
    """Show a part of a storage; what else is stored, gradients and hooks, is for trainings."""
    if type(storage) is not Storage:
        raise Refused("claim a tensor without numbers")
    start, shape, steps = natural(offset), _shape(size), _shape(stride)
    held, count = storage.numbers.numel(), prod(shape)
    last = start + sum((n - 1) * step for n, step in zip(shape, steps))
    if len(shape) != len(steps) or (count and last >= held) or count > max(held, MOST_REPEATED):
        raise Refused(f"claim a tensor of {count:,} numbers, of which they hold {held:,}")
    return storage.numbers.as_strided(shape, steps, start + storage.numbers.storage_offset())


def _parameter(data: object, *_: object) -> torch.Tensor:
    if type(data) is not torch.Tensor:
        raise Refused("claim a parameter without a tensor")
    return data


def _ordered(items: object = ()) -> "OrderedDict[object, object]":
    pairs = [_sequence(pair) for pair in _sequence(items)]
    # Looked at as they are: a short file can name one long list a million times.
    if any(len(pair) != 2 for pair in pairs):
        raise Refused("have a dictionary of what are no pairs")
    return OrderedDict(zip(checked_keys(key for key, _ in pairs), (value for _, value in pairs)))


def _plain(*content: object) -> Dict[object, object]:
    """Stand for a dictionary with a kind of its own; most get their items later."""
    first = content[0] if content else None
    return dict(first) if type(first) is dict else {}


def _set(items: object = ()) -> Set[object]:
    return set(checked_keys(_sequence(items)))


def _frozenset(items: object = ()) -> FrozenSet[object]:
    return frozenset(checked_keys(_sequence(items)))


def _size(numbers: object = ()) -> torch.Size:
    return torch.Size(_shape(numbers))


def _shape(numbers: object) -> List[int]:
    shape = [natural(n) for n in _sequence(numbers)]
    if len(shape) > MOST_DIMENSIONS:
        raise Refused(f"claim an array of {len(shape):,} dimensions")
    return shape


def _sequence(items: object) -> Sequence[Any]:
    # By their exact kinds: what stands for names and storages here is made of tuples, too.
    if type(items) not in (list, tuple, torch.Size):
        raise Refused(f"want to read a {type(items).__name__} item by item")
    return cast("Sequence[Any]", items)


def _bytes(text: object, encoding: object) -> bytes:
    """Undo how protocol 2 stores bytes."""
    if type(text) is not str or encoding != "latin1":
        raise Refused("want to encode what is no text")
    return text.encode("latin1")


def _no_bytes(*content: object) -> bytes:
    """Give the one value of its kind that protocol 2 calls for: none."""
    if content:
        raise Refused("want to make bytes of what is none")
    return b""


def _dtype(text: object, *_: object) -> np.dtype:
    if type(text) is not str or not PLAIN_DTYPE.fullmatch(text):
        raise Refused("have NumPy objects that are no numbers")
    return np.dtype(text)


def _array(kind: object, *_: object) -> np.ndarray:
    if type(kind) is not Named or kind.name != "numpy.ndarray":
        raise Refused("have an array of an unusual kind")
    return np.empty(0)


def _scalar(dtype: object, content: object) -> object:
    if not isinstance(dtype, np.dtype) or not isinstance(content, bytes):
        raise Refused("have NumPy objects that are no numbers")
    if len(content) != dtype.itemsize:
        raise Refused(f"claim a number of {dtype.itemsize} bytes in {len(content):,}")
    value: object = np.frombuffer(content, dtype, 1)[0]
    return value


def _attribute(owner: object, name: object) -> object:
    """Find a function that a scheduler of MMEngine stores; it is never called here."""
    # Else the text of what stands in the name's place may be larger than any memory.
    wanted = f"{owner.name}.{name}" if isinstance(owner, Named) and type(name) is str else ""
    if wanted not in CURVES:
        raise Refused("want to run builtins.getattr, which no tensor needs")
    return CURVES[wanted]


def _only_named(*_: object) -> object:
    raise Refused("want to make what is only ever named")


def _attributes(target: "OrderedDict[object, object]", state: object) -> None:
    """Keep the versions of a model's modules; other attributes could hide a method."""
    if isinstance(state, dict) and "_metadata" in state:
        target._metadata = state["_metadata"]  # type: ignore[attr-defined]


def _nothing(_: object, __: object) -> None:
    """Leave out attributes that go with a training or a kind of its own."""


def _fill(target: Any, state: object) -> None:
    _, shape, dtype, by_column, content = _parts(state, 5)
    if not isinstance(dtype, np.dtype) or type(content) is not bytes or target.shape != (0,):
        raise Refused("have NumPy objects that are no numbers")
    sizes = tuple(_shape(shape))
    if prod(sizes) * dtype.itemsize != len(content):
        raise Refused(f"claim an array of {prod(sizes):,} values in {len(content):,} bytes")
    target.__setstate__((1, sizes, dtype, bool(by_column), content))


def _check_byte_order(_: np.dtype, state: object) -> None:
    """Change nothing: of what NumPy stores here, the name has all but the order of the bytes."""
    parts = _parts(state, 8)
    if parts[1] not in ("<", "|", "=") or any(part is not None for part in parts[2:5]):
        raise Refused("have NumPy objects that are no numbers of this machine")


def _history(target: HistoryBuffer, state: object) -> None:
    content = state if isinstance(state, dict) else {}
    longest = natural(content.get("max_length", MOST - 1))
    logs, counts = content.get("_log_history"), content.get("_count_history")
    for array in (logs, counts):
        if type(array) is not np.ndarray or array.dtype.kind not in "biuf" or array.ndim != 1:
            raise Refused("have a history of what are no numbers")
    target.max_length, target._log_history, target._count_history = longest, logs, counts


def _parts(state: object, count: int) -> Tuple[Any, ...]:
    if type(state) is not tuple or len(state) != count:
        raise Refused("give an object an unusual content")
    return state


ONE_CYCLE = "mmengine.optim.scheduler.param_scheduler.OneCycleParamScheduler"
CURVES: Dict[str, object] = {
    f"{ONE_CYCLE}.{name}": getattr(OneCycleParamScheduler, name)
    for name in ("_annealing_cos", "_annealing_linear")
}

# By the name that the file has; what it makes.
_FUNCTIONS: Dict[str, Callable[..., object]] = {
    "collections.OrderedDict": _ordered,
    "collections.defaultdict": lambda *_: {},
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.nn.parameter.Parameter": _parameter,
    "torch.Size": _size,
    # Protocol 2 writes Python 2's name of `builtins`.
    **{f"{module}.set": _set for module in ("builtins", "__builtin__")},
    **{f"{module}.bytes": _no_bytes for module in ("builtins", "__builtin__")},
    **{f"{module}.frozenset": _frozenset for module in ("builtins", "__builtin__")},
    **{f"{module}.getattr": _attribute for module in ("builtins", "__builtin__")},
    **{f"{module}.{kind}": _only_named for module in ("builtins", "__builtin__")
       for kind in ("dict", "list", "int", "float")},
    # Figures and histories of a training; the second spelling is NumPy 2's.
    "_codecs.encode": _bytes,
    "numpy.dtype": _dtype,
    "numpy.ndarray": _only_named,
    **{f"{core}.multiarray._reconstruct": _array for core in ("numpy.core", "numpy._core")},
    **{f"{core}.multiarray.scalar": _scalar for core in ("numpy.core", "numpy._core")},
    "mmengine.logging.history_buffer.HistoryBuffer": lambda *_: HistoryBuffer(),
    ONE_CYCLE: _only_named,
    # Pieces of a config, in the metadata.
    "mmengine.config.config.ConfigDict": _plain,
    "mmcv.utils.config.ConfigDict": _plain,
    "addict.addict.Dict": _plain,
}  # fmt: skip
_STORAGES = {
    "Float": torch.float32,
    "Double": torch.float64,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "ComplexFloat": torch.complex64,
    "ComplexDouble": torch.complex128,
    "Byte": torch.uint8,
    "Char": torch.int8,
    "Short": torch.int16,
    "Int": torch.int32,
    "Long": torch.int64,
    "Bool": torch.bool,
}
NAMES: Dict[str, object] = {
    **CURVES,
    **{name: Named(name, make) for name, make in _FUNCTIONS.items()},
    **{
        f"{module}.{kind}Storage": StorageKind(dtype)
        for module in ("torch", "torch.cuda")
        for kind, dtype in _STORAGES.items()
    },
}

# By the exact kind of what is made: how it gets the content that is stored for it.
BUILDERS: Dict[type, Callable[..., None]] = {
    OrderedDict: _attributes,
    dict: _nothing,
    torch.Tensor: _nothing,
    Ignored: _nothing,
    np.ndarray: _fill,
    np.dtype: _check_byte_order,
    HistoryBuffer: _history,
}
