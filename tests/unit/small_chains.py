"""Channels of a few records, as commands would have written them."""

import hashlib
from collections.abc import Sequence

import msgspec

from mmdet_jetson.promotion.records import PROMOTE, Record, digest_of

WHO = "Ada <ada@example.com>"


def bundle_digest(name: str) -> str:
    return f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"


def following(records: Sequence[Record], name: str, **changes: object) -> Record:
    """The record that a command would append for a bundle of that name."""
    sequence = len(records) + 1
    record = Record(
        sequence=sequence,
        action=PROMOTE,
        bundle=bundle_digest(name),
        name=name,
        verdict=bundle_digest(f"verdict of {name}"),
        policy=bundle_digest("policy"),
        validation=bundle_digest("pictures"),
        judged=sequence,
        who=WHO,
        at=f"2026-11-{sequence % 28 + 1:02}T10:00:00+00:00",
        reason=f"{name} is better",
        previous=records[-1].digest if records else "",
    )
    record = msgspec.structs.replace(record, **changes)
    return msgspec.structs.replace(record, digest=digest_of(record))


def chain_of(*names: str) -> tuple[Record, ...]:
    """A record for each name."""
    records = list[Record]()
    for name in names:
        records.append(following(records, name))
    return tuple(records)
