"""A checkpoint's file, in both of PyTorch's formats, opened as if a stranger had written it.

Our own are opened in the same way, by MMEngine and MMDeploy too (`only_tensors`): a store may be
shared, and one reader is less to trust than two.
"""

import io
import mmap
import pickle
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Dict, Iterator, Tuple, Union, cast
from zipfile import ZIP_STORED, ZipFile

import torch

from mmdet_jetson.stages.checkpoints.allowed import Refused, Storage, StorageKind, natural
from mmdet_jetson.stages.checkpoints.tensor_pickle import TensorUnpickler
from mmdet_jetson.stages.errors import StageError

ADVICE = "check train.weights, or leave it out to start from random weights"
UNTRUSTED = (
    "nothing was run; get the weights from a source that you trust, or have their tensors alone "
    "saved anew, as torch.save(model.state_dict(), ...) does"
)
ZIP, TAR_AT, TAR = b"PK\x03\x04", 257, b"ustar"
# What the format before PyTorch 1.6 begins with.
MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001


def read_checkpoint(path: Path, advice: str = ADVICE, *, strict: bool = True) -> object:
    """Read what ``torch.save`` wrote; tensors come out on the CPU, and nothing in it is run.

    Args:
        path: the file.
        advice: what to try where it is damaged.
        strict: refuse objects that no checkpoint of OpenMMLab needs; else leave them out.

    Raises:
        StageError: the file is missing or damaged, or it wants to run something.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(len(ZIP))
        return _read_zip(path, strict) if head == ZIP else _read_old(path, strict)
    except Refused as error:
        raise StageError(f"the weights {path.name} {error}", UNTRUSTED) from error
    except Exception as error:  # a damaged pickle can raise anything
        raise StageError(f"the weights {path.name} {_defect(path, error)}", advice) from error


@contextmanager
def only_tensors() -> Iterator[None]:
    """Let whatever calls ``torch.load`` within the block, such as MMEngine, read by our reader.

    The tensors come out on the CPU whatever ``map_location`` says: models and optimizers copy them
    to where they are.
    """

    def load(file: Union[str, Path], *_: object, **__: object) -> object:
        return read_checkpoint(Path(file))

    original = torch.load
    torch.load = load
    try:
        yield
    finally:
        torch.load = original


def _defect(path: Path, error: Exception) -> str:
    if not path.is_file():
        return "are missing"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read: {error.strerror}"
    with path.open("rb") as stream:
        head = stream.read(512).lstrip()
    if not head:
        return "are an empty file"
    if head.startswith((b"<", b"{")):
        return "are text (perhaps a web page saved in their place), not a checkpoint"
    if head.startswith(b"PK"):
        return "are a damaged or incomplete checkpoint"
    return "are not a PyTorch checkpoint, or a damaged one"


class _Storages:
    """The numbers of a file, whose sizes the file can only claim."""

    def __init__(self, size: int) -> None:
        self.bytes_left = size
        self.known: Dict[str, Tuple[bytearray, Storage]] = {}

    def allocate(self, count: int) -> bytearray:
        """Allocate bytes, no more in all than the file has."""
        self.bytes_left -= count
        if self.bytes_left < 0:
            raise Refused("claim more numbers than their file has bytes")
        return bytearray(count)

    def keep(self, key: str, buffer: bytearray, dtype: torch.dtype) -> Storage:
        """Let tensors show these bytes, which may be filled later."""
        # PyTorch makes no tensor of an empty buffer.
        numbers = torch.frombuffer(buffer, dtype=dtype) if buffer else torch.empty(0, dtype=dtype)
        self.known[key] = buffer, Storage(numbers)
        return self.known[key][1]


def _stored(pid: object) -> Tuple[torch.dtype, str, int, Tuple[object, ...]]:
    """Take apart what is noted of a storage: its numbers' kind, its key, how many bytes; more."""
    if type(pid) is not tuple or len(pid) < 5 or pid[0] not in ("storage", b"storage"):
        raise Refused("want to open what is no numbers, such as the source code of a module")
    kind, key, _, count = pid[1:5]
    if type(kind) is not StorageKind or type(key) is not str:
        raise Refused("claim a tensor without numbers")
    return kind.dtype, key, natural(count) * _width(kind.dtype), pid[5:]


def _width(dtype: torch.dtype) -> int:
    return int(torch.empty(0, dtype=dtype).element_size())


def _read_zip(path: Path, strict: bool) -> object:
    """Read the format since PyTorch 1.6: a pickle, and a member for each storage."""
    with ZipFile(path) as archive:
        names = archive.namelist()
        (name,) = (each for each in names if each.count("/") == 1 and each.endswith("/data.pkl"))
        top = name[: -len("data.pkl")]
        if f"{top}constants.pkl" in names:
            raise Refused("are a program in TorchScript, not weights")
        storages = _Storages(path.stat().st_size)
        if (
            f"{top}byteorder" in names
            and _member(archive, f"{top}byteorder", storages) != b"little"
        ):
            raise Refused("are of a machine with another order of bytes")
        content = _member(archive, name, storages)

        def storage(pid: object) -> Storage:
            dtype, key, count, _ = _stored(pid)
            if key not in storages.known:
                storages.keep(key, _member(archive, f"{top}data/{key}", storages), dtype)
            buffer, found = storages.known[key]
            if len(buffer) != count or found.numbers.dtype != dtype:
                raise Refused(
                    f"claim a storage of {count:,} bytes, of which they hold {len(buffer):,}"
                )
            return found

        return TensorUnpickler(io.BytesIO(content), len(content), storage, strict=strict).load()


def _member(archive: ZipFile, name: str, storages: _Storages) -> bytearray:
    info = archive.getinfo(name)
    if info.compress_type != ZIP_STORED:
        raise Refused("are compressed, as no checkpoint of PyTorch is")
    buffer = storages.allocate(info.file_size)
    with archive.open(info) as stream:
        _fill(buffer, stream)
    return buffer


def _fill(buffer: bytearray, stream: IO[bytes]) -> None:
    view = memoryview(buffer)
    while view:
        part = stream.read(min(len(view), 1 << 20))
        if not part:
            raise EOFError
        view[: len(part)] = part
        view = view[len(part) :]


def _read_old(path: Path, strict: bool) -> object:
    """Read the format before PyTorch 1.6: five pickles, then every storage, one by one."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        if mapped[TAR_AT : TAR_AT + len(TAR)] == TAR:
            raise Refused("are in PyTorch's format of 2016, a tar archive, which is not supported")
        stream, storages = cast("IO[bytes]", mapped), _Storages(len(mapped))

        def storage(pid: object) -> Storage:
            dtype, key, count, more = _stored(pid)
            if key not in storages.known:
                storages.keep(key, storages.allocate(count), dtype)
            return _view(storages.known[key][1], more)

        def unpickle() -> Any:
            return TensorUnpickler(stream, len(mapped), storage, strict=strict).load()

        if unpickle() != MAGIC or unpickle() != VERSION:
            raise pickle.UnpicklingError("not PyTorch's")
        unpickle()  # the machine that wrote it
        content, keys = unpickle(), unpickle()
        for key in keys:
            _fill_storage(stream, *storages.known.pop(key))
        if storages.known:
            raise EOFError
        return content


def _view(storage: Storage, more: Tuple[object, ...]) -> Storage:
    """Show part of a storage, as files of the first versions do."""
    if not more or more[0] is None:
        return storage
    if type(more[0]) is not tuple or len(more[0]) != 3:
        raise Refused("claim a tensor without numbers")
    start, count = natural(more[0][1]), natural(more[0][2])
    return Storage(storage.numbers[start : start + count])


def _fill_storage(stream: IO[bytes], buffer: bytearray, storage: Storage) -> None:
    count = int.from_bytes(stream.read(8), "little")
    if count != storage.numbers.numel():
        raise Refused(
            f"claim a storage of {storage.numbers.numel():,} numbers, of which they hold {count:,}"
        )
    _fill(buffer, stream)
