"""What an engine and its export say of themselves, held against the files that they say it of."""

from collections.abc import Iterator, Mapping
from typing import TypeVar

import msgspec

from mmdet_jetson.bundles.contents import CHECKPOINT, ENGINE, ONNX, Contents, PartName
from mmdet_jetson.errors import UserError

GRAPH, PASSPORT = "graph.json", "passport.json"
ONNX_FILE, WEIGHTS = "end2end.onnx", "best.pth"

T = TypeVar("T")


class _File(msgspec.Struct, frozen=True):
    sha256: str | None = None


class _EngineFile(msgspec.Struct, frozen=True):
    file: str
    sha256: str


class _Passport(msgspec.Struct, frozen=True):
    """Of ``passport.json`` (`stages.inference.passport`) what can be held against artifacts."""

    target: str
    engine: _EngineFile
    files: Mapping[str, str]
    onnx: _File
    checkpoint: _File


class _Graph(msgspec.Struct, frozen=True):
    """Of ``graph.json`` the same."""

    onnx: _File = _File()
    checkpoint: _File = _File()


def contradicted(contents: Contents) -> Iterator[tuple[PartName, str]]:
    """Every part that describes itself as something else, and how that goes on in a sentence.

    Raises:
        UserError: a description is damaged.
    """
    for part in contents.parts:
        if part.kind == ONNX and (graph := _read(contents, part, GRAPH, _Graph)):
            yield from _graph(contents, part, graph)
        if part.kind == ENGINE and (passport := _read(contents, part, PASSPORT, _Passport)):
            yield from _passport(contents, part, passport)


def _graph(contents: Contents, part: PartName, graph: _Graph) -> Iterator[tuple[PartName, str]]:
    own, weights = _sha256(contents, part, ONNX_FILE), _weights(contents)
    if _differ(graph.onnx.sha256, own):
        yield part, f"describes another {ONNX_FILE} in its {GRAPH} than the one beside that"
    if _differ(graph.checkpoint.sha256, weights):
        yield part, f"names other weights in its {GRAPH} than {_called(contents, CHECKPOINT)} has"


def _passport(
    contents: Contents, part: PartName, passport: _Passport
) -> Iterator[tuple[PartName, str]]:
    if passport.target != part.subject:
        yield part, f"has a passport for {passport.target}"
    for file, digest in {passport.engine.file: passport.engine.sha256, **passport.files}.items():
        if _differ(digest, _sha256(contents, part, file)):
            yield part, f"has a passport for another {file} than the one beside that"
    export = PartName(ONNX, part.subject)
    if _differ(passport.onnx.sha256, _sha256(contents, export, ONNX_FILE)):
        yield part, f"names another {ONNX_FILE} in its passport than {contents.title(export)} has"
    if _differ(passport.checkpoint.sha256, _weights(contents)):
        yield part, f"names other weights in its passport than {_called(contents, CHECKPOINT)} has"


def _weights(contents: Contents) -> str | None:
    return _sha256(contents, PartName(CHECKPOINT), WEIGHTS)


def _called(contents: Contents, kind: str) -> str:
    return contents.title(PartName(kind))


def _differ(said: str | None, found: str | None) -> bool:
    """Whether two digests are known, and not the same."""
    return said is not None and found is not None and said != found


def _sha256(contents: Contents, part: PartName, title: str) -> str | None:
    """The digest of a file of a part in hex; None where there is no such file."""
    artifact = contents.parts.get(part)
    layers = artifact.layers if artifact else ()
    found = (layer for layer in layers if layer.title == title and not layer.is_directory)
    return next((layer.content.removeprefix("sha256:") for layer in found), None)


def _read(contents: Contents, part: PartName, title: str, kind: type[T]) -> T | None:
    content = contents.document(contents.parts[part], title)
    if content is None:
        return None
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise UserError(
            f"{title} of {contents.title(part)} cannot be read: {error}",
            "another version may have made it",
        ) from error
