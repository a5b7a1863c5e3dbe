"""Who refers to a manifest: by the registry's own list, or by one that its clients keep.

The list of clients is an index under the tag ``sha256-<digest>`` (OCI distribution specification
1.1, "Referrers Tag Schema"). A registry has no compare-and-swap, so of two clients that add to it
at once the second overwrites what it never saw, and both find their own entry when they look. So
each of ours first gives its manifest a tag of its own beside that of the list,
``sha256-<digest>.<start of its own>``, and looks for such tags after writing: whoever wrote last
sees everybody who was there before, and adds who is missing. One that comes later reads the list
later. Other programs take no notice of these tags.
"""

import random
import threading
import time
from typing import Any, TypeAlias

import msgspec

from mmdet_jetson.registry.answers import Answer, Astray, Refused, media_type
from mmdet_jetson.registry.lists import decode, pages, read_tags
from mmdet_jetson.registry.manifests import Manifests
from mmdet_jetson.registry.place import Content, PlaceError
from mmdet_jetson.registry.reference import is_digest
from mmdet_jetson.registry.session import Session
from mmdet_jetson.store.oci import INDEX, Descriptor, Manifest, canonical_json, digest_of

_NOT_OFFERED = frozenset({400, 404, 405, 406, 501})
"""404 by the specification; the others are seen, too, and so are pages for people."""
_MAY_BE_MISSING = frozenset({400, 404, 422})
_MOST_ROUNDS = 30
_LONGEST_PAUSE = 0.5  # seconds
_Entry: TypeAlias = dict[str, Any]
"""A descriptor as it came, fields that are not known here included."""


class _List(msgspec.Struct, frozen=True):
    manifests: list[_Entry] = []


class Referrers:
    """Who refers to what in one repository."""

    def __init__(self, session: Session, repository: str, manifests: Manifests) -> None:
        self._session, self._repository, self._manifests = session, repository, manifests
        self._is_offered: bool | None = None
        self._announced: set[str] = set()
        self._lock = threading.Lock()  # threads of one process need not overwrite each other

    def of(self, digest: str) -> list[Descriptor]:
        """Manifests whose subject has this digest."""
        entries = None if self._is_offered is False else self._by_api(digest)
        if entries is None:
            entries = self._listed(digest)
            self._add_tagged(digest, entries)
        return [found for entry in entries.values() if (found := _descriptor(entry))]

    def tags_for(self, content: Content) -> tuple[str, ...]:
        """Tags that a manifest needs beside its own, so that its entry in a list cannot be lost."""
        subject = _read(content).subject
        if not subject or self._has_api(subject.digest):
            return ()
        return (_own_tag(subject.digest, content.descriptor.digest),)

    def announce(self, content: Content, answer: Answer) -> None:
        """Have a manifest found that was added with ``answer``, unless the registry sees to it.

        Raises:
            PlaceError: others keep overwriting the list.
        """
        subject = _read(content).subject
        if subject and not answer.headers.get("OCI-Subject"):
            digest = content.descriptor.digest
            with self._lock:
                # Once is enough: from then on its own tag has whoever writes the list add it.
                if digest not in self._announced:
                    self._add(subject.digest, entry_of(content))
                    self._announced.add(digest)

    def _has_api(self, digest: str) -> bool:
        if self._is_offered is None:
            self._by_api(digest)
        return self._is_offered is True

    def _by_api(self, digest: str) -> dict[str, _Entry] | None:
        """The registry's own list by digest; None where it keeps none."""
        try:
            return self._read_by_api(digest)
        except Astray:
            if self._is_offered:
                raise
            self._is_offered = False
            return None

    def _read_by_api(self, digest: str) -> dict[str, _Entry] | None:
        doing = f"asking who refers to {digest[:19]}"
        path = f"/v2/{self._repository}/referrers/{digest}"
        found: dict[str, _Entry] = {}
        hoped = frozenset({200}) | _NOT_OFFERED
        for answer in pages(self._session, doing, path, hoped):
            if answer.status in _NOT_OFFERED:
                # Some that do offer it answer so, too, for a repository that does not exist yet.
                self._is_offered = None if b"NAME_UNKNOWN" in answer.content else False
                return None
            if media_type(answer.headers) not in (INDEX, "application/json", ""):
                raise PlaceError(
                    f"{self._session.name}: {doing}: the answer is {media_type(answer.headers)}"
                )
            found.update(self._entries(answer.content, doing))
            self._is_offered = True
        return found

    def _listed(self, digest: str) -> dict[str, _Entry]:
        content = self._manifests.get(_list_tag(digest))
        doing = f"reading the list of who refers to {digest[:19]}"
        return self._entries(content.content, doing) if content else {}

    def _entries(self, content: bytes, doing: str) -> dict[str, _Entry]:
        entries = decode(content, _List, f"{self._session.name}: {doing}").manifests
        return {str(entry.get("digest")): entry for entry in entries}

    def _add_tagged(self, digest: str, entries: dict[str, _Entry]) -> None:
        """Add those whom a tag of their own knows, and the list does not."""
        prefix = _own_tag(digest, "")
        tags = read_tags(
            self._session, self._repository, _list_tag(digest), lambda tag: tag.startswith(prefix)
        )
        for tag in tags:
            if any(_own_tag(digest, known) == tag for known in entries):
                continue
            content = self._manifests.get(tag)
            if content and (subject := _read(content).subject) and subject.digest == digest:
                entries[content.descriptor.digest] = entry_of(content)

    def _add(self, subject: str, ours: _Entry) -> None:
        """Write the list until it names us, and all who were ever seen in it meanwhile."""
        wanted = {str(ours["digest"]): ours}
        for attempt in range(_MOST_ROUNDS):
            there = self._listed(subject)
            wanted = {**there, **{key: wanted[key] for key in wanted if key not in there}}
            # Some registries list tags only all at once, which of 100,000 artifacts are 14 MB.
            # So the tags are looked at when the list seems complete, and that is after writing it.
            if wanted.keys() <= there.keys():
                self._add_tagged(subject, wanted)
                if wanted.keys() <= there.keys():
                    return
            wanted = self._write(subject, wanted, ours)
            if attempt:  # others write, too
                time.sleep(random.uniform(0, min(_LONGEST_PAUSE, 0.02 * 2**attempt)))  # noqa: S311
        raise PlaceError(
            f"{self._session.name}: others keep overwriting the list of who refers to"
            f" {subject[:19]}, {_MOST_ROUNDS} times in a row",
            "run again when they are done",
        )

    def _write(self, subject: str, wanted: dict[str, _Entry], ours: _Entry) -> dict[str, _Entry]:
        """Write the list; of what a registry does not take as it is, what is still there.

        Docker's refuses an index of manifests that somebody has deleted since.
        """
        try:
            self._put(subject, wanted)
        except Refused as error:
            there = {key: each for key, each in wanted.items() if self._exists(key, ours)}
            if len(there) == len(wanted) or error.status not in _MAY_BE_MISSING:
                raise
            self._put(subject, there)
            return there
        return wanted

    def _exists(self, digest: str, ours: _Entry) -> bool:
        is_known = digest == ours["digest"] or not is_digest(digest)
        return is_known or self._manifests.resolve(digest) is not None

    def _put(self, subject: str, entries: dict[str, _Entry]) -> None:
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(entries.values())}
        content = canonical_json(index)
        pointer = Descriptor(media_type=INDEX, digest=digest_of(content), size=len(content))
        self._manifests.put(Content(pointer, content), _list_tag(subject))


def entry_of(content: Content) -> _Entry:
    """How a list names a manifest: with its type and annotations, as the specification asks."""
    manifest = _read(content)
    kind = manifest.artifact_type or (manifest.config.media_type if manifest.config else None)
    pointer = Descriptor(
        media_type=content.descriptor.media_type,
        digest=content.descriptor.digest,
        size=content.descriptor.size,
        artifact_type=kind,
        annotations=manifest.annotations or None,
    )
    entry: _Entry = msgspec.to_builtins(pointer)
    return entry


def _read(content: Content) -> Manifest:
    return decode(content.content, Manifest, f"the manifest {content.descriptor.digest[:19]}")


def _descriptor(entry: _Entry) -> Descriptor | None:
    """An entry as far as it is of use here; those with other kinds of digests are not."""
    try:
        return msgspec.convert(entry, Descriptor)
    except msgspec.ValidationError:
        return None


def _list_tag(subject: str) -> str:
    return subject.replace(":", "-")


def _own_tag(subject: str, referrer: str) -> str:
    return f"{_list_tag(subject)}.{referrer.removeprefix('sha256:')[:24]}"
