"""A dataset without its pictures: what is annotated, and the digest of all that was left out.

It is a `dataset` artifact with these entries beside those of the original that it keeps:

``pictures.json``
    the SHA-256 of every picture, by split and name
``left_out.json``
    the original's digests, and the content digest and the size of each entry that is not here.
    So it can be told of evidence whether it is about these very pictures.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from mmdet_jetson.bundles.contents import DATASET
from mmdet_jetson.errors import UserError
from mmdet_jetson.store import Artifact, Store, oci
from mmdet_jetson.store.artifact import Layer
from mmdet_jetson.store.layers import Damaged, HashingReader, file_digests

PICTURES, LEFT_OUT = "pictures.json", "left_out.json"
SPLITS = ("train", "val")
LOOKS = ("glance.json", "page.html")
"""Entries that show some of the pictures."""


class Entry(msgspec.Struct, frozen=True):
    """An entry that was left out. ``size`` is in bytes."""

    content: str
    size: int


class Original(msgspec.Struct, frozen=True):
    """The dataset that a summary is of: its digest, that of its content, and what is missing."""

    digest: str
    content: str
    entries: Mapping[str, Entry]


def summarize(store: Store, dataset: Artifact) -> Artifact:
    """Store a dataset's summary, which is the same each time; it reads all pictures.

    One that the store has already is not taken instead: it may come from elsewhere and be of
    anything, whatever it says. A summary is its own.

    Raises:
        UserError: the dataset is damaged, or the disk is full.
    """
    if is_summary(dataset):
        return dataset
    without = (*SPLITS, *LOOKS)
    kept = [title for title in dataset.titles if title not in without]
    # Its key would have the summary be found instead of the dataset.
    provenance = msgspec.structs.replace(dataset.provenance, key="")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "summary")
        store.checkout(dataset, folder, kept)
        told = pictures_of(store, dataset)
        _write(folder / PICTURES, {split: dict(digests) for split, digests in told.items()})
        _write(folder / LEFT_OUT, _original(dataset))
        return store.put(DATASET, folder, provenance, ())


def is_summary(dataset: Artifact) -> bool:
    """Whether a dataset is one without its pictures."""
    return LEFT_OUT in dataset.titles


def original(store: Store, summary: Artifact) -> Original:
    """What a summary is of.

    Raises:
        UserError: it does not say so in a way that can be read.
    """
    try:
        return msgspec.json.decode(store.read(summary, LEFT_OUT), type=Original)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UserError(
            f"{LEFT_OUT} of dataset {summary.digest[7:19]} cannot be read: {error}",
            "another version may have made it",
        ) from error


def content_of(store: Store, dataset: Artifact, titles: Sequence[str] | None) -> str | None:
    """The content digest of some entries of a dataset, or of all, be they left out or not.

    None where an entry was never there.

    Raises:
        UserError: as `original`.
    """
    entries = {layer.title: layer.content for layer in dataset.layers}
    if is_summary(dataset):
        missing = original(store, dataset).entries
        entries = {title: entry.content for title, entry in missing.items()} | entries
        del entries[LEFT_OUT]
        entries.pop(PICTURES, None)
    if titles is not None and set(titles) - set(entries):
        return None
    chosen = sorted((title, entries[title]) for title in titles or entries)
    return oci.digest_of(oci.canonical_json([DATASET, chosen]))


def _original(dataset: Artifact) -> Original:
    left = (each for each in dataset.entries if each.title in (*SPLITS, *LOOKS))
    entries = {each.title: Entry(each.content, each.size) for each in left}
    return Original(dataset.digest, dataset.content, entries)


def pictures_of(store: Store, dataset: Artifact) -> dict[str, Iterator[tuple[str, str]]]:
    """The SHA-256 of each picture by its name, of each split that is here; read as they are asked.

    Raises:
        UserError: while they are read: they are damaged.
    """
    folders = [each for each in dataset.entries if each.title in SPLITS]
    return {each.title: _read_folder(store, dataset, each.layers) for each in folders}


def _read_folder(
    store: Store, dataset: Artifact, layers: Sequence[Layer]
) -> Iterator[tuple[str, str]]:
    try:
        for layer in layers:
            with store.file_of(layer).open("rb") as stream:
                yield from file_digests(HashingReader(stream, layer.blob.digest))
    except (Damaged, OSError) as error:
        raise UserError(
            f"the pictures {layers[0].title} of dataset {dataset.digest[7:19]} are damaged:"
            f" {error}",
            "`invoke verify --mend` removes it, `invoke dataset` makes it again",
        ) from error


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(msgspec.to_builtins(content), indent=1, sort_keys=True) + "\n")
