"""``invoke push channel-NAME``: a channel goes to a place, which is a mirror of its file."""

from functools import partial

from rich.console import Console

from mmdet_jetson.bundles.contents import contents_of
from mmdet_jetson.cli.part_lines import printable
from mmdet_jetson.config.settings import Settings
from mmdet_jetson.config.toml import nearest
from mmdet_jetson.errors import UserError
from mmdet_jetson.promotion import mirror
from mmdet_jetson.promotion.channel_file import channel_names, channel_path, read_channel
from mmdet_jetson.promotion.channel_tags import refuse_flawed
from mmdet_jetson.promotion.records import Record
from mmdet_jetson.registry.moving import Watch
from mmdet_jetson.registry.names import channel_of, channel_tag
from mmdet_jetson.registry.place import Place
from mmdet_jetson.store import Store

_say = partial(Console(emoji=False).print, highlight=False, markup=False, soft_wrap=True)


def channel_named(settings: Settings, name: str) -> str:
    """The channel that ``channel-NAME`` stands for; "" for what names none.

    Raises:
        UserError: it can only be a channel, and there is none of that name.
    """
    found = channel_of(name)
    if not found or found[1]:
        return ""
    known = channel_names(settings)
    if found[0] in known:
        return found[0]
    where = channel_path(settings, found[0])
    hint = nearest(name, [channel_tag(each) for each in known]) if known else "invoke promote"
    raise UserError(f"{name} stands for a channel, and there is no {where}", hint)


def check_whole(name: str, tag: str, *, evidence: bool) -> None:
    """Refuse to mirror less of a channel than all, or under another name.

    Raises:
        UserError: says what to leave out.
    """
    if tag:
        raise UserError(f"{name} goes by its own tags, and not by {tag!r}", "leave the tag out")
    if not evidence:
        hint = "leave out --no-evidence; to push a bundle alone, name the bundle"
        raise UserError(f"{name} without evidence would prove nothing", hint)


def check_tag(settings: Settings, store: Store, name: str, tag: str) -> None:
    """Let a tag of a channel name in a place what the channel's file says, and nothing else.

    ``tag`` is what the one artifact is called there; without it that is ``name``.

    Raises:
        UserError: it would name something else.
    """
    found = channel_of(tag or name)
    if not found or (not tag and name not in store.tags()):
        return
    records = _sound(settings, store, found[0])
    wanted = {each.sequence: each.bundle for each in records}
    wanted[0] = records[-1].bundle
    bundle = contents_of(store, name).bundle
    if bundle is None or wanted.get(found[1]) != bundle.digest:
        said = wanted.get(found[1])
        named = f"bundle {said[7:19]}" if said else "no bundle, for there is no such record"
        raise UserError(
            f"{tag or name} is not what {name} is: by {channel_path(settings, found[0])} it is "
            f"{named}",
            f"invoke push {channel_tag(found[0])}",
        )


def _sound(settings: Settings, store: Store, channel: str) -> tuple[Record, ...]:
    """The records of a channel whose chain holds, at least one.

    Raises:
        UserError: there are none, or something is wrong with them.
    """
    path = channel_path(settings, channel)
    records = read_channel(path)
    if not records:
        raise UserError(f"channel {channel} has no records in {path}", "invoke promote")
    refuse_flawed(store, path, channel, records)
    return records


def push(settings: Settings, store: Store, channel: str, place: Place, watch: Watch) -> None:
    """Bring a channel to a place, and say what is new there.

    Raises:
        UserError: its chain is broken, or what it names is nowhere.
        PlaceError: the place has another story of it, and nothing was sent.
    """
    records = _sound(settings, store, channel)
    done = mirror.push_channel(store, channel, records, place, watch)
    last = records[-1]
    for each in done.nowhere:
        _say(printable(f"warning: {each} is neither here nor there, and has no tag there"))
    named = f"{last.name} ({last.bundle[7:19]})" if last.name else last.bundle[7:19]
    new = f"{mirror.numbers(done.tagged)} new" if done.tagged else "no new record"
    sent, size = (
        sum(each.sent for each in done.moved),
        sum(each.size for each in done.moved),
    )
    _say(printable(f"{channel_tag(channel)}: {named}, record {last.sequence} of {len(records)}"))
    _say(
        f"pushed channel {channel}: {new}, {sent / 1e6:.1f} MB of {size / 1e6:.1f} MB sent to "
        f"{place.name}"
    )
