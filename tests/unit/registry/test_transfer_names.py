"""What transferred artifacts are called: names that come along, stay, move and are refused."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from folder_places import RUN_TAGS, pull_from, push_to, retagged
from small_runs import Run, make_bundle, manifests

from mmdet_jetson.errors import UserError
from mmdet_jetson.registry.folder import Folder, open_folder
from mmdet_jetson.registry.names import digest_tag
from mmdet_jetson.registry.place import Content, PlaceError
from mmdet_jetson.registry.push import push
from mmdet_jetson.store import Store, cache_tag, is_cache_tag
from mmdet_jetson.store.layout import Layout


def test_everything_there_has_a_tag_that_stays(run: Run, folder: Path) -> None:
    nameless = run.make("given", {"a": b"1"}, "mugs.given", key="")
    push_to(run, folder, "mugs")

    tags = Store(folder).tags()
    kept = {named.digest for tag, named in tags.items() if tag not in {*RUN_TAGS, "mugs.given"}}
    assert kept == set(manifests(run.store))
    assert tags[digest_tag(nameless.digest)].digest == nameless.digest
    assert not [tag for tag in tags if "digest." in tag and tag != digest_tag(nameless.digest)]


def test_a_bundle_is_named_once_nothing_of_it_is_put_any_more(run: Run, folder: Path) -> None:
    bundle = make_bundle(run.store, list(run.made.values()), "mugs.bundle")
    put: list[str] = []

    class Noted(Folder):
        """Says when it begins and ends to take a manifest."""

        def put_manifest(self, manifest: Content, tags: Sequence[str]) -> None:
            put.append(f"begins {manifest.descriptor.digest}")
            super().put_manifest(manifest, tags)
            put.append(f"ends {manifest.descriptor.digest}")

    with ExitStack() as opening:
        push(run.store, ["mugs"], Noted("oci:noted", Layout(folder), opening))
    last = {event: place for place, event in enumerate(put)}
    parts = [last[f"ends {each.digest}"] for each in run.made.values()]
    assert max(parts) < last[f"begins {bundle.digest}"]


@pytest.mark.parametrize("cut", [71, 19])
def test_what_is_pulled_by_its_digest_stays(
    run: Run, folder: Path, second: Store, cut: int
) -> None:
    bundle = make_bundle(run.store, list(run.made.values()), "mugs.bundle")
    push_to(run, folder, "mugs.bundle")
    named = pull_from(folder, second, bundle.digest[:cut]).named
    assert [(each.tag, each.digest) for each in named] == [("", bundle.digest)]

    Store(second.root).gc(lambda tag: not is_cache_tag(tag))
    again = Store(second.root)
    assert again.bundle(bundle.digest)
    assert {each.digest for each in again.artifacts()} == {m.digest for m in run.made.values()}
    assert pull_from(folder, again, bundle.digest).blobs_sent == 0
    kept = digest_tag(bundle.digest)
    with open_folder("oci:third", folder.with_name("third"), writing=True) as place:
        assert push(again, [kept], place).named[0].tag == ""
        assert place.resolve(kept)


def test_another_result_of_the_same_step_takes_no_tag_away(
    run: Run, folder: Path, tmp_path: Path, second: Store
) -> None:
    push_to(run, folder, "mugs")
    (tmp_path / "other").mkdir()
    other = Run(Store(tmp_path / "other/artifacts"))
    key = run.made["train"].provenance.key
    again = other.make("train", {"best.pth": b"2"}, "mugs.train", kind="checkpoint", key=key)
    push_to(other, folder, "mugs")

    tags = Store(folder).tags()
    assert tags[cache_tag(key)].digest == run.made["train"].digest
    assert tags[digest_tag(again.digest)].digest == tags["mugs.train"].digest == again.digest
    pull_from(folder, second, "mugs.train")
    assert cache_tag(key) not in second.tags()
    pull_from(folder, other.store, run.made["train"].digest)
    assert other.store.tags()[cache_tag(key)].digest == again.digest


def test_who_loses_the_race_for_a_key_is_kept_by_its_digest(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = Run(Store(tmp_path / "other/artifacts"))
    key = run.made["train"].provenance.key
    theirs = other.make("train", {"best.pth": b"2"}, "mugs.train", kind="checkpoint", key=key)

    class Raced(Folder):
        """Somebody's push of the same key comes right after ours, having seen none either."""

        def put_manifest(self, manifest: Content, tags: Sequence[str]) -> None:
            super().put_manifest(manifest, tags)
            if cache_tag(key) in tags and manifest.descriptor.digest != theirs.digest:
                push_to(other, folder.with_name("theirs"), theirs.digest)
                retagged(folder, manifests(other.store)[theirs.digest], cache_tag(key))

    with ExitStack() as opening:
        push(run.store, [run.made["train"].digest], Raced("oci:raced", Layout(folder), opening))
    tags = Store(folder).tags()
    assert tags[cache_tag(key)].digest == theirs.digest
    assert tags[digest_tag(run.made["train"].digest)].digest == run.made["train"].digest


def test_names_that_a_pull_moves_are_told_and_nothing_is_lost(
    run: Run, folder: Path, second: Store, tmp_path: Path
) -> None:
    make_bundle(run.store, list(run.made.values()), "mugs.bundle")
    push_to(run, folder, "mugs")
    (tmp_path / "other").mkdir()
    ours = Run(Store(tmp_path / "other/artifacts"))
    trained = ours.make("train", {"best.pth": b"2"}, "mugs.train", kind="checkpoint", key="ours")
    bundle = make_bundle(ours.store, [trained], "mugs.bundle")
    given = ours.make("given", {"a": b"2"}, "mugs.given", key="")

    moved = pull_from(folder, ours.store, "mugs")
    assert {each.tag: each.before for each in moved.named if each.before} == {
        "mugs.train": trained.digest,
        "mugs.bundle": bundle.digest,
    }
    tags = Store(ours.store.root).tags()
    assert tags["mugs.train"].digest == run.made["train"].digest
    assert tags[cache_tag("ours")].digest == trained.digest
    assert tags[digest_tag(bundle.digest)].digest == bundle.digest
    assert tags["mugs.given"].digest == given.digest
    kept = {tag for tag in tags if tag.startswith("digest.")}
    assert kept == {digest_tag(bundle.digest)}
    assert not [each for each in pull_from(folder, ours.store, "mugs").named if each.before]
    ours.store.gc(lambda tag: not is_cache_tag(tag))
    assert {each.digest for each in Store(ours.store.root).bundles()} >= {bundle.digest}


def test_names_of_what_to_move(run: Run, folder: Path) -> None:
    engine = run.made["engine-pc"]
    for name in (engine.digest, engine.digest[7:], engine.digest[7:19], engine.digest[:19]):
        assert [each.digest for each in push_to(run, folder, name).named] == [engine.digest]
    assert {tag for tag in Store(folder).tags() if not is_cache_tag(tag)} == set()
    assert push_to(run, folder, "mugs.train", tag="v1").named[0].tag == "v1"
    assert Store(folder).tags()["v1"].digest == run.made["train"].digest

    with pytest.raises(UserError, match=r"3 artifacts cannot all be tagged 'v1'"):
        push_to(run, folder, "mugs", tag="v1")
    for wrong, near in {"mug": "mugs", "mugs.trian": "mugs.train", "zzz": "one of: mugs"}.items():
        with pytest.raises(UserError, match=f"nothing in the store is called '{wrong}'") as caught:
            push_to(run, folder, wrong)
        assert near in caught.value.hint
    with pytest.raises(UserError, match="is called 'nothing'"):
        push_to(run, folder.with_name("unmade"), "nothing")
    assert not folder.with_name("unmade").exists()
    with pytest.raises(UserError, match="is called 'cache'"):
        push_to(run, folder, "cache")
    with pytest.raises(UserError, match="is called '0000000000000'"):
        push_to(run, folder, "0000000000000")


def test_a_name_that_is_no_tag_is_none(run: Run, folder: Path, second: Store) -> None:
    """As containerd writes addresses, and somebody else whatever."""
    push_to(run, folder, "mugs")
    content = manifests(run.store)[run.made["train"].digest]
    for name in ("registry.example.com/team/mugs:v1", "mugs.\33[2J", "mugs.a b"):
        retagged(folder, content, name)
    assert {each.tag for each in pull_from(folder, second, "mugs").named} == RUN_TAGS


def other_release(run: Run, second: Store, folder: Path) -> tuple[str, str]:
    """Two stores, each with a bundle of its own called v1.2; the second's is in the folder."""
    ours = make_bundle(run.store, list(run.made.values()), "v1.2")
    push_to(run, folder.with_name("parts"), "mugs")
    pull_from(folder.with_name("parts"), second, "mugs")
    part = second.find("mugs.train")
    assert part
    theirs = make_bundle(second, [part], "v1.2")
    with open_folder("oci:folder", folder, writing=True) as place:
        push(second, ["v1.2"], place)
    return ours.digest, theirs.digest


def test_a_release_keeps_its_name_in_a_place(run: Run, folder: Path, second: Store) -> None:
    ours, theirs = other_release(run, second, folder)
    with pytest.raises(PlaceError, match=f"v1.2 in oci:folder is bundle {theirs[7:19]}"):
        push_to(run, folder, "v1.2")
    assert Layout(folder).index().manifests  # what was there
    assert {e.tag: e.digest for e in Layout(folder).index().manifests}["v1.2"] == theirs

    push_to(run, folder, "v1.2", tag="v1.2")  # as `--to oci:folder:v1.2` asks
    assert {e.tag: e.digest for e in Layout(folder).index().manifests}["v1.2"] == ours


def test_a_release_keeps_its_name_in_the_store(run: Run, folder: Path, second: Store) -> None:
    ours, theirs = other_release(run, second, folder)
    with pytest.raises(PlaceError, match=f"v1.2 is {ours[7:19]} here") as refused:
        pull_from(folder, run.store, "v1.2")
    assert run.store.tags()["v1.2"].digest == ours
    assert theirs in refused.value.hint
    pull_from(folder, run.store, theirs)
    assert run.store.bundle(theirs)


def test_a_release_is_no_part_of_a_run_that_is_called_like_its_start(
    run: Run, folder: Path
) -> None:
    make_bundle(run.store, list(run.made.values()), "v1.2")
    with pytest.raises(UserError, match="nothing in the store is called 'v1'") as refused:
        push_to(run, folder, "v1")
    assert refused.value.hint == "did you mean 'v1.2'?"
