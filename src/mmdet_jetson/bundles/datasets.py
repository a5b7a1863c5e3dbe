"""The pictures of a dataset in the store: their annotations, and what each of them shows."""

from collections.abc import Iterable, Mapping
from typing import Annotated

import msgspec

from mmdet_jetson.bundles.annotations import NotAsWritten, Split, read_split
from mmdet_jetson.bundles.dataset_summary import (
    PICTURES,
    SPLITS,
    content_of,
    is_summary,
    original,
    pictures_of,
)
from mmdet_jetson.bundles.pictures import PictureChanges, compare_pictures
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning.training_steps import TRAINED_ON
from mmdet_jetson.store import Artifact, Store
from mmdet_jetson.store.file_layers import file_content
from mmdet_jetson.store.layers import Damaged, HashingReader

READ_AT_ONCE = 64_000_000
"""Bytes of pictures that are read without asking, which takes less than a second."""

Side = tuple[Store, Artifact]
Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


def compare_datasets(before: Side, after: Side, *, read_all: bool = False) -> PictureChanges:
    """Compare the pictures of two datasets and what is annotated in them.

    What pictures show is digested where there are few of them, or with ``read_all``; else they go
    by their names.

    Raises:
        UserError: a file of a dataset is damaged, or not as the dataset stage writes it.
    """
    sides = (before, after)
    was, now = splits = [_splits(*side) for side in sides]
    if _folders(*before) == _folders(*after) != {}:
        _name_contents(splits)
    elif read_all or all(_to_read(dataset) <= READ_AT_ONCE for _, dataset in sides):
        for side, found in zip(sides, splits, strict=True):
            _read_contents(*side, found)
    return compare_pictures(was, now)


def are_alike(before: Side, after: Side) -> bool:
    """Whether a training of both is the same; one or both may be without their pictures."""
    was, now = (
        content_of(store, dataset, TRAINED_ON) or content_of(store, dataset, None)
        for store, dataset in (before, after)
    )
    return was == now


def digests_of(store: Store, dataset: Artifact) -> dict[str, dict[str, str]]:
    """The SHA-256 of every picture by its name, by split: as a summary tells, else read.

    Raises:
        UserError: the dataset is damaged, or not as the dataset stage writes it.
    """
    told = _told(store, dataset) if is_summary(dataset) else pictures_of(store, dataset)
    return {split: dict(digests) for split, digests in told.items()}


def _splits(store: Store, dataset: Artifact) -> dict[str, Split]:
    found = {}
    for name in SPLITS:
        if f"{name}.json" not in dataset.titles:
            continue
        (layer,) = dataset.parts([f"{name}.json"])
        try:
            with store.file_of(layer).open("rb") as stream:
                reader = HashingReader(stream, layer.blob.digest)
                found[name] = read_split(file_content(reader, layer))
                reader.finish()
        except (NotAsWritten, Damaged, OSError) as error:
            raise UserError(
                f"{name}.json of dataset {dataset.digest[7:19]} cannot be read: {error}",
                "`invoke verify` reads the whole store again",
            ) from error
    return found


def _folders(store: Store, dataset: Artifact) -> dict[str, str]:
    """The content digest of each folder of pictures, be it here or left out."""
    found = {each.title: each.content for each in dataset.layers if each.title in SPLITS}
    if is_summary(dataset):
        left_out = original(store, dataset).entries
        found |= {title: entry.content for title, entry in left_out.items() if title in SPLITS}
    return found


def _to_read(dataset: Artifact) -> int:
    """Bytes of pictures whose digests are not at hand."""
    return sum(each.blob.size for each in dataset.layers if each.title in SPLITS)


def _name_contents(sides: Iterable[Mapping[str, Split]]) -> None:
    """Let a picture's place stand for what it shows, which needs no reading where nothing moved."""
    for splits in sides:
        for name, split in splits.items():
            for picture in split.pictures.values():
                picture.content = f"{name}/{picture.name}".encode()


def _read_contents(store: Store, dataset: Artifact, splits: Mapping[str, Split]) -> None:
    """Know what each picture shows: from a summary, else by reading them all."""
    told = _told(store, dataset) if is_summary(dataset) else pictures_of(store, dataset)
    for split, digests in told.items():
        pictures = splits[split].pictures if split in splits else {}
        for name, digest in digests:
            if name in pictures:
                pictures[name].content = bytes.fromhex(digest)


def _told(store: Store, summary: Artifact) -> dict[str, Iterable[tuple[str, str]]]:
    try:
        told = msgspec.json.decode(store.read(summary, PICTURES), type=dict[str, dict[str, Digest]])
        return {split: digests.items() for split, digests in told.items()}
    except (msgspec.DecodeError, RecursionError, KeyError) as error:
        raise UserError(
            f"{PICTURES} of dataset {summary.digest[7:19]} cannot be read: {error}",
            "another version may have made it",
        ) from error
