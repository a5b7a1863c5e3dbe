"""The passport of an engine: what it is, what it was made from, and where it may run.

It stands beside the engine, whose file stays byte for byte what the builder wrote.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

from mmdet_jetson.stages.errors import StageError

PASSPORT = "passport.json"
BLOCK = 1 << 20
WORDS = {
    "sm": "GPU architecture",
    "l4t": "Jetson Linux (L4T)",
    "tensorrt": "TensorRT",
    "tensorrt_rtx": "TensorRT for RTX",
}
SOURCES = {"checkpoint": "checkpoint than graph.json tells of", "onnx": "ONNX file than this one"}
REBUILD = "build it on this device: invoke build-jetson-engine --target {target}"


def read_passport(folder: Path) -> Dict[str, Any]:
    """Read the passport in an engine's folder.

    Raises:
        StageError: there is none, or it cannot be read.
    """
    hint = "invoke checkout TAG FOLDER gets a whole engine out of the store"
    try:
        passport: Dict[str, Any] = json.loads((folder / PASSPORT).read_text(encoding="utf-8"))
    except OSError as error:
        raise StageError(f"{folder} holds no engine: there is no {PASSPORT} in it", hint) from error
    except ValueError as error:
        raise StageError(f"{folder / PASSPORT} is damaged: it is not JSON", hint) from error
    if not _is_passport(passport):
        raise StageError(f"{folder / PASSPORT} is damaged: it names no engine", hint)
    return passport


def _is_passport(content: Any) -> bool:
    """Whether this names an engine's file and digest, and its backend."""
    engine = content.get("engine") if isinstance(content, dict) else None
    if not isinstance(engine, dict) or not isinstance(content.get("backend"), str):
        return False
    return all(isinstance(engine.get(key), str) for key in ("file", "sha256"))


def check_files(folder: Path, passport: Mapping[str, Any], onnx: Optional[Path] = None) -> None:
    """Refuse files that are not those the passport was written for.

    ``onnx`` is the file that the engine should have been built from, where one is at hand.

    Raises:
        StageError: a file is missing or changed, or the passport is that of another export.
    """
    for name, digest in sorted(_digests(passport).items()):
        path = folder / name
        if not path.is_file():
            raise StageError(
                f"{name} is missing from {folder}, and the passport names it",
                "invoke checkout TAG FOLDER gets a whole engine out of the store",
            )
        if sha256(path) != digest:
            raise StageError(
                f"{name} is not the file that its passport describes: at least one byte differs",
                "copy the folder again; invoke checkout TAG FOLDER gets it out of the store",
            )
    graph = _read_graph(folder)
    sources = [("checkpoint", graph.get("checkpoint", {}).get("sha256"))]
    if onnx:
        if not onnx.is_file():
            raise StageError(f"{onnx} is not a file", "name the ONNX file that the engine is of")
        sources.append(("onnx", sha256(onnx)))
    for source, digest in sources:
        described = passport.get(source) or {}
        if described.get("sha256") != digest:
            raise StageError(
                f"the passport is stale: the engine was built from another {SOURCES[source]}",
                "build the engine again: invoke engine --target {target}".format_map(passport),
            )


def _read_graph(folder: Path) -> Dict[str, Any]:
    path = folder / "graph.json"
    try:
        graph = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        graph = None
    if not isinstance(graph, dict):
        raise StageError(
            f"{path} is missing or damaged",
            "invoke checkout TAG FOLDER gets a whole engine out of the store",
        )
    return graph


def check_device(passport: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Refuse an engine that was built for something else than this device reports.

    ``facts`` are those of `device.device_facts`. Where the passport lists several values, any of
    them does.

    Raises:
        StageError: names the first fact that differs.
    """
    for fact, needed in passport.get("runs_on", {}).items():
        allowed = needed if isinstance(needed, list) else [needed]
        found = facts.get(fact)
        if found not in allowed:
            wanted = " or ".join(str(value) for value in allowed)
            here = "has none" if found is None else f"has {found}"
            raise StageError(
                f"this engine was built for {WORDS.get(fact, fact)} {wanted}, and this device "
                f"{here}",
                REBUILD.format_map(passport),
            )


def sha256(path: Path) -> str:
    """Give the SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(BLOCK), b""):
            digest.update(block)
    return digest.hexdigest()


def _digests(passport: Mapping[str, Any]) -> Dict[str, str]:
    engine = passport["engine"]
    return {engine["file"]: engine["sha256"], **passport.get("files", {})}
