"""Artifacts through a registry: a small one, written from the specification."""

from collections.abc import Callable

import pytest
from registry_faults import cut_answer, status
from registry_server import RegistryServer
from small_artifacts import found
from small_runs import Run, is_clean, make_bundle, manifests

from mmdet_jetson.errors import UserError
from mmdet_jetson.registry.place import PlaceError
from mmdet_jetson.registry.pull import pull
from mmdet_jetson.registry.push import push
from mmdet_jetson.registry.repository import Repository
from mmdet_jetson.store import Store

Opened = Callable[..., Repository]


@pytest.mark.parametrize("referrers", [True, False])
def test_a_bundle_goes_there_and_into_another_store(
    run: Run, second: Store, opened: Opened, *, referrers: bool
) -> None:
    bundle = make_bundle(run.store, [run.made["train"], run.made["engine-pc"]], "mugs.bundle")
    with RegistryServer(referrers=referrers) as server:
        place = opened(server)
        pushed = push(run.store, ["mugs.bundle"], place)
        # As `registry garbage-collect -m` does: what has no tag goes.
        kept = server.repository("team/mugs")
        for digest in set(kept.manifests) - set(kept.tags.values()):
            del kept.manifests[digest]
        pulled = pull(place, ["mugs.bundle"], second)

    assert pushed == pulled
    assert pulled.manifests == 5  # what is about the engine, too
    assert second.tags()["mugs.bundle"].digest == bundle.digest
    assert set(manifests(second)) == {bundle.digest, *(each.digest for each in run.made.values())}
    assert is_clean(second)


@pytest.mark.parametrize("referrers", [True, False])
def test_a_second_push_sends_nothing(run: Run, opened: Opened, *, referrers: bool) -> None:
    with RegistryServer(referrers=referrers) as server:
        push(run.store, ["mugs"], opened(server))
        server.asked.clear()
        moved = push(run.store, ["mugs"], opened(server))
        assert (moved.blobs_sent, moved.sent) == (0, 0)
        assert {each.method for each in server.asked} <= {"HEAD", "GET"}


@pytest.mark.parametrize("referrers", [True, False])
def test_a_push_that_ended_before_the_list_is_mended(
    run: Run, second: Store, opened: Opened, *, referrers: bool
) -> None:
    """Killed between a manifest and the list of who refers to its subject."""
    with RegistryServer(referrers=referrers) as server:
        push(run.store, ["mugs.engine-pc"], opened(server))
        tags = server.repository("team/mugs").tags
        for tag in [tag for tag in tags if tag.startswith("sha256-")]:
            del tags[tag]
        push(run.store, ["mugs.engine-pc"], opened(server))
        assert pull(opened(server), ["mugs.engine-pc"], second).manifests == 3


def test_a_run_is_found_by_the_digests_that_keep_it(
    run: Run, second: Store, opened: Opened
) -> None:
    nameless = run.make("given", {"a": b"1"}, key="")
    with RegistryServer() as server:
        place = opened(server)
        push(run.store, [nameless.digest], place)
        for name in (nameless.digest[7:19], nameless.digest[7:], nameless.digest):
            assert pull(place, [name], second).named[0].digest == nameless.digest


def test_the_start_of_a_digest_that_no_tag_says_has_to_be_whole(
    run: Run, second: Store, opened: Opened
) -> None:
    engine = run.made["engine-pc"]
    with RegistryServer() as server:
        place = opened(server)
        push(run.store, ["mugs"], place)
        with pytest.raises(UserError, match=r"is called '[0-9a-f]{12}'") as told:
            pull(place, [engine.digest[7:19]], second)
        assert "name all 64 digits" in told.value.hint
        assert pull(place, [engine.digest[7:]], second).named[0].digest == engine.digest


def test_connections_that_drop_are_made_again(run: Run, second: Store, opened: Opened) -> None:
    with RegistryServer() as server:
        place = opened(server)
        server.spoil("PUT", "/manifests/", status(503))
        push(run.store, ["mugs"], place)
        server.spoil("GET", "/blobs/", cut_answer(1000), times=4)
        pull(place, ["mugs"], second)
    assert manifests(second) == manifests(run.store)
    assert is_clean(second)


def test_a_registry_that_refuses_leaves_the_store_as_it_was(
    run: Run, second: Store, opened: Opened
) -> None:
    with RegistryServer() as server:
        place = opened(server)
        push(run.store, ["mugs"], place)
        blob = run.made["train"].layers[0].blob.digest
        server.spoil("GET", f"/blobs/{blob}", status(404), times=9)
        with pytest.raises(PlaceError, match=blob[7:19]):
            pull(place, ["mugs"], second)
        assert second.tags() == {}
        assert second.verify().problems == ()


def test_names_go_last(run: Run, opened: Opened) -> None:
    with RegistryServer() as server:
        push(run.store, ["mugs"], opened(server))
        puts = server.paths("PUT", "/manifests/")
        names = [path for path in puts if "/manifests/mugs." in path]
        assert len(names) == 3
        assert sorted(puts[-3:]) == sorted(names)


def test_tags_are_not_listed_to_find_one(run: Run, second: Store, opened: Opened) -> None:
    """Docker's registry lists all of them at once, and there may be a hundred thousand."""
    with RegistryServer() as server:
        push(run.store, ["mugs"], opened(server))
        server.asked.clear()

        pull(opened(server), ["mugs.engine-pc"], second, evidence=False)

        assert found(second, "mugs.engine-pc")
        assert server.paths("GET", "/tags/list") == []
        pull(opened(server), ["mugs"], second)
        assert len(server.paths("GET", "/tags/list")) == 1


def test_a_push_about_another_lists_the_tags_once(run: Run, opened: Opened) -> None:
    with RegistryServer(referrers=False) as server:
        push(run.store, ["mugs.engine-pc"], opened(server), evidence=False)
        server.asked.clear()

        push(run.store, ["mugs.evaluate-pc"], opened(server), evidence=False)

        assert len(server.paths("GET", "/tags/list")) == 1
        listed = opened(server).referrers(run.made["engine-pc"].digest)
        assert [each.digest for each in listed] == [run.made["evaluate-pc"].digest]
