"""What a user calls artifacts, and the tags that keep them in a place."""

import difflib
import re
from collections.abc import Sequence

from mmdet_jetson.config.toml import nearest
from mmdet_jetson.errors import UserError
from mmdet_jetson.registry.layout_place import LayoutPlace, plain
from mmdet_jetson.registry.place import Place
from mmdet_jetson.registry.reference import is_digest
from mmdet_jetson.store import Descriptor, is_cache_tag
from mmdet_jetson.store.naming import digest_start, is_tag

_KEEPING = re.compile(r"digest\.[0-9a-f]{64}|sha256-[0-9a-f]{64}.*")
_OF_RUN = re.compile(r"(.+?)\.([a-z]+(?:-.+)?)")
"""A run and a step of it, or its bundle: the names that move with every run."""
_OF_CHANNEL = re.compile(r"channel-([A-Za-z0-9_][A-Za-z0-9_-]*?)(?:-([1-9][0-9]*))?")
Root = tuple[str, Descriptor]
"""A tag, or "" where a digest was asked for, and what it names."""


def digest_tag(digest: str) -> str:
    """Give the tag that keeps a manifest in a registry that deletes what has none."""
    return f"digest.{digest.removeprefix('sha256:')}"


def is_name(tag: str) -> bool:
    """Whether a tag is a name that somebody uses, and none that keeps or looks up."""
    return not is_cache_tag(tag) and not _KEEPING.fullmatch(tag)


def is_release(tag: str) -> bool:
    """Whether a bundle's tag is a name that it was given, such as v1.2, and stays with it."""
    moves = tag.endswith(".bundle") or ((of := channel_of(tag)) and not of[1])
    return is_name(tag) and not moves


def channel_tag(channel: str, sequence: int = 0) -> str:
    """Give the tag of the bundle that a record of a channel names; without one, of the last.

    That moves with every record, and those with a number stay.
    """
    return f"channel-{channel}-{sequence}" if sequence else f"channel-{channel}"


def channel_of(tag: str) -> tuple[str, int] | None:
    """Give the channel and the record's number, or 0, that a tag is for; None for any other tag."""
    match = _OF_CHANNEL.fullmatch(tag)
    return (match[1], int(match[2] or 0)) if match else None


def _run_of(tag: str) -> str:
    """The run that a tag belongs to; "" for one that is no run's, such as v1.2."""
    match = _OF_RUN.fullmatch(tag) if is_name(tag) else None
    return match[1] if match else ""


def asked_for(place: Place, names: Sequence[str]) -> list[Root]:
    """Give what several names stand for, each once.

    Raises:
        UserError: one stands for nothing there.
    """
    found = [(tag, plain(root)) for name in names for tag, root in roots(place, name)]
    return list({(tag, root.digest): (tag, root) for tag, root in found}.values())


def roots(place: Place, name: str) -> list[Root]:
    """Give what a name stands for: a tag, all artifacts of a run, or a digest of 12 digits or more.

    Raises:
        UserError: it stands for nothing there; says what comes near.
    """
    if is_digest(name):
        return [("", found)] if (found := place.resolve(name)) else _nothing(place, name, [])
    # Most names are a tag, and a registry may have a hundred thousand of them to list.
    if is_tag(name) and (found := place.resolve(name)):
        return [(name if is_name(name) or is_cache_tag(name) else "", found)]
    tags = sorted(place.tags())
    named = [name] if name in tags else [tag for tag in tags if _run_of(tag) == name]
    if not named and (digits := digest_start(name)):
        found_ = _starting_with(place, digits, tags)
        if not found_ and len(digits) < 64 and not isinstance(place, LayoutPlace):
            hint = "a registry knows most digests only whole: name all 64 digits, as `push` does"
            raise UserError(f"nothing in {place.name} is called {name!r}", hint)
        return [("", each) for each in found_] or _nothing(place, name, tags)
    resolved = [
        (tag if is_name(tag) or is_cache_tag(tag) else "", place.resolve(tag)) for tag in named
    ]
    return [(tag, found) for tag, found in resolved if found] or _nothing(place, name, tags)


def _starting_with(place: Place, digest: str, tags: Sequence[str]) -> list[Descriptor]:
    if isinstance(place, LayoutPlace):
        found = place.starting_with(f"sha256:{digest}")
    elif len(digest) == 64:
        found = [each for each in [place.resolve(f"sha256:{digest}")] if each]
    else:
        start = digest_tag(digest)
        kept = [place.resolve(tag) for tag in tags if tag.startswith(start)]
        found = [each for each in kept if each]
    if len(found) > 1:
        raise UserError(f"{digest} is the start of {len(found)} digests", "name more of it")
    return found


def _nothing(place: Place, name: str, tags: Sequence[str]) -> list[Root]:
    names = [tag for tag in tags if is_name(tag)]
    runs = [run for run in dict.fromkeys(map(_run_of, names)) if run]
    likely = names if "." in name else [*runs, *names]
    starting = [each for each in likely if each.startswith(name)]
    close = starting or difflib.get_close_matches(name, likely, n=1, cutoff=0.5)
    if close:
        hint = f"did you mean {close[0]!r}?"
    else:
        nothing = "it may be misspelt, or nothing was pushed there yet; else name a whole digest"
        hint = nearest(name, runs or names) if names else nothing
    raise UserError(f"nothing in {place.name} is called {name!r}", hint)
