"""A channel mirrored in a place: what goes there and in which order, forks, who is ahead or behind."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from impatience import FAST
from registry_faults import status
from registry_server import Handler, RegistryServer
from small_chains import bundle_digest, chain_of, following
from small_mirrored import SmallChannel, small_channel

from mmdet_jetson.errors import UserError
from mmdet_jetson.promotion.mirror import (
    Tags,
    compare,
    numbers,
    push_channel,
    read_tags,
    tags_of,
)
from mmdet_jetson.registry.folder import open_folder
from mmdet_jetson.registry.place import PlaceError
from mmdet_jetson.registry.pull import pull
from mmdet_jetson.registry.push import push
from mmdet_jetson.registry.reference import RegistryReference, parse_place
from mmdet_jetson.registry.repository import Repository
from mmdet_jetson.registry.session import Access
from mmdet_jetson.store import Store

Opened = Callable[[], Repository]
RECORDS = chain_of("v1", "v2", "v3")
ONE, TWO, THREE = (each.bundle for each in RECORDS)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=[True, False], ids=["referrers", "no-referrers"])
def server(request: pytest.FixtureRequest) -> Iterator[RegistryServer]:
    with RegistryServer(referrers=request.param) as running:
        yield running


@pytest.fixture
def opened(server: RegistryServer, tmp_path: Path) -> Opened:
    def open_it() -> Repository:
        reference = parse_place(server.place("team/mugs"))
        assert isinstance(reference, RegistryReference)
        return Repository(reference, Access((), patience=FAST), tmp_path / "notes")

    return open_it


@pytest.fixture
def channel(tmp_path: Path) -> SmallChannel:
    return small_channel(tmp_path, "v1", "v2", "v3")


def pushed(channel: SmallChannel, place: Repository, upto: int = 0) -> tuple[int, ...]:
    records = channel.records[: upto or None]
    return push_channel(channel.store, channel.name, records, place).tagged


def tags_there(server: RegistryServer) -> dict[str, str]:
    tags = server.repository("team/mugs").tags
    return {tag: digest for tag, digest in tags.items() if tag.startswith("channel-")}


@pytest.mark.parametrize(
    ("tags", "forks", "ahead", "lacking", "is_current"),
    [
        (Tags({1: ONE, 2: TWO, 3: THREE}, THREE), [], (), (), True),
        (Tags({}, ""), [], (), (1, 2, 3), False),
        (Tags({1: ONE, 3: THREE}, TWO), [], (), (2,), False),
        (Tags({1: ONE, 2: "X", 3: THREE}, THREE), ["channel-a-2"], (), (), True),
        (Tags({1: ONE, 2: TWO, 3: "X"}, "X"), ["channel-a-3"], (), (), False),
        (Tags({1: ONE, 2: TWO, 3: THREE}, "X"), ["channel-a"], (), (), False),
        (Tags({1: ONE, 2: TWO, 3: THREE, 4: "X", 6: "Y"}, "Y"), [], (4, 6), (), False),
        (Tags({3: THREE, 4: "X"}, "Z"), ["channel-a"], (4,), (1, 2), False),
    ],
)  # fmt: skip
def test_tags_are_compared_with_records(
    tags: Tags,
    forks: list[str],
    ahead: tuple[int, ...],
    lacking: tuple[int, ...],
    is_current: bool,
) -> None:
    found = compare("a", RECORDS, tags)
    assert [each.tag for each in found.forks] == forks
    assert (found.ahead, found.lacking, found.is_current) == (ahead, lacking, is_current)
    assert found.agrees == (tags == Tags({1: ONE, 2: TWO, 3: THREE}, THREE))


def test_a_channel_without_records_has_no_tags() -> None:
    assert compare("a", (), Tags({})).agrees
    assert not compare("a", (), Tags({1: ONE})).agrees
    assert not compare("a", (), Tags({}, ONE)).agrees


def test_tags_of_other_channels_are_left_alone() -> None:
    named = {
        "channel-a": "0", "channel-a-1": "1", "channel-a-12": "12", "channel-a-b-3": "no",
        "channel-ab": "no", "channel-a-01": "no", "channel-a-0": "no", "v1": "no", "achannel-a-2": "no",
    }  # fmt: skip
    assert tags_of("a", named) == Tags({1: "1", 12: "12"}, "0")
    assert tags_of("a-b", named) == Tags({3: "no"}, "")


@pytest.mark.parametrize(
    ("which", "said"),
    [
        ([3], "record 3"), ([3, 4], "records 3 to 4"), ([1, 3, 9], "records 1, 3, 9"),
        ([1, 3, 5, 7, 9, 11], "records 1, 3, 5, 7 and 2 more"),
    ],
)  # fmt: skip
def test_records_are_named(which: Sequence[int], said: str) -> None:
    assert numbers(which) == said


def test_a_channel_goes_there_and_into_another_store(
    channel: SmallChannel, server: RegistryServer, opened: Opened, tmp_path: Path
) -> None:
    assert pushed(channel, opened()) == (1, 2, 3)
    bundles = [each.bundle for each in channel.records]
    assert tags_there(server) == {
        "channel-staging": bundles[2],
        **{f"channel-staging-{number + 1}": each for number, each in enumerate(bundles)},
    }
    # As `registry garbage-collect -m` does: what has no tag goes.
    kept = server.repository("team/mugs")
    for digest in set(kept.manifests) - set(kept.tags.values()):
        del kept.manifests[digest]
    second = Store(tmp_path / "second")
    pull(opened(), ["channel-staging"], second)
    assert second.tags()["channel-staging"].digest == bundles[2]
    last = channel.records[-1]
    verdict = next(each for each in second.artifacts() if each.digest == last.verdict)
    assert verdict.subject
    assert verdict.subject.digest == last.bundle
    assert not second.verify().problems


def test_the_channels_own_tag_goes_last_and_the_others_in_order(
    channel: SmallChannel, server: RegistryServer, opened: Opened
) -> None:
    pushed(channel, opened())
    put = [path.rpartition("/")[2] for path in server.paths("PUT", "/manifests/")]
    named = [tag for tag in put if tag.startswith("channel-")]
    assert named == [f"channel-staging-{number}" for number in (1, 2, 3)] + ["channel-staging"]
    for record in channel.records:
        at = put.index(f"channel-staging-{record.sequence}")
        for digest in (record.bundle, record.verdict):
            assert f"digest.{digest[7:]}" in put[:at]


def test_a_second_push_sends_nothing(
    channel: SmallChannel, server: RegistryServer, opened: Opened
) -> None:
    pushed(channel, opened())
    server.asked.clear()
    assert pushed(channel, opened()) == ()
    assert {each.method for each in server.asked} <= {"HEAD", "GET"}


def test_only_new_records_are_tagged(
    channel: SmallChannel, server: RegistryServer, opened: Opened
) -> None:
    assert pushed(channel, opened(), upto=1) == (1,)
    assert tags_there(server)["channel-staging"] == channel.records[0].bundle
    assert pushed(channel, opened()) == (2, 3)
    assert tags_there(server)["channel-staging"] == channel.records[2].bundle
    channel.roll_back(1)
    assert pushed(channel, opened()) == (4,)
    assert tags_there(server)["channel-staging"] == channel.records[0].bundle


def forked(channel: SmallChannel, tmp_path: Path) -> SmallChannel:
    """Another clone, which has the first two records and then promoted something else."""
    other = small_channel(tmp_path / "other", "v1", "v2")
    assert [each.bundle for each in other.records] == [each.bundle for each in channel.records[:2]]
    other.promote("v9")
    return other


def test_a_fork_is_named_before_anything_is_sent(
    channel: SmallChannel, server: RegistryServer, opened: Opened, tmp_path: Path
) -> None:
    other = forked(channel, tmp_path)
    pushed(other, opened())
    before, theirs = tags_there(server), other.records[2].bundle[7:19]
    server.asked.clear()
    with pytest.raises(PlaceError, match="channel staging has forked in docker://") as told:
        pushed(channel, opened())
    assert (
        f"channel-staging-3 is bundle {theirs}, and record 3 (promote of v3 by"
        in told.value.message
    )
    assert channel.records[2].who in told.value.message
    assert "git pull" in told.value.hint
    assert ":channel-staging-3` mends it" in told.value.hint
    assert {each.method for each in server.asked} <= {"HEAD", "GET"}
    assert tags_there(server) == before


def test_a_fork_of_the_channels_own_tag_is_named(
    channel: SmallChannel, server: RegistryServer, opened: Opened
) -> None:
    pushed(channel, opened())
    stranger = channel.bundle("stranger")
    place = opened()
    push(channel.store, [stranger.digest], place, tag="channel-staging")
    with pytest.raises(PlaceError, match="which no record of the channel has"):
        pushed(channel, opened())


def test_a_mirror_that_is_ahead_is_no_fork(
    channel: SmallChannel, opened: Opened, server: RegistryServer
) -> None:
    pushed(channel, opened())
    before = tags_there(server)
    with pytest.raises(PlaceError, match="is ahead: it has records 2 to 3 of channel") as told:
        pushed(channel, opened(), upto=1)
    assert "git pull" in told.value.hint
    assert tags_there(server) == before


def test_an_older_bundle_that_is_nowhere_is_named(
    channel: SmallChannel, opened: Opened, server: RegistryServer, tmp_path: Path
) -> None:
    """Another clone: its store has what the last record names alone."""
    with open_folder("oci:one", tmp_path / "one", writing=True) as place:
        push_channel(channel.store, channel.name, channel.records, place)
    second = Store(tmp_path / "second")
    with open_folder("oci:one", tmp_path / "one", writing=False) as place:
        pull(place, ["channel-staging"], second)
    done = push_channel(second, "staging", channel.records, opened())
    assert done.tagged == (3,)
    assert [each.partition(" ")[0] for each in done.nowhere] == ["bundle", "verdict"] * 2
    assert set(tags_there(server)) == {"channel-staging", "channel-staging-3"}
    # Whoever has them brings the rest.
    assert pushed(channel, opened()) == (1, 2)


def test_what_is_there_by_its_digest_needs_not_be_here(
    channel: SmallChannel, opened: Opened, server: RegistryServer, tmp_path: Path
) -> None:
    pushed(channel, opened())
    tags = server.repository("team/mugs").tags
    for tag in [tag for tag in tags if tag.startswith("channel-")]:
        del tags[tag]
    empty = Store(tmp_path / "empty")
    empty.create()
    done = push_channel(empty, "staging", channel.records, opened())
    assert (done.tagged, done.nowhere, done.moved) == ((1, 2, 3), (), ())


@pytest.mark.parametrize("lacks", ["bundle", "verdict"])
def test_the_last_record_has_to_be_somewhere(
    channel: SmallChannel, opened: Opened, server: RegistryServer, lacks: str
) -> None:
    nowhere = bundle_digest("nowhere")
    records = [
        *channel.records,
        following(channel.records, "v3", **{"bundle": channel.records[2].bundle, lacks: nowhere}),
    ]
    with pytest.raises(UserError, match=f"the {lacks} of record 4 .* is neither in") as told:
        push_channel(channel.store, "staging", records, opened())
    assert "Ada" in told.value.hint
    assert tags_there(server) == {}


def test_a_bundle_whose_part_is_missing_is_not_pushed(
    channel: SmallChannel, opened: Opened, server: RegistryServer
) -> None:
    bundle = channel.store.bundle("v3")
    assert bundle
    part = channel.store.part(bundle.parts[0])
    assert part
    channel.store.file_of(part.layers[0]).unlink()
    with pytest.raises(UserError, match="the bundle of record 3"):
        pushed(SmallChannel(Store(channel.store.root), channel.path, channel.records), opened())
    assert tags_there(server) == {}


def test_a_push_that_ends_anywhere_leaves_a_mirror_that_is_behind(
    tmp_path: Path, opened: Opened, server: RegistryServer
) -> None:
    """Refused from some request on, earlier or later: tags come in order, and name what is whole."""
    channel = small_channel(tmp_path / "two", "v1", "v2")
    seen = set()
    for number in range(0, 40, 5):
        server.repositories.clear()
        for _ in range(number):
            server.spoil("PUT", "", lambda handler: handler.send(handler.answer()))
        server.spoil("PUT", "", status(403), times=99)
        with suppress(PlaceError):
            pushed(channel, opened())
        server._faults.clear()
        there = read_tags(opened(), "staging")
        found = compare("staging", channel.records, there)
        assert (found.forks, found.ahead) == ((), ())
        assert list(there.numbered) == [1, 2][: len(there.numbered)]
        assert all(
            opened().resolve(each.verdict) for each in channel.records[: len(there.numbered)]
        )
        seen.add((*there.numbered, bool(there.current)))
        pushed(channel, opened())
        assert compare("staging", channel.records, read_tags(opened(), "staging")).agrees
    assert len(seen) > 2


def test_another_story_that_is_pushed_meanwhile_is_told(
    channel: SmallChannel, opened: Opened, server: RegistryServer, tmp_path: Path
) -> None:
    """The other asked when we did, and wrote last: nothing there could refuse it."""
    other = forked(channel, tmp_path)
    push(other.store, [other.records[2].bundle], opened())
    theirs = other.records[2].bundle
    server.spoil("PUT", "/channel-staging-3$", then_naming("channel-staging-3", theirs))
    with pytest.raises(PlaceError, match="forked"):
        pushed(channel, opened())


def test_a_tag_that_moves_back_meanwhile_is_told(
    channel: SmallChannel, opened: Opened, server: RegistryServer
) -> None:
    old = channel.records[0].bundle
    server.spoil("PUT", "/channel-staging$", then_naming("channel-staging", old))
    with pytest.raises(PlaceError, match="was moved back meanwhile"):
        pushed(channel, opened())
    assert pushed(channel, opened()) == ()
    assert tags_there(server)["channel-staging"] == channel.records[2].bundle


def then_naming(tag: str, digest: str) -> Callable[[Handler], None]:
    """Do what is asked, and then let a tag name something else, as another client would."""

    def fault(handler: Handler) -> None:
        answer = handler.answer()
        handler.server.repository("team/mugs").tags[tag] = digest
        handler.send(answer)

    return fault


@pytest.mark.parametrize("seed", range(3))
def test_any_two_stories_of_a_channel_are_told_apart(seed: int) -> None:
    """Whatever two clones promoted since they were one, one mirror cannot hold both unnoticed."""
    chance = random.Random(seed)
    for _ in range(300):
        stem = list(chain_of(*(f"v{number}" for number in range(chance.randrange(4)))))
        ours, theirs = ([*stem] for _ in range(2))
        for side, letter in ((ours, "a"), (theirs, "b")):
            for number in range(chance.randrange(1, 4)):
                side.append(following(side, f"{letter}{number}"))
        numbered = {each.sequence: each.bundle for each in theirs}
        for each in ours[: chance.randrange(len(ours) + 1)]:  # pushed over it
            numbered[each.sequence] = each.bundle
        current = chance.choice([ours, theirs])[-1].bundle
        assert not all(
            compare("a", side, Tags(numbered, current)).agrees for side in (ours, theirs)
        )
