"""Reading the whole store, to prove that every digest still holds."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from mmdet_jetson.errors import UserError
from mmdet_jetson.store import oci, shards
from mmdet_jetson.store.artifact import is_cache_tag
from mmdet_jetson.store.garbage import add_reachable
from mmdet_jetson.store.layers import Damaged
from mmdet_jetson.store.layout import Layout
from mmdet_jetson.store.manifests import read_artifact
from mmdet_jetson.store.oci import Descriptor

OnBytesRead = Callable[[int, int], None]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: ``where`` a user knows it by, and ``what`` it is."""

    where: str
    what: str


@dataclass(frozen=True)
class Verification:
    """What a full read found. Unreferenced blobs are no problem: ``gc`` frees them."""

    problems: tuple[Problem, ...]
    blobs: int
    size: int
    unreferenced: int


def verify(layout: Layout, on_bytes: OnBytesRead, *, mend: bool) -> Verification:
    """Check the layout, every index entry, and every blob that one of them needs."""
    if not layout.exists() or layout.is_only_begun():
        return Verification((), 0, 0, 0)
    with layout.using():
        problems = structure(layout)
        owners, blobs = _needed(layout)
        total, done = sum(blob.size for blob in blobs.values()), 0
        for digest, blob in blobs.items():
            if problem := _check(layout, blob, mend=mend):
                title = shards.directory_of(
                    (blob.annotations or {}).get(oci.TITLE, blob.media_type)
                )
                problems.append(Problem(f"{title} of {owners[digest]}", problem))
            done += blob.size
            on_bytes(done, total)
        problems += _artifacts(layout)
        unreferenced = sum(f"sha256:{path.name}" not in blobs for path in layout.blobs.glob("*"))
    return Verification(tuple(problems), len(blobs), total, unreferenced)


def structure(layout: Layout) -> list[Problem]:
    """What is wrong with the marker, and with the index for all that it can be read."""
    from oras.layout import Layout as Validator  # noqa: PLC0415 - costs 0.4 s to import

    problems = []
    try:
        Validator(str(layout.root), validate=True)
    except (OSError, ValueError) as error:
        problems.append(Problem(str(layout.root), f"it is not an OCI image layout: {error}"))
    named = Counter(entry.tag for entry in layout.index().manifests if entry.tag)
    twice = sorted(tag for tag, count in named.items() if count > 1)
    problems += [Problem(f"index.json, tag {tag}", "it names two manifests") for tag in twice]
    return problems


def _needed(layout: Layout) -> tuple[dict[str, str], dict[str, Descriptor]]:
    """Every needed blob by digest, and what to call the first entry that needs it.

    Names that people use come first.
    """
    owners: dict[str, str] = {}
    blobs: dict[str, Descriptor] = {}
    for entry in sorted(layout.index().manifests, key=_is_nameless):
        owner = entry.tag or entry.digest
        owners.update(dict.fromkeys(add_reachable(layout, entry, blobs), owner))
    return owners, blobs


def _is_nameless(entry: Descriptor) -> bool:
    return not entry.tag or is_cache_tag(entry.tag)


def _check(layout: Layout, blob: Descriptor, *, mend: bool) -> str:
    try:
        with layout.open(blob) as reader:
            reader.finish()
    except Damaged as error:
        if mend:
            layout.discard(blob)
        return str(error)
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    return "" if layout.has(blob) else f"its size is not {blob.size} bytes, as recorded"


def _artifacts(layout: Layout) -> list[Problem]:
    """Entries whose blobs may be sound, but do not describe an artifact."""
    by_name = sorted(layout.index().manifests, key=_is_nameless, reverse=True)
    entries = {entry.digest: entry for entry in by_name}
    problems = []
    for entry in entries.values():
        if problem := _describes_artifact(layout, entry):
            problems.append(Problem(entry.tag or entry.digest, problem))
    return problems


def _describes_artifact(layout: Layout, entry: Descriptor) -> str:
    try:
        read_artifact(layout, entry)
    except Damaged:
        return ""  # reported for the blob itself
    except UserError as error:
        return error.message
    except ValueError as error:
        return f"it does not describe an artifact: {error}"
    return ""
