"""A push of what a registry has nearly all of: what the name was there is not asked for by blob."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from registry_faults import status
from registry_server import RegistryServer
from small_artifacts import PROVENANCE, found
from small_runs import make_bundle

from mmdet_jetson.registry.place import PlaceError
from mmdet_jetson.registry.push import MANY, push
from mmdet_jetson.registry.repository import Repository
from mmdet_jetson.store import Store

Opened = Callable[..., Repository]
FILES = 30


def make(folder: Path, version: str, number_of_files: int = FILES) -> Store:
    """A store with an artifact of many files, one of which is of this version."""
    files = folder / version
    files.mkdir(parents=True)
    for number in range(number_of_files):
        (files / f"{number}.txt").write_text(f"file {number}")
    (files / "0.txt").write_text(version)
    store = Store(folder / "store")
    store.put("dataset", files, PROVENANCE, ["mugs.dataset"])
    return store


def heads(server: RegistryServer) -> list[str]:
    return [path for path in server.paths("HEAD") if re.search("/blobs/", path)]


def test_only_what_is_new_is_asked_for(tmp_path: Path, opened: Opened) -> None:
    with RegistryServer() as server:
        push(make(tmp_path, "one"), ["mugs.dataset"], opened(server))
        assert len(heads(server)) > FILES
        server.asked.clear()
        moved = push(make(tmp_path, "two"), ["mugs.dataset"], opened(server))
    assert len(heads(server)) <= 3
    assert 0 < moved.blobs_sent <= 2


def test_what_the_registry_has_lost_is_sent_again(tmp_path: Path, opened: Opened) -> None:
    with RegistryServer() as server:
        push(make(tmp_path, "one"), ["mugs.dataset"], opened(server))
        blobs = server.repository("team/mugs").blobs
        lost = [digest for digest, content in blobs.items() if content.startswith(b"file ")][:5]
        for digest in lost:
            del blobs[digest]
        push(make(tmp_path, "two"), ["mugs.dataset"], opened(server))
    assert set(lost) <= set(blobs)


def test_what_was_lost_of_the_same_is_sent_again(tmp_path: Path, opened: Opened) -> None:
    with RegistryServer() as server:
        store = make(tmp_path, "one")
        push(store, ["mugs.dataset"], opened(server))
        blobs = server.repository("team/mugs").blobs
        lost = [digest for digest, content in blobs.items() if content.startswith(b"file ")][:5]
        for digest in lost:
            del blobs[digest]
        assert push(store, ["mugs.dataset"], opened(server)).blobs_sent == len(lost)
    assert set(lost) <= set(blobs)


def test_what_was_lost_of_a_part_of_a_bundle_is_sent_again(tmp_path: Path, opened: Opened) -> None:
    with RegistryServer() as server:
        store = make(tmp_path, "one")
        bound = found(store, "mugs.dataset")
        make_bundle(store, [bound], "mugs.bundle")
        push(store, ["mugs.bundle"], opened(server))
        blobs = server.repository("team/mugs").blobs
        lost = [digest for digest, content in blobs.items() if content.startswith(b"file ")][:5]
        for digest in lost:
            del blobs[digest]
        make(tmp_path, "two")
        make_bundle(store, [bound, found(store, "mugs.dataset")], "mugs.bundle")
        push(store, ["mugs.bundle"], opened(server))
    assert set(lost) <= set(blobs)


def test_a_refusal_for_another_reason_is_told(tmp_path: Path, opened: Opened) -> None:
    with RegistryServer() as server:
        push(make(tmp_path, "one"), ["mugs.dataset"], opened(server))
        server.spoil("PUT", "/manifests/", status(403), times=99)
        with pytest.raises(PlaceError, match="403"):
            push(make(tmp_path, "two"), ["mugs.dataset"], opened(server))


def test_what_the_name_is_there_need_not_be_readable(tmp_path: Path, opened: Opened) -> None:
    with RegistryServer() as server:
        push(make(tmp_path, "one"), ["mugs.dataset"], opened(server))
        repository = server.repository("team/mugs")
        kind, _ = repository.manifests[repository.tags["mugs.dataset"]]
        repository.manifests[repository.tags["mugs.dataset"]] = kind, b"{"
        server.asked.clear()
        moved = push(make(tmp_path, "two"), ["mugs.dataset"], opened(server))
    assert len(heads(server)) > FILES
    assert moved.blobs_sent


def test_what_is_small_is_asked_for_at_once(tmp_path: Path, opened: Opened) -> None:
    with RegistryServer() as server:
        push(make(tmp_path, "one", MANY // 2), ["mugs.dataset"], opened(server))
        server.asked.clear()
        push(make(tmp_path, "two", MANY // 2), ["mugs.dataset"], opened(server))
    assert len(heads(server)) > MANY // 2
