"""A promotion: the verdict is kept, the bundle gets its tags, the record is appended, or none.

In this order, so that a kill at any moment leaves no record without its bundle and its verdict. A
tag without a record may be left; the next command that changes the channel removes it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import msgspec

from mmdet_jetson.bundles.contents import Contents
from mmdet_jetson.config.settings import Settings
from mmdet_jetson.errors import UserError
from mmdet_jetson.files import disk_errors
from mmdet_jetson.locks import hold_folder
from mmdet_jetson.promotion import keeping
from mmdet_jetson.promotion.channel_file import append, channel_path, read_channel
from mmdet_jetson.promotion.channel_tags import here, refuse_flawed, settle, told
from mmdet_jetson.promotion.identity import Identity
from mmdet_jetson.promotion.overriding import refuse_unproven
from mmdet_jetson.promotion.policy import Policy
from mmdet_jetson.promotion.records import (
    PROMOTE,
    Override,
    Record,
    digest_of,
    holder_of,
    is_held,
)
from mmdet_jetson.promotion.verdicts import Verdict
from mmdet_jetson.registry.names import channel_of, channel_tag, is_name, is_release
from mmdet_jetson.store import Artifact, Bundle, Store

_MOST = 60
"""Letters of a reason that a refusal repeats."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A bundle that was judged for a channel, and who wants it there.

    Attributes:
        verdict: by ``policy``, with what was in the channel when its records were those ``seen``.
        measured: the incumbent's evaluation that it was judged with, if there is one.
        release: whether it ends a hold.
    """

    contents: Contents
    channel: str
    policy: Policy
    verdict: Verdict
    seen: Sequence[Record]
    identity: Identity
    reason: str = ""
    overrides: tuple[Override, ...] = ()
    release: bool = False
    measured: Artifact | None = None

    @property
    def bundle(self) -> Bundle:
        """What is to be promoted."""
        if self.contents.bundle is None:
            raise ValueError(f"{self.contents.name} is no bundle")
        return self.contents.bundle


def promote(
    settings: Settings,
    store: Store,
    proposal: Proposal,
    on_wait: Callable[[], None] = lambda: None,
) -> Record:
    """Append the record of a promotion to its channel; the verdict is kept in any case.

    Raises:
        GateFailed: a gate failed that nobody overrides.
        NotProven: one is inconclusive, and nobody overrides it.
        UserError: the channel is held, or has moved on since it was judged.
    """
    _refuse_another(proposal)
    channel = proposal.channel
    with changing(settings, store, channel, proposal.seen, on_wait) as path:
        refuse_held(channel, proposal.seen, release=proposal.release)
        kept = keeping.keep(store, proposal.verdict, proposal.bundle, proposal.measured)
        refuse_unproven(proposal.verdict, proposal.overrides, proposal.policy)
        record = following(
            proposal.seen,
            proposal.identity,
            proposal.reason,
            action=PROMOTE,
            bundle=proposal.bundle.digest,
            name=_name(store, proposal.contents.name, proposal.bundle),
            verdict=kept.digest,
            policy=proposal.verdict.policy_digest,
            validation=proposal.verdict.validation,
            judged=proposal.verdict.judged_before + 1,
            overrides=proposal.overrides,
            released=proposal.release and is_held(proposal.seen),
        )
        enter(store, path, channel, record)
    return record


@contextmanager
def changing(
    settings: Settings,
    store: Store,
    channel: str,
    seen: Sequence[Record],
    on_wait: Callable[[], None] = lambda: None,
) -> Iterator[Path]:
    """Hold the lock of the channels, where this one still has the records ``seen``.

    Raises:
        UserError: it has others by now; says which, and by whom.
    """
    path = channel_path(settings, channel)
    with disk_errors(path), hold_folder(path.parent, on_wait):
        now = read_channel(path)
        if now != tuple(seen):
            raise _moved_on(channel, seen, now)
        refuse_flawed(store, path, channel, now)
        settle(store, channel, now)
        yield path


def enter(store: Store, path: Path, channel: str, record: Record) -> None:
    """Give a record's bundle its tags, and append the record; the caller holds the lock.

    Raises:
        UserError: the bundle or its verdict has gone meanwhile.
    """
    bundle, tag = store.bundle(record.bundle), channel_tag(channel, record.sequence)
    if bundle:
        store.tag(bundle, tag)
    # Looked at behind the tag, from which on nothing collects them.
    if not (bundle and here(store, record.bundle) and store.find(record.verdict)):
        store.untag(tag)
        raise UserError(
            f"bundle {record.bundle[7:19]} or its verdict is not in {store.root} any more",
            "a collection of garbage may have come in between: bundle it again, or pull it",
        )
    append(path, record)
    store.tag(bundle, channel_tag(channel))


def following(
    records: Sequence[Record], identity: Identity, reason: str, **fields: object
) -> Record:
    """The record behind those that there are, with its digest.

    Raises:
        UserError: what somebody typed is no text.
    """
    last = records[-1] if records else None
    plain = {
        "sequence": last.sequence + 1 if last else 1,
        "who": identity.who,
        "run": identity.run,
        "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "reason": reason.strip(),
        "previous": last.digest if last else "",
        **fields,
    }
    try:
        record = msgspec.convert(msgspec.to_builtins(plain), Record)
        return msgspec.structs.replace(record, digest=digest_of(record))
    except UnicodeEncodeError as error:
        raise UserError("a record can hold text in UTF-8 alone", "write it anew") from error


def refuse_held(channel: str, records: Sequence[Record], *, release: bool) -> None:
    """Refuse to promote into a channel that a rollback holds, unless that ends here.

    Raises:
        UserError: it is held; says by which record, whom and why, or that nothing holds it.
    """
    holding = holder_of(records)
    if holding and not release:
        why = f": {_in_short(holding.reason)}" if holding.reason else ""
        raise UserError(
            f"{channel} is held by {told(holding)}{why}",
            f'--release with a --reason, or: invoke rollback {channel} --release --reason "..."',
        )


def _in_short(reason: str) -> str:
    """The start of what somebody wrote; the whole is in the history."""
    line = " ".join(reason.split())
    return line if len(line) <= _MOST else f"{line[: _MOST - 3]}..."


def _moved_on(channel: str, seen: Sequence[Record], now: Sequence[Record]) -> UserError:
    news = [each for each in now if each not in seen]
    if len(now) < len(seen) or not news:
        return UserError(f"the records of {channel} were changed meanwhile", "invoke verify")
    return UserError(
        f"meanwhile {', '.join(map(told, news))} came into {channel}",
        f"invoke history {channel}; the same command again judges against what is there now",
    )


def _refuse_another(proposal: Proposal) -> None:
    """A verdict about something else would be a bug of ours that nobody sees."""
    verdict, last = proposal.verdict, proposal.seen[-1] if proposal.seen else None
    about = (verdict.bundle, verdict.channel, verdict.policy_digest, verdict.incumbent)
    meant = (
        proposal.bundle.digest,
        proposal.channel,
        proposal.policy.digest,
        last.bundle if last else "",
    )
    if about != meant:
        raise ValueError(f"a verdict about {about}, and not {meant}")


def _name(store: Store, asked: str, bundle: Bundle) -> str:
    """What the bundle is called: by a name that stays with it, else as somebody called it."""
    tags = [tag for tag, each in store.tags().items() if each.digest == bundle.digest]
    mine = [tag for tag in tags if is_name(tag) and not channel_of(tag)]
    stay = [tag for tag in mine if is_release(tag)]
    return next(iter([asked] if asked in stay else [*stay, *mine]), "")
