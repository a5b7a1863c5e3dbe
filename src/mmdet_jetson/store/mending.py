"""Making a damaged layout sound again: what is damaged goes, and so does what needed it."""

from dataclasses import replace

import msgspec

from mmdet_jetson.errors import UserError
from mmdet_jetson.store import verification
from mmdet_jetson.store.layout import Layout
from mmdet_jetson.store.listing import EMPTY
from mmdet_jetson.store.manifests import read_artifact
from mmdet_jetson.store.needs import Needs
from mmdet_jetson.store.oci import Descriptor, Index
from mmdet_jetson.store.verification import OnBytesRead, Problem, Verification


def mend(layout: Layout, on_bytes: OnBytesRead) -> Verification:
    """Verify, remove what is damaged and forget what needed it: the next verification is clean."""
    mended = _mend_structure(layout)
    found = verification.verify(layout, on_bytes, mend=True)
    _forget_damaged(layout)
    return replace(found, problems=(*mended, *found.problems))


def _mend_structure(layout: Layout) -> list[Problem]:
    """Write marker and index anew where something is wrong with them; tell what was wrong."""
    with layout.alone():
        try:
            index, problems = layout.index(), verification.structure(layout)
        except UserError:
            index, problems = _without_index(layout)
        if problems:
            last = {entry.tag or entry.digest: entry for entry in index.manifests}
            layout.rewrite(msgspec.structs.replace(index, manifests=list(last.values())))
    return problems


def _without_index(layout: Layout) -> tuple[Index, list[Problem]]:
    """An empty index in place of a lost one: the store is a cache, and results can be made again.

    The damaged file is kept for whoever knows better.
    """
    kept = layout.set_index_aside()
    was = f"it could not be read and is now {kept.name}" if kept else "it was missing"
    blobs = sum(1 for _ in layout.blobs.iterdir())
    return EMPTY, [
        Problem(
            "index.json",
            f"{was}; the store starts with an empty one: results are made again, and `invoke gc` "
            f"frees the {blobs} blobs that nothing names any more",
        )
    ]


def _forget_damaged(layout: Layout) -> None:
    with layout.alone():
        entries = layout.index().manifests
        needs = Needs(layout)
        sound = [each for each in entries if needs.is_whole(each) and _is_sound(layout, each)]
        if sound != entries:
            layout.replace_entries(sound)


def _is_sound(layout: Layout, entry: Descriptor) -> bool:
    try:
        read_artifact(layout, entry)
    except ValueError:
        return False
    except UserError:
        return True  # a newer version wrote it, and reads it
    return True
