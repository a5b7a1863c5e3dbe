"""What is found about channels: what their records name, whether that is proven, tags, a mirror."""

from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import pytest
from small_chains import bundle_digest
from small_mirrored import SmallChannel, small_channel

from mmdet_jetson.promotion.channel_tags import settle
from mmdet_jetson.promotion.mirror import push_channel
from mmdet_jetson.promotion.records import Override, digest_of
from mmdet_jetson.promotion.verdicts import Judged
from mmdet_jetson.promotion.verifying import (
    Finding,
    shelf_of,
    verify_chain,
    verify_mirror,
    verify_store,
)
from mmdet_jetson.registry.folder import open_folder
from mmdet_jetson.registry.pull import pull
from mmdet_jetson.store import Store

FAILED = (
    Judged(gate="parts", outcome="pass", sentence="."),
    Judged(gate="latency", subject="pc", outcome="fail", sentence="It is slow."),
)
DID = Override(gate="latency:pc", outcome="fail", who="Ada <ada@example.com>", because="a demo")


@pytest.fixture
def channel(tmp_path: Path) -> SmallChannel:
    return small_channel(tmp_path, "v1", "v2", "v3")


def found(channel: SmallChannel, store: Store | None = None) -> list[Finding]:
    store = store or Store(channel.store.root)
    return [
        *verify_chain(store, channel.name, channel.records, channel.path),
        *verify_store(channel.name, channel.records, shelf_of(store)),
    ]


def said(findings: Iterable[Finding], *, problems: bool = True) -> list[str]:
    return [each.what for each in findings if each.is_problem == problems]


def test_a_channel_that_went_well_has_nothing_to_tell(channel: SmallChannel) -> None:
    channel.roll_back(2)
    channel.release()
    channel.promote("v4", FAILED, overrides=(DID,))
    channel.roll_back(1)
    channel.roll_back(6)  # what was overridden when it came in is so when it comes back
    assert found(channel) == []


def test_a_clone_begins_without_bundles(channel: SmallChannel, tmp_path: Path) -> None:
    (note,) = found(channel, Store(tmp_path / "none"))
    assert note.what == "the bundles of records 1 to 3 are not here"
    assert note.mend == "invoke pull channel-staging"
    assert not note.is_problem


def test_an_older_bundle_that_is_not_here(channel: SmallChannel, tmp_path: Path) -> None:
    mirrored(channel, tmp_path / "mirror")
    second = Store(tmp_path / "second")
    with open_folder("oci:mirror", tmp_path / "mirror", writing=False) as place:
        pull(place, ["channel-staging-2", "channel-staging"], second)
    (note,) = found(channel, second)
    assert note == Finding(
        "staging", "the bundle of record 1 is not here", "invoke pull channel-staging-1",
        is_problem=False,
    )  # fmt: skip


def with_verdict(channel: SmallChannel, changes: dict[str, object]) -> None:
    channel.promote("v4", verdict=channel.verdict(channel.bundle("v4"), changes=changes).digest)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c: with_verdict(c, {"gates": FAILED}), "gate latency:pc is fail, and the record does not override it"),
        (lambda c: with_verdict(c, {"gates": ()}), "its verdict is by no gate at all"),
        (lambda c: with_verdict(c, {"channel": "production"}), "its verdict is about another channel, production"),
        (lambda c: with_verdict(c, {"bundle": bundle_digest("v9")}), f"its verdict is about another bundle, {bundle_digest('v9')[7:19]}"),
        (lambda c: with_verdict(c, {"policy_digest": bundle_digest("lax")}), f"its verdict is by another policy, {bundle_digest('lax')[7:19]}"),
        (lambda c: c.promote("v4", verdict=""), "it names no verdict"),
        (lambda c: c.promote("v4", verdict=c.put("engine", {"a": b"1"}, None).digest), "is engine and no verdict"),
        (lambda c: c.promote("v4", verdict=c.put("verdict", {"verdict.json": b"{"}, None).digest), "cannot be read"),
        (lambda c: c.promote("v4", verdict=c.put("verdict", {"other": b"{"}, None).digest), "cannot be read"),
        (lambda c: c.promote("v4", FAILED, overrides=(msgspec.structs.replace(DID, gate="size:pc"),)), "gate latency:pc is fail"),
    ],
)  # fmt: skip
def test_what_is_not_proven(
    channel: SmallChannel, change: Callable[[SmallChannel], object], sentence: str
) -> None:
    change(channel)
    (problem,) = said(found(channel))
    assert problem.startswith("record 4: ")
    assert sentence in problem


def test_an_override_of_then_is_none_of_a_promotion_of_now(channel: SmallChannel) -> None:
    first = channel.promote("v4", FAILED, overrides=(DID,))
    channel.promote("v5")
    channel.promote("v4", verdict=first.verdict)
    (problem,) = said(found(channel))
    assert problem.startswith("record 6: gate latency:pc is fail")


def test_a_verdict_that_is_elsewhere_is_a_note(channel: SmallChannel) -> None:
    channel.promote("v4", verdict=bundle_digest("elsewhere"))
    assert said(found(channel)) == []
    assert said(found(channel), problems=False) == [
        f"the verdict of record 4, {bundle_digest('elsewhere')[7:19]}, is not here"
    ]


def test_a_promotion_that_was_killed_before_its_record_leaves_a_note(
    channel: SmallChannel,
) -> None:
    channel.store.tag(channel.bundle("v4"), "channel-staging-4")
    notes = said(found(channel), problems=False)
    assert said(found(channel)) == []
    assert len(notes) == 1
    assert notes[0].endswith("was begun and not written; its tag is left")
    settle(channel.store, "staging", channel.records)
    assert found(channel) == []


def test_one_that_was_killed_before_the_channels_tag_leaves_nothing(channel: SmallChannel) -> None:
    bundle = channel.store.bundle("v2")
    assert bundle
    channel.store.tag(bundle, "channel-staging")
    assert found(channel) == []


def test_what_others_were_faster_with_is_a_note(channel: SmallChannel, tmp_path: Path) -> None:
    """Record 3 of here lost: the file is theirs, by git; the tags are of here."""
    other = small_channel(tmp_path / "other", "v1", "v2", "v9")
    theirs = SmallChannel(channel.store, other.path, other.records)
    missing, note = verify_store("staging", theirs.records, shelf_of(theirs.store))
    assert missing.what == "the bundle of record 3 is not here"
    assert note.what.endswith(": promoted here, and others were faster")
    assert not note.is_problem


def test_a_tag_that_somebody_moved_is_found(channel: SmallChannel) -> None:
    channel.store.tag(channel.bundle("stranger"), "channel-staging")
    (problem,) = said(found(channel))
    assert "which no record of the channel has" in problem
    settle(channel.store, "staging", channel.records)
    assert found(channel) == []


def test_the_last_record_removed_is_found_by_the_tags(channel: SmallChannel) -> None:
    channel.records.pop()
    assert any("record 3 was removed" in each for each in said(found(channel)))


def test_every_record_that_a_tag_tells_of_was_there(channel: SmallChannel) -> None:
    """Though the channel's own tag was moved back."""
    bundle = channel.store.bundle("v1")
    assert bundle
    channel.store.tag(bundle, "channel-staging")
    del channel.records[1:]
    assert [each.split(",")[0] for each in said(found(channel))] == [
        "record 2 was removed",
        "record 3 was removed",
    ]


def test_a_changed_record_is_found(channel: SmallChannel) -> None:
    channel.records[1] = msgspec.structs.replace(channel.records[1], who="Eve")
    (problem, *_) = said(found(channel))
    assert "record 2 was changed" in problem
    channel.records[1] = msgspec.structs.replace(
        channel.records[1], digest=digest_of(channel.records[1])
    )
    assert any("record 2 was changed or replaced" in each for each in said(found(channel)))


def mirrored(channel: SmallChannel, folder: Path, upto: int = 3) -> list[Finding]:
    with open_folder("oci:mirror", folder, writing=True) as place:
        push_channel(channel.store, channel.name, channel.records[:upto], place)
    return told_of_mirror(channel, folder)


def told_of_mirror(channel: SmallChannel, folder: Path) -> list[Finding]:
    with open_folder("oci:mirror", folder, writing=False) as place:
        return list(verify_mirror(channel.name, channel.records, place))


def test_a_mirror_that_agrees(channel: SmallChannel, tmp_path: Path) -> None:
    assert mirrored(channel, tmp_path / "mirror") == []


def test_a_mirror_that_is_behind_is_a_note(channel: SmallChannel, tmp_path: Path) -> None:
    (note,) = mirrored(channel, tmp_path / "mirror", upto=1)
    assert note == Finding(
        "staging", "oci:mirror is behind, it lacks records 2 to 3",
        "invoke push channel-staging --to oci:mirror", is_problem=False,
    )  # fmt: skip


def test_a_mirror_whose_own_tag_is_behind(channel: SmallChannel, tmp_path: Path) -> None:
    mirrored(channel, tmp_path / "mirror")
    there = Store(tmp_path / "mirror")
    bundle = there.bundle(channel.records[0].bundle)
    assert bundle
    there.tag(bundle, "channel-staging")
    (note,) = told_of_mirror(channel, tmp_path / "mirror")
    assert (note.what, note.is_problem) == ("oci:mirror is behind", False)


def test_forks_and_a_mirror_that_is_ahead_are_problems(
    channel: SmallChannel, tmp_path: Path
) -> None:
    other = small_channel(tmp_path / "other", "v1", "v8", "v9")
    mirrored(other, tmp_path / "mirror")
    problems = told_of_mirror(channel, tmp_path / "mirror")
    assert [each.what.split(" is bundle")[0] for each in problems] == [
        "oci:mirror has forked: channel-staging-2",
        "oci:mirror has forked: channel-staging-3",
    ]
    other.records.pop()
    (problem,) = told_of_mirror(other, tmp_path / "mirror")
    assert problem.is_problem
    assert "is ahead: it has record 3 of channel staging" in problem.what


def test_a_mirror_without_the_verdict_is_told(channel: SmallChannel, tmp_path: Path) -> None:
    mirrored(channel, tmp_path / "mirror")
    there = Store(tmp_path / "mirror")
    verdict = channel.records[-1].verdict
    there.untag(*(tag for tag, each in there.tags().items() if each.digest == verdict))
    there.gc(lambda _: True)
    index = tmp_path / "mirror/index.json"
    entries = msgspec.json.decode(index.read_bytes())
    entries["manifests"] = [each for each in entries["manifests"] if each["digest"] != verdict]
    index.write_bytes(msgspec.json.encode(entries))
    (note,) = told_of_mirror(channel, tmp_path / "mirror")
    assert (note.what, note.is_problem) == ("oci:mirror has not the verdict of record 3", False)
