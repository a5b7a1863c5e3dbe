"""The pictures of a dataset in the store: their annotations, and what each of them shows."""

import hashlib
import tarfile
import zlib
from collections.abc import Iterable, Mapping

from mmdet_jetson.bundles.annotations import NotAsWritten, Split, read_split
from mmdet_jetson.bundles.pictures import PictureChanges, compare_pictures
from mmdet_jetson.errors import UserError
from mmdet_jetson.store import Artifact, Store
from mmdet_jetson.store.layers import BLOCK, Damaged, HashingReader

SPLITS = ("train", "val")
READ_AT_ONCE = 64_000_000
"""Bytes of pictures that are read without asking, which takes less than a second."""

Side = tuple[Store, Artifact]


def compare_datasets(before: Side, after: Side, *, read_all: bool = False) -> PictureChanges:
    """Compare the pictures of two datasets and what is annotated in them.

    What pictures show is digested where there are few of them, or with ``read_all``; else they go
    by their names.

    Raises:
        UserError: a file of a dataset is damaged, or not as the dataset stage writes it.
    """
    sides = (before, after)
    was, now = splits = [_splits(store, artifact) for store, artifact in sides]
    if _shown_alike(before, after):
        _name_contents(splits)
    elif read_all or all(_bytes(artifact) <= READ_AT_ONCE for _, artifact in sides):
        for (store, artifact), found in zip(sides, splits, strict=True):
            _read_contents(store, artifact, found)
    return compare_pictures(was, now)


def _splits(store: Store, dataset: Artifact) -> dict[str, Split]:
    found = {}
    titles = {layer.title for layer in dataset.layers}
    for name in SPLITS:
        if f"{name}.json" not in titles:
            continue
        (layer,) = dataset.parts([f"{name}.json"])
        try:
            with store.file_of(layer).open("rb") as stream:
                found[name] = read_split(stream)
        except (NotAsWritten, OSError) as error:
            raise UserError(
                f"{name}.json of dataset {dataset.digest[7:19]} cannot be read: {error}",
                "`invoke verify` reads the whole store again",
            ) from error
    return found


def _folders(dataset: Artifact) -> Mapping[str, str]:
    """The content digest of each folder of pictures."""
    return {each.title: each.content for each in dataset.layers if each.title in SPLITS}


def _bytes(dataset: Artifact) -> int:
    return sum(each.blob.size for each in dataset.layers if each.title in SPLITS)


def _shown_alike(before: Side, after: Side) -> bool:
    """Whether the pictures are the same ones in the same folders, to the last byte."""
    was, now = _folders(before[1]), _folders(after[1])
    return bool(was) and was == now


def _name_contents(sides: Iterable[Mapping[str, Split]]) -> None:
    """Let a picture's place stand for what it shows, which needs no reading where nothing moved."""
    for splits in sides:
        for name, split in splits.items():
            for picture in split.pictures.values():
                picture.content = f"{name}/{picture.name}".encode()


def _read_contents(store: Store, dataset: Artifact, splits: Mapping[str, Split]) -> None:
    for layer in dataset.layers:
        if layer.title not in splits:
            continue
        pictures = splits[layer.title].pictures
        try:
            with store.file_of(layer).open("rb") as stream:
                reader = HashingReader(stream, layer.blob.digest)
                for name, content in _digests(reader):
                    if name in pictures:
                        pictures[name].content = content
                reader.finish()
        except (Damaged, OSError, tarfile.TarError, zlib.error, EOFError) as error:
            raise UserError(
                f"the pictures {layer.title} of dataset {dataset.digest[7:19]} are damaged: {error}",
                "`invoke verify --mend` removes what is damaged, so that it is made again",
            ) from error


def _digests(reader: HashingReader) -> Iterable[tuple[str, bytes]]:
    """The digest of every file in a packed folder, by its name there."""
    with tarfile.open(fileobj=reader, mode="r|gz", bufsize=BLOCK) as tar:  # type: ignore[call-overload]
        while (member := tar.next()) is not None:
            if (content := tar.extractfile(member)) is not None:
                digest = hashlib.sha256()
                while block := content.read(BLOCK):
                    digest.update(block)
                yield member.name.partition("/")[2], digest.digest()
            tar.members.clear()  # else it keeps every header, 1 kB a file
