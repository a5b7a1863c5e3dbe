"""The passport of an engine: what it is, what it was made from, and where it may run.

It stands beside the engine, whose file stays byte for byte what the builder wrote.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Optional

from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.contract.nvidia import lacks_dla
from mmdet_jetson.contract.records import ContractError, read_record
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.device import DeviceFacts, check_open
from mmdet_jetson.stages.inference.graph import Checkpoint, read_graph

PASSPORT = "passport.json"
BLOCK = 1 << 20
# What targets may be called: files and folders are, after them.
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,47}")
FACTS = {
    "sm": "GPU architecture",
    "l4t": "Jetson Linux (L4T)",
    "tensorrt": "TensorRT",
    "tensorrt_rtx": "TensorRT for RTX",
}
# Settings, as a passport names them.
CUDA_GRAPH, MAPPED_MEMORY = "cuda_graph", "mapped_memory"
DLA, LARGEST = "dla", "largest_picture"
CHECKOUT = "invoke checkout TAG FOLDER gets a whole engine out of the store"


@dataclass(frozen=True)
class EngineFile:
    """The file that a backend opens; ``bytes`` counts the weights that may lie beside it, too."""

    file: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class OnnxFile:
    """The ONNX file that an engine was built from."""

    sha256: str


@dataclass(frozen=True)
class CalibrationPictures:
    """Which pictures calibrated an engine; the digest is over all that they show."""

    split: str
    pictures: int
    sha256: str


@dataclass(frozen=True)
class Compared:
    """How far the detections are from the ONNX file's; None where there was nothing to compare.

    ``alone`` is the share of those that have no partner within the precision's bound.
    """

    max_difference: Optional[float] = None
    alone: Optional[float] = None


@dataclass(frozen=True)
class Platform:
    """The machine that built an engine."""

    machine: str
    system: str
    cpu: str


@dataclass(frozen=True)
class Passport:
    """``passport.json``.

    ``files`` are the SHA-256 of all other files of the engine's folder. ``runs_on`` is what a
    device must report, by the names of `DeviceFacts.by_name`: a value, or several of which any
    does. ``versions`` are those of the libraries that built it, ``settings`` those of the builder.
    """

    target: str
    backend: str
    precision: str
    engine: EngineFile
    files: Mapping[str, str]
    onnx: OnnxFile
    checkpoint: Checkpoint
    calibration: Optional[CalibrationPictures]
    runs_on: Mapping[str, object]
    compared: Compared
    versions: Mapping[str, str]
    settings: Mapping[str, object]
    platform: Platform

    def digests(self) -> Dict[str, str]:
        """Give the SHA-256 of every file, by its name."""
        return {self.engine.file: self.engine.sha256, **self.files}


def read_passport(folder: Path) -> Passport:
    """Read the passport in an engine's folder.

    Raises:
        StageError: there is none, or it is damaged.
    """
    try:
        passport = read_record(folder / PASSPORT, Passport)
    except OSError as error:
        raise StageError(
            f"{folder} holds no engine: there is no {PASSPORT} in it", CHECKOUT
        ) from error
    except ContractError as error:
        raise StageError(f"{folder / PASSPORT} is damaged: {error}", CHECKOUT) from error
    if not NAME.fullmatch(passport.target):
        raise StageError(
            f"{folder / PASSPORT} is damaged: its target {passport.target!r} is no name", CHECKOUT
        )
    return passport


def check_files(folder: Path, passport: Passport, onnx: Optional[Path] = None) -> None:
    """Refuse files that are not those the passport was written for.

    ``onnx`` is the file that the engine should have been built from, where one is at hand.

    Raises:
        StageError: a file is missing or changed, or the passport is that of another export.
    """
    for name, digest in sorted(passport.digests().items()):
        path = folder / name
        if not path.is_file():
            raise StageError(
                f"{name} is missing from {folder}, and the passport names it", CHECKOUT
            )
        if sha256(path) != digest:
            raise StageError(
                f"{name} is not the file that its passport describes: at least one byte differs",
                "copy the folder again; invoke checkout TAG FOLDER gets it out of the store",
            )
    if passport.checkpoint != read_graph(folder).checkpoint:
        raise _stale(passport, "a checkpoint other than the one graph.json names")
    if onnx is None:
        return
    if not onnx.is_file():
        raise StageError(f"{onnx} is not a file", "name the ONNX file that the engine is of")
    if passport.onnx.sha256 != sha256(onnx):
        raise _stale(passport, "an ONNX file other than this one")


def _stale(passport: Passport, source: str) -> StageError:
    return StageError(
        f"the passport is stale: the engine was built from {source}",
        f"build the engine again: invoke engine --target {passport.target}",
    )


def check_device(passport: Passport, facts: DeviceFacts) -> None:
    """Refuse an engine that was built for something else than this device reports.

    Raises:
        StageError: names the first fact that differs.
    """
    if "sm" in passport.runs_on and facts.sm is None:
        check_open()
    here = facts.by_name()
    for fact, needed in passport.runs_on.items():
        allowed: List[object] = needed if isinstance(needed, list) else [needed]
        found = here.get(fact)
        if found not in allowed:
            values = " or ".join(str(value) for value in allowed)
            wanted = f"{FACTS.get(fact, fact)} {values}"
            reported = "has none" if found is None else f"has {found}"
            raise StageError(
                f"this engine was built for {wanted}, and this device {reported}",
                _hint(passport, fact, found, wanted),
            )
    _check_dla(passport, facts.board)


def _check_dla(passport: Passport, board: str) -> None:
    """Refuse an engine for an accelerator that a board lacks: two Orins differ in nothing else."""
    core = passport.settings.get(DLA)
    lacks = lacks_dla(board, core) if isinstance(core, int) else ""
    if lacks:
        raise StageError(
            f"this engine was built for DLA {core}, and this device ({board}) {lacks}",
            f"take dla out of target {passport.target} in targets.toml, then "
            f"invoke build-jetson-engine --target {passport.target}",
        )


def _hint(passport: Passport, fact: str, found: object, wanted: str) -> str:
    """Say what gives an engine that runs on a device where a fact is ``found``, not ``wanted``."""
    if not BACKENDS[passport.backend].lists_gpus:
        return f"build it on this device: invoke build-jetson-engine --target {passport.target}"
    if fact != "sm":
        return f"install {wanted} here"
    if found is None:
        return "open it on a machine with such a GPU"
    return (
        f"add {found} to compute_capabilities of {passport.target} in targets.toml, then "
        f"invoke engine --target {passport.target}"
    )


def sha256(path: Path) -> str:
    """Give the SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(BLOCK), b""):
            digest.update(block)
    return digest.hexdigest()
