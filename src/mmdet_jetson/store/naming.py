"""Tags: what they may be, and how the index changes when they name something."""

import re
from collections.abc import Sequence

from mmdet_jetson.store.layout import Edit
from mmdet_jetson.store.oci import Descriptor

# What the tag of a reference may be, by the OCI distribution specification.
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{12,64})")


def check_tags(tags: Sequence[str]) -> None:
    """Refuse what a registry would not take for a tag; ``ValueError``."""
    for tag in tags:
        if not is_tag(tag):
            raise ValueError(f"not a tag by the OCI specification: {tag!r}")


def is_tag(text: str) -> bool:
    """Whether something can be named so."""
    return bool(_TAG.fullmatch(text))


def digest_start(name: str) -> str:
    """The hex digits of a digest, or of its first 12 or more; "" for any other name."""
    match = _DIGEST.fullmatch(name)
    return match[1] if match else ""


def naming(manifest: Descriptor, tags: Sequence[str]) -> Edit:
    """Let all ``tags`` name the manifest; without tags list it once, unnamed."""

    def edit(entries: list[Descriptor]) -> list[Descriptor]:
        kept = [entry for entry in entries if entry.tag is None or entry.tag not in tags]
        if tags:
            return kept + [manifest.tagged(tag) for tag in dict.fromkeys(tags)]
        return kept if any(e.digest == manifest.digest for e in kept) else [*kept, manifest]

    return edit
