"""Manifests by tag and digest, and the lists of who refers to them."""

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from impatience import FAST
from registry_content import EMPTY, blob_of, content_of, file_of, index_of, manifest_of
from registry_faults import body, changed, header, redirect, status, unanswered
from registry_server import Answer, Fault, RegistryServer

from mmdet_jetson.registry import referrers
from mmdet_jetson.registry.place import Content, PlaceError
from mmdet_jetson.registry.repository import Repository
from mmdet_jetson.store.oci import INDEX, MANIFEST, Descriptor, digest_of

Opened = Callable[..., Repository]
MUG = manifest_of()
LIST = MUG.descriptor.digest.replace(":", "-")
"""The tag of the list of who refers to it."""
OTHER = manifest_of(annotations={"glaze": "blue"})
HANDLE = manifest_of(
    MUG, annotations={"glaze": "red"}, artifactType="application/vnd.example.handle"
)
SPOUT = manifest_of(MUG, artifactType="application/vnd.example.spout")


@pytest.fixture
def mugs(server: RegistryServer) -> RegistryServer:
    prepare(server)
    return server


@pytest.fixture
def listless() -> RegistryServer:
    """A registry without the API for referrers."""
    server = RegistryServer(referrers=False)
    prepare(server)
    return server


def prepare(server: RegistryServer) -> None:
    repository = server.repository("team/mugs")
    repository.blobs[blob_of(EMPTY).digest] = EMPTY
    repository.manifests[MUG.descriptor.digest] = (MANIFEST, MUG.content)
    repository.tags["v1"] = MUG.descriptor.digest


def refused(get: Callable[[], object]) -> str:
    with pytest.raises(PlaceError) as error:
        get()
    return str(error.value)


@pytest.mark.parametrize("reference", ["v1", MUG.descriptor.digest])
def test_a_manifest_is_found(reference: str, mugs: RegistryServer, opened: Opened) -> None:
    assert opened(mugs).manifest(reference) == MUG
    assert opened(mugs).resolve(reference) == MUG.descriptor


@pytest.mark.parametrize("reference", ["v2", OTHER.descriptor.digest])
def test_a_manifest_is_not_there(reference: str, mugs: RegistryServer, opened: Opened) -> None:
    assert opened(mugs).manifest(reference) is None
    assert opened(mugs).resolve(reference) is None
    assert opened(mugs, "team/none").resolve(reference) is None


@pytest.mark.parametrize("name", ["Docker-Content-Digest", "Content-Type"])
def test_a_head_that_does_not_tell_all(name: str, mugs: RegistryServer, opened: Opened) -> None:
    mugs.spoil("HEAD", "/manifests/", header(name, None))
    assert opened(mugs).resolve("v1") == MUG.descriptor
    assert mugs.paths("GET", "/manifests/") == ["/v2/team/mugs/manifests/v1"]


def test_bytes_are_what_they_were(mugs: RegistryServer, opened: Opened) -> None:
    content = b'{ "mediaType": "%s",\n"schemaVersion":2 , "layers": [] }\n' % MANIFEST.encode()
    odd = Content(
        Descriptor(media_type=MANIFEST, digest=digest_of(content), size=len(content)), content
    )
    opened(mugs).put_manifest(odd, ["odd", "odder"])
    assert mugs.repositories["team/mugs"].manifests[digest_of(content)] == (MANIFEST, content)
    assert opened(mugs).manifest("odder") == odd
    assert opened(mugs).tags() == ["odd", "odder", "v1"]


def test_an_index_after_its_manifests(mugs: RegistryServer, opened: Opened) -> None:
    repository, index = opened(mugs), index_of(MUG, OTHER)
    said = refused(lambda: repository.put_manifest(index, ["all"]))
    assert f"adding {index.descriptor.digest[:19]} as all: it answers 400 Bad Request" in said
    assert "MANIFEST_BLOB_UNKNOWN" in said
    repository.put_manifest(OTHER, [])
    repository.put_manifest(index, ["all"])
    found = repository.manifest("all")
    assert found == index
    assert found.descriptor.media_type == INDEX


def test_a_manifest_without_its_type(mugs: RegistryServer, opened: Opened) -> None:
    for kind in (None, "application/json", "text/plain; charset=utf-8"):
        mugs.spoil("GET", "/manifests/", header("Content-Type", kind))
        assert opened(mugs).manifest("v1") == MUG


JSON = {"Content-Type": MANIFEST}
WRONG: list[tuple[Fault, str]] = [
    (body(b"{}"), "answers with something else, of the digest"),
    (status(200, JSON, b""), "the answer is no manifest"),
    (status(200, JSON, b"[]"), "the answer is no manifest"),
    (status(200, JSON, b'{"schemaVersion": "2"}'), "the answer is no manifest"),
    (status(200, JSON, b"[" * (1 << 20)), "the answer is no manifest"),
    (status(200, JSON, b'{"a":' * 800_000), "the answer is no manifest"),
    (status(200, JSON, b" " * ((4 << 20) + 1)), "more than the 4,194,304 bytes that are allowed"),
    (status(200, {**JSON, "Content-Length": "999999999999999999999999"}, b"{}"), "more than the 4,194,304"),
    (status(200, {"Content-Type": "text/html"}, b"<html>"), "the answer is a web page"),
    (header("Content-Type", INDEX), f"the registry calls it {INDEX}, and it calls itself {MANIFEST}"),
    (header("Docker-Content-Digest", "sha256:" + "0" * 64), f"answers with something else, of the digest {MUG.descriptor.digest}"),
    (status(200, {"Content-Type": "application/vnd.docker.distribution.manifest.v1+json"}, b'{"schemaVersion": 1}'), "no manifest that is known here"),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "words"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_answer(fault: Fault, words: str, mugs: RegistryServer, opened: Opened) -> None:
    mugs.spoil("GET", "/manifests/", fault, times=9)
    said = refused(lambda: opened(mugs).manifest("v1"))
    assert said.startswith(f"{mugs.place('team/mugs')}: reading v1: ")
    assert words in said


def test_another_manifest_than_was_asked_for(mugs: RegistryServer, opened: Opened) -> None:
    lie = changed(lambda _: Answer(200, {"Content-Type": MANIFEST}, MUG.content))
    mugs.spoil("GET", "/manifests/", lie)
    said = refused(lambda: opened(mugs).manifest(OTHER.descriptor.digest))
    assert (
        f"the registry answers with something else, of the digest {MUG.descriptor.digest}" in said
    )


@pytest.mark.parametrize("digest", ["sha256:" + "0" * 64, "sha256:12", "\x1b[31m"])
def test_a_head_for_another_digest(digest: str, mugs: RegistryServer, opened: Opened) -> None:
    mugs.spoil("HEAD", "/manifests/", header("Docker-Content-Digest", digest))
    said = refused(lambda: opened(mugs).resolve(MUG.descriptor.digest))
    assert "the registry answers for another digest" in said
    assert "\x1b" not in said


def test_a_registry_that_takes_it_for_another(mugs: RegistryServer, opened: Opened) -> None:
    zeros = "sha256:" + "0" * 64
    mugs.spoil("PUT", "/manifests/", header("Docker-Content-Digest", zeros))
    assert f"the registry took it for {zeros}" in refused(
        lambda: opened(mugs).put_manifest(OTHER, ["v2"])
    )


def test_a_manifest_that_is_too_long_is_not_sent(mugs: RegistryServer, opened: Opened) -> None:
    large = manifest_of(annotations={"a": "b" * (4 << 20)})
    assert "it has over 4,194,304 bytes" in refused(
        lambda: opened(mugs).put_manifest(large, ["v2"])
    )
    assert mugs.paths("PUT") == []


def test_a_manifest_is_put_again_where_no_answer_came(mugs: RegistryServer, opened: Opened) -> None:
    mugs.spoil("PUT", "/manifests/", unanswered)
    mugs.spoil("PUT", "/manifests/", status(503))
    opened(mugs).put_manifest(OTHER, ["v2"])
    assert opened(mugs).resolve("v2") == OTHER.descriptor


# Who refers to what.


def digests(found: list[Descriptor]) -> set[str]:
    return {each.digest for each in found}


@pytest.fixture(params=[True, False], ids=["by the registry", "by its clients"])
def either(request: pytest.FixtureRequest) -> RegistryServer:
    server = RegistryServer(referrers=request.param)
    prepare(server)
    return server


def test_what_refers_to_a_manifest_is_found(either: RegistryServer, opened: Opened) -> None:
    with either:
        repository = opened(either)
        assert repository.referrers(MUG.descriptor.digest) == []
        repository.put_manifest(HANDLE, ["handle"])
        repository.put_manifest(SPOUT, ["spout"])
        repository.put_manifest(SPOUT, ["spout"])
        found = opened(either).referrers(MUG.descriptor.digest)
    assert digests(found) == digests([HANDLE.descriptor, SPOUT.descriptor])
    handle = next(each for each in found if each.digest == HANDLE.descriptor.digest)
    assert handle.annotations == {"glaze": "red"}
    assert handle.artifact_type == "application/vnd.example.handle"
    assert handle.size == HANDLE.descriptor.size


def test_a_list_of_the_registry_in_pages(opened: Opened) -> None:
    with RegistryServer(page=1) as server:
        prepare(server)
        for content in (HANDLE, SPOUT):
            opened(server).put_manifest(content, [])
        found = opened(server).referrers(MUG.descriptor.digest)
    assert digests(found) == digests([HANDLE.descriptor, SPOUT.descriptor])


def test_where_the_registry_keeps_the_list_nobody_else_does(
    mugs: RegistryServer, opened: Opened
) -> None:
    repository = opened(mugs)
    repository.put_manifest(HANDLE, ["handle"])
    assert repository.tags() == ["handle", "v1"]


def test_the_list_of_clients_is_that_of_the_specification(
    listless: RegistryServer, opened: Opened
) -> None:
    with listless:
        opened(listless).put_manifest(HANDLE, ["handle"])
        there = listless.repositories["team/mugs"]
        digest = there.tags[LIST]
    kind, content = there.manifests[digest]
    assert kind == INDEX
    assert json.loads(content) == {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [
            {
                "mediaType": MANIFEST,
                "digest": HANDLE.descriptor.digest,
                "size": HANDLE.descriptor.size,
                "artifactType": "application/vnd.example.handle",
                "annotations": {"glaze": "red"},
            }
        ],
    }


def test_entries_of_others_stay_as_they_are(listless: RegistryServer, opened: Opened) -> None:
    theirs = {"mediaType": MANIFEST, "digest": OTHER.descriptor.digest, "size": 5, "x-future": [1], "annotations": {"a": "b"}}  # fmt: skip
    unknown = {"mediaType": MANIFEST, "digest": "sha512:" + "0" * 128, "size": 5}
    written = content_of({"schemaVersion": 2, "mediaType": INDEX, "manifests": [theirs, unknown]})
    with listless:
        there = listless.repositories["team/mugs"]
        there.manifests[OTHER.descriptor.digest] = (MANIFEST, OTHER.content)
        there.manifests[str(unknown["digest"])] = (MANIFEST, b"")
        there.manifests[written.descriptor.digest] = (INDEX, written.content)
        there.tags[LIST] = written.descriptor.digest
        repository = opened(listless)
        repository.put_manifest(HANDLE, [])
        entries = json.loads(there.manifests[there.tags[LIST]][1])["manifests"]
        assert entries[:2] == [theirs, unknown]
        assert digests(repository.referrers(MUG.descriptor.digest)) == digests(
            [OTHER.descriptor, HANDLE.descriptor]
        )


def test_an_entry_of_what_was_deleted_goes(listless: RegistryServer, opened: Opened) -> None:
    with listless:
        repository = opened(listless)
        for content in (HANDLE, SPOUT):
            repository.put_manifest(content, [])
        there = listless.repositories["team/mugs"]
        del there.manifests[HANDLE.descriptor.digest]
        repository.put_manifest(manifest_of(MUG, annotations={"a": "b"}), [])
        listed = json.loads(there.manifests[there.tags[LIST]][1])["manifests"]
    assert len(listed) == 2
    assert HANDLE.descriptor.digest not in {entry["digest"] for entry in listed}


def test_writers_at_once_lose_nothing(listless: RegistryServer, opened: Opened) -> None:
    parts = [manifest_of(MUG, annotations={"number": str(number)}) for number in range(12)]
    barrier = threading.Barrier(len(parts), timeout=60)

    def write(content: Content) -> None:
        repository = opened(listless)
        repository.resolve("v1")
        barrier.wait()
        repository.put_manifest(content, [])

    with listless:
        threads = [threading.Thread(target=write, args=(part,)) for part in parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        there = listless.repositories["team/mugs"]
        listed = there.manifests[there.tags[LIST]][1]
    entries = {entry["digest"] for entry in json.loads(listed)["manifests"]}
    assert entries == digests([part.descriptor for part in parts])


def test_one_that_overwrites_what_it_never_saw_puts_it_back(
    listless: RegistryServer, opened: Opened
) -> None:
    """The case that looking for one's own entry alone does not find."""
    with listless:
        first, second = opened(listless), opened(listless)

        def meanwhile(handler: object) -> None:
            first.put_manifest(HANDLE, [])
            handler.send(handler.answer())  # type: ignore[attr-defined]

        listless.spoil("PUT", rf"/manifests/{LIST}$", meanwhile)
        second.put_manifest(SPOUT, [])
        there = listless.repositories["team/mugs"]
        entries = json.loads(there.manifests[there.tags[LIST]][1])["manifests"]
    assert {entry["digest"] for entry in entries} == digests([HANDLE.descriptor, SPOUT.descriptor])


def test_one_that_was_killed_before_it_wrote_the_list_is_found(
    listless: RegistryServer, opened: Opened
) -> None:
    with listless:
        listless.spoil("PUT", rf"/manifests/{LIST}$", status(403))
        refused(lambda: opened(listless).put_manifest(HANDLE, []))
        assert LIST not in listless.repositories["team/mugs"].tags
        assert digests(opened(listless).referrers(MUG.descriptor.digest)) == {
            HANDLE.descriptor.digest
        }


def test_others_that_never_stop_overwriting(
    listless: RegistryServer, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(referrers, "_LONGEST_PAUSE", 0)
    with listless:
        ignored = status(201, {})
        listless.spoil("PUT", rf"/manifests/{LIST}$", ignored, times=100)
        said = refused(lambda: opened(listless).put_manifest(HANDLE, []))
    assert "others keep overwriting the list of who refers to" in said


def test_the_api_is_asked_for_once(listless: RegistryServer, opened: Opened) -> None:
    with listless:
        repository = opened(listless)
        for _ in range(3):
            repository.referrers(MUG.descriptor.digest)
        assert len(listless.paths("GET", "/referrers/")) == 1


HTML = {"Content-Type": "text/html; charset=utf-8"}


@pytest.mark.parametrize(
    "answer",
    [
        status(400),
        status(406),
        status(405),
        status(404, HTML, b"<html>"),
        status(200, HTML, b"<html>Log in!"),
        redirect("/somewhere/else.html", 303),
        redirect("/v2/team/mugs/referrers/again", 302),
        redirect("http://far.example/login", 302),
    ],
    ids=range(8),
)
def test_a_registry_says_in_many_ways_that_it_has_no_api(
    answer: Fault, listless: RegistryServer, opened: Opened
) -> None:
    with listless:
        listless.spoil("GET", "/referrers/", answer, times=99)
        listless.spoil("GET", "/somewhere/", status(200, HTML, b"<html>Log in!"), times=99)
        repository = opened(listless)
        repository.put_manifest(HANDLE, [])
        assert digests(repository.referrers(MUG.descriptor.digest)) == {HANDLE.descriptor.digest}


def test_a_list_that_goes_on_elsewhere_is_not_taken_for_none(
    mugs: RegistryServer, opened: Opened
) -> None:
    following = '</v2/team/mugs/referrers/more>; rel="next"'
    repository = opened(mugs)
    repository.put_manifest(HANDLE, [])
    mugs.spoil("GET", "/referrers/", header("Link", following))
    mugs.spoil("GET", "/referrers/", status(200, HTML, b"<html>Log in!"), times=2)
    assert "is a web page" in refused(lambda: repository.referrers(MUG.descriptor.digest))
    assert "is a web page" in refused(lambda: repository.referrers(MUG.descriptor.digest))


def test_a_registry_with_the_api_may_not_know_the_repository_yet(
    mugs: RegistryServer, opened: Opened
) -> None:
    unknown = json.dumps({"errors": [{"code": "NAME_UNKNOWN"}]}).encode()
    mugs.spoil("GET", "/referrers/", status(404, {}, unknown))
    repository = opened(mugs)
    assert repository.referrers(MUG.descriptor.digest) == []
    repository.put_manifest(HANDLE, [])
    assert digests(repository.referrers(MUG.descriptor.digest)) == {HANDLE.descriptor.digest}


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (status(200, {"Content-Type": INDEX}, b"{"), "the answer cannot be read"),
        (status(200, {"Content-Type": INDEX}, b'{"manifests": 5}'), "the answer cannot be read"),
        (status(200, {"Content-Type": INDEX}, b'{"manifests":' + b"[" * 500_000), "cannot be read"),
        (status(200, {"Content-Type": "image/png"}, b"{}"), "the answer is image/png"),
        (status(403), "it answers 403 Forbidden"),
    ],
    ids=range(5),
)
def test_a_list_that_is_none(
    fault: Fault, words: str, mugs: RegistryServer, opened: Opened
) -> None:
    mugs.spoil("GET", "/referrers/", fault)
    said = refused(lambda: opened(mugs).referrers(MUG.descriptor.digest))
    assert "asking who refers to sha256:" in said
    assert words in said


def test_a_manifest_and_its_blob(mugs: RegistryServer, opened: Opened, tmp_path: Path) -> None:
    repository = opened(mugs, "team/new", patience=FAST)
    repository.write(blob_of(EMPTY), file_of(EMPTY, tmp_path), lambda _: None)
    repository.put_manifest(MUG, ["v1"])
    assert mugs.repositories["team/new"].tags == {"v1": MUG.descriptor.digest}
