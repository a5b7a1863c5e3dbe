"""The records of a channel: a numbered list in ``channels/NAME.toml``, each naming the one before.

A record's digest is over all that it says, the digest of the record before it included, so one
that is changed, removed, moved or put in between is found by what follows it. Of the last record
only git knows whether it was there: `chain` compares with an earlier state of the file, too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from mmdet_jetson.config.toml import Positive, pattern
from mmdet_jetson.store import oci

PROMOTE: Literal["promote"] = "promote"
ROLLBACK: Literal["rollback"] = "rollback"
RELEASE: Literal["release"] = "release"
"""What a record does. A rollback also holds the channel: nothing is promoted until a release."""

Digest = Annotated[str, pattern(r"^sha256:[0-9a-f]{64}\Z", "a digest is sha256: and 64 digits")]
DigestOrNone = Annotated[
    str, pattern(r"^(sha256:[0-9a-f]{64})?\Z", "a digest is sha256: and 64 digits, or nothing")
]


class Override(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A gate that did not pass and was overridden, as `Judged.name` has it; who did, and why."""

    gate: str
    outcome: str
    who: str
    because: str


class Record(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """One entry of a channel, from `sequence` 1 on.

    Attributes:
        action: `PROMOTE`, `ROLLBACK` or `RELEASE`.
        bundle: the digest of what is in the channel from here on, and ``name`` what it was called.
        verdict: the digest of the verdict artifact; that of the restored record for a rollback.
        policy: the digest of the policy that judged.
        restores: of a rollback, the sequence of the record whose bundle is back, and ``undoes``
            those of the records that it takes back: the last record but releases, down to that.
        validation: the content digest of the validation pictures, and ``judged`` how many bundles
            they have judged, this one included.
        who: name and address, as git has them; ``run`` the address of the CI run.
        at: when, RFC 3339 in UTC.
        previous: the digest of the record before; "" for the first.
        digest: of this record, over everything else in it.
    """

    sequence: Positive
    action: Literal["promote", "rollback", "release"]
    bundle: Digest
    name: str = ""
    verdict: DigestOrNone = ""
    policy: DigestOrNone = ""
    restores: int | None = None
    undoes: tuple[int, ...] = ()
    released: bool = False
    """Whether it ended a hold: of a promotion, by ``--release``."""
    validation: DigestOrNone = ""
    judged: int = 0
    overrides: tuple[Override, ...] = ()
    who: str
    run: str = ""
    at: str
    reason: str = ""
    previous: DigestOrNone = ""
    digest: DigestOrNone = ""


def digest_of(record: Record) -> str:
    """The digest that a record should have."""
    said = msgspec.to_builtins(msgspec.structs.replace(record, digest=""))
    return oci.digest_of(oci.canonical_json(said))


@dataclass(frozen=True)
class Flaw:
    """What is wrong with a chain: at which record (from 1 on), and what, as a sentence."""

    sequence: int
    what: str


def holder_of(records: Sequence[Record]) -> Record | None:
    """The rollback that holds the channel; None where nothing does, or it was released since."""
    held: Record | None = None
    for record in records:
        if record.action == ROLLBACK:
            held = record
        elif record.action == RELEASE or record.released:
            held = None
    return held


def is_held(records: Sequence[Record]) -> bool:
    """Whether a rollback holds the channel."""
    return holder_of(records) is not None


def overrides_behind(record: Record, by_number: Mapping[int, Record]) -> tuple[Override, ...]:
    """Its own overrides, and of a rollback those of what it restores, down to the promotion."""
    found, seen = list(record.overrides), {record.sequence}
    restored: Record | None = record
    while restored and restored.restores and restored.restores not in seen:
        seen.add(restored.restores)
        restored = by_number.get(restored.restores)
        found += restored.overrides if restored else ()
    return tuple(dict.fromkeys(found))
