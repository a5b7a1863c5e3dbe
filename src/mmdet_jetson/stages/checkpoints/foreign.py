"""Files that hold a model and are no checkpoint of MMDetection: each named for what it is.

Nothing in them is opened but for a look at which modules a pickle names.
"""

import re
from pathlib import Path
from typing import NamedTuple, Optional
from zipfile import BadZipFile, ZipFile

from mmdet_jetson.stages.errors import StageError

# As much of a file, or of a pickle in it, as names the modules that it wants.
LOOKED_AT = 1 << 22
LONGEST_HEADER = 1 << 27
OTHERS = "engines are made of MMDetection's detectors: train one of them with the same pictures"


class Foreign(NamedTuple):
    """What a file is, as completes "the file is ...", and what to try."""

    what: str
    hint: str


MODULES = {
    b"ultralytics": Foreign("an Ultralytics checkpoint", OTHERS),
    b"models.yolo": Foreign("a checkpoint of YOLOv5 or YOLOv7", OTHERS),
    b"super_gradients": Foreign("a checkpoint of SuperGradients", OTHERS),
    b"yolox.models": Foreign("a checkpoint of Megvii's YOLOX", OTHERS),
    b"torchvision.models": Foreign("a checkpoint of torchvision", OTHERS),
}
# As a pickle names a class: by GLOBAL, or as a text that STACK_GLOBAL takes.
NAMED = re.compile(
    rb"(?:c|\x8c.|X.\0\0\0)(" + b"|".join(map(re.escape, MODULES)) + rb")[\w.]*[\n\x8c\x94q]",
    re.DOTALL,
)
TORCHSCRIPT = Foreign(
    "a program in TorchScript", "name the checkpoint (.pth) that it was made from: nothing is run"
)
SAFETENSORS = Foreign(
    "a safetensors file",
    "save it as a checkpoint: torch.save({'state_dict': safetensors.torch.load_file('FILE')}, "
    "'FILE.pth')",
)
EXPORTED = Foreign(
    "an ONNX file, a model that is exported already",
    "name the checkpoint (.pth) that it was exported from",
)
MAGICS = {
    b"\x89HDF\r\n": Foreign("an HDF5 file, as Keras writes them", OTHERS),
    b"ftrt": Foreign("an engine of TensorRT", "name the checkpoint (.pth) that it was made from"),
    b"ptrt": Foreign("an engine of TensorRT", "name the checkpoint (.pth) that it was made from"),
}


def refuse_foreign(path: Path) -> None:
    """Refuse a file that another program wrote for its own models.

    Raises:
        StageError: says whose it is.
    """
    try:
        found = _foreign(path)
    except OSError:  # whoever reads it says so
        return
    if found:
        raise StageError(f"the checkpoint {path.name} is {found.what}", found.hint)


def _foreign(path: Path) -> Optional[Foreign]:
    with path.open("rb") as stream:
        head = stream.read(LOOKED_AT)
    if path.suffix == ".onnx":
        return EXPORTED
    for magic, found in MAGICS.items():
        if head.startswith(magic):
            return found
    if _is_safetensors(head):
        return SAFETENSORS
    if head.startswith(b"PK"):
        return _in_zip(path)
    return _of_modules(head)


def _is_safetensors(head: bytes) -> bool:
    """A header's length in 8 bytes, then the header, in JSON."""
    return head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= LONGEST_HEADER


def _in_zip(path: Path) -> Optional[Foreign]:
    try:
        with ZipFile(path) as archive:
            names = archive.namelist()
            if any(name.endswith("/constants.pkl") for name in names):
                return TORCHSCRIPT
            pickles = (name for name in names if name.endswith("/data.pkl"))
            for name in pickles:
                with archive.open(name) as stream:
                    return _of_modules(stream.read(LOOKED_AT))
    except (BadZipFile, NotImplementedError, RuntimeError):
        return None
    return None


def _of_modules(content: bytes) -> Optional[Foreign]:
    named = NAMED.search(content)
    return MODULES[named[1]] if named else None
