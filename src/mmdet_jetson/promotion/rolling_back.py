"""A rollback: what was in a channel before comes back in a new record, which holds the channel.

Nothing is judged anew: it was let in before, and its verdict is that of then.
"""

from collections.abc import Callable, Sequence

from mmdet_jetson.config.settings import Settings
from mmdet_jetson.errors import UserError
from mmdet_jetson.promotion.chain import taken_back
from mmdet_jetson.promotion.channel_file import append, numbered
from mmdet_jetson.promotion.channel_tags import here, settle, told
from mmdet_jetson.promotion.identity import Identity
from mmdet_jetson.promotion.promoting import changing, enter, following
from mmdet_jetson.promotion.records import RELEASE, ROLLBACK, Record, is_held
from mmdet_jetson.registry.names import channel_tag
from mmdet_jetson.store import Store


def rollback(
    settings: Settings,
    store: Store,
    channel: str,
    seen: Sequence[Record],
    identity: Identity,
    *,
    to: int | None = None,
    reason: str = "",
    on_wait: Callable[[], None] = lambda: None,
) -> Record:
    """Append the record that puts back what record ``to`` had, else what was there before.

    Raises:
        UserError: there is no such record, its bundle is there already, or is not here in full; or
            the channel has moved on meanwhile.
    """
    with changing(settings, store, channel, seen, on_wait) as path:
        restored = _restored(channel, seen, to)
        _refuse_missing(store, channel, restored)
        record = following(
            seen,
            identity,
            reason,
            action=ROLLBACK,
            restores=restored.sequence,
            undoes=taken_back(seen, restored.sequence),
            **_of(restored),
        )
        enter(store, path, channel, record)
    return record


def release(
    settings: Settings,
    store: Store,
    channel: str,
    seen: Sequence[Record],
    identity: Identity,
    *,
    reason: str = "",
    on_wait: Callable[[], None] = lambda: None,
) -> Record:
    """Append the record that ends a hold, and leaves in the channel what is there.

    Raises:
        UserError: nothing holds it, or it has moved on meanwhile.
    """
    with changing(settings, store, channel, seen, on_wait) as path:
        if not is_held(seen):
            raise UserError(f"nothing holds {channel}", f"invoke history {channel}")
        record = following(seen, identity, reason, action=RELEASE, **_of(seen[-1]))
        append(path, record)
        # Its bundle has a tag as long as it is here, and a clone that has never pulled it has none.
        settle(store, channel, (*seen, record))
    return record


def _of(record: Record) -> dict[str, object]:
    """What a record says of its bundle."""
    return {
        field: getattr(record, field)
        for field in ("bundle", "name", "verdict", "policy", "validation", "judged")
    }


def _restored(channel: str, records: Sequence[Record], to: int | None) -> Record:
    if not records:
        raise UserError(f"{channel} has no records yet", f"invoke promote BUNDLE --to {channel}")
    now = records[-1]
    if to is None:
        return _before(channel, records)
    found = numbered(records, to)
    if found is None:
        raise UserError(
            f"{channel} has no record {to}", f"a number from 1 to {now.sequence}: --to 1"
        )
    if found.bundle == now.bundle:
        name = found.name or found.bundle[7:19]
        raise UserError(
            f"{name}, the bundle of record {to}, is in {channel} already",
            f"invoke history {channel}",
        )
    return found


def _before(channel: str, records: Sequence[Record]) -> Record:
    """The record whose bundle was there before the one of now came in for the first time.

    After a rollback, that is what was there before the record that it restored: two rollbacks in a
    row go back two bundles, and not to the one that the first took out.
    """
    now = place = records[-1]
    while place.sequence > 1:
        if place.action == ROLLBACK and place.restores:
            place = records[place.restores - 1]
            continue
        place = records[place.sequence - 2]
        if place.bundle != now.bundle and place.action != RELEASE:
            return place
    raise UserError(
        f"nothing was in {channel} before {now.name or now.bundle[7:19]}",
        f"another bundle: invoke promote BUNDLE --to {channel}",
    )


def _refuse_missing(store: Store, channel: str, restored: Record) -> None:
    if here(store, restored.bundle) and store.find(restored.verdict):
        return
    lacks = "its verdict" if here(store, restored.bundle) else f"bundle {restored.bundle[7:19]}"
    raise UserError(
        f"{lacks} of {told(restored)} is not whole in {store.root}",
        f"invoke pull {channel_tag(channel, restored.sequence)}, from where the channel is pushed",
    )
