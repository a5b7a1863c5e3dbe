"""Blobs up and down: streams, resumption, and every wrong body there may be."""

import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from impatience import FAST
from registry_content import blob_of, file_of
from registry_faults import (
    changed,
    cut_answer,
    cut_request,
    drip,
    endless,
    header,
    paused,
    redirect,
    status,
    unanswered,
)
from registry_server import Answer, Fault, Handler, RegistryServer

from mmdet_jetson.registry import connections, downloads, uploads
from mmdet_jetson.registry.place import PlaceError
from mmdet_jetson.registry.repository import Repository
from mmdet_jetson.store.oci import Descriptor

Opened = Callable[..., Repository]
SMALL = b"a mug" * 1000
LARGE = os.urandom(3 << 20)
"""More than goes over in one request."""
BLOB, BIG = blob_of(SMALL), blob_of(LARGE)


@pytest.fixture(autouse=True)
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "WHOLE", 1 << 20)
    monkeypatch.setattr(downloads, "_LARGE", 1 << 20)


@pytest.fixture
def mugs(server: RegistryServer) -> RegistryServer:
    """A server with both blobs."""
    server.repository("team/mugs").blobs.update({BLOB.digest: SMALL, BIG.digest: LARGE})
    return server


def read(repository: Repository, blob: Descriptor, start: int = 0) -> bytes:
    with repository.read(blob, start) as blocks:
        return b"".join(blocks)


def refused(repository: Repository, blob: Descriptor = BLOB, start: int = 0) -> str:
    with pytest.raises(PlaceError) as error:
        read(repository, blob, start)
    return error.value.message


def write(repository: Repository, content: bytes, folder: Path) -> list[int]:
    told: list[int] = []
    repository.write(blob_of(content), file_of(content, folder), told.append)
    return told


# Down.


def test_a_blob_comes_in_blocks(mugs: RegistryServer, opened: Opened) -> None:
    with opened(mugs).read(BIG) as blocks:
        sizes = [len(block) for block in blocks]
    assert sizes == [1 << 18] * 12
    assert read(opened(mugs), BIG) == LARGE


def test_a_blob_may_be_a_web_page(mugs: RegistryServer, opened: Opened) -> None:
    """A report is one, and a registry in Go that sets no type says so by looking at it."""
    mugs.spoil("GET", "/blobs/", header("Content-Type", "text/html; charset=utf-8"))
    assert read(opened(mugs), BIG) == LARGE


def test_the_rest_of_a_blob(mugs: RegistryServer, opened: Opened) -> None:
    assert read(opened(mugs), BIG, 2_000_000) == LARGE[2_000_000:]
    assert mugs.asked[-1].headers["Range"] == "bytes=2000000-"


def test_nothing_is_asked_for_where_nothing_is_left(mugs: RegistryServer, opened: Opened) -> None:
    assert read(opened(mugs), BIG, len(LARGE)) == b""
    assert read(opened(mugs), blob_of(b"")) == b""
    assert mugs.paths("GET", "/blobs/") == []


def test_a_registry_without_ranges(mugs: RegistryServer, opened: Opened) -> None:
    whole = status(200, {}, LARGE)
    mugs.spoil("GET", "/blobs/", whole)
    assert read(opened(mugs), BIG, 2_000_000) == LARGE[2_000_000:]


def test_a_blob_goes_on_where_it_broke_off(mugs: RegistryServer, opened: Opened) -> None:
    for _ in range(4):  # more often than is tried without progress
        mugs.spoil("GET", "/blobs/", cut_answer(600_000))
    assert read(opened(mugs), BIG) == LARGE
    starts = [a.headers.get("Range", "") for a in mugs.asked if "/blobs/" in a.path]
    assert starts == ["", *[f"bytes={600_000 * n}-" for n in range(1, 5)]]


def test_a_byte_each_time_is_no_progress(mugs: RegistryServer, opened: Opened) -> None:
    mugs.spoil("GET", "/blobs/", cut_answer(1), times=20)
    assert "the connection broke off" in refused(opened(mugs), BIG)
    assert len(mugs.paths("GET", "/blobs/")) == 3


def test_connections_are_given_back(mugs: RegistryServer, opened: Opened) -> None:
    repository = opened(mugs)
    for _ in range(5):
        assert read(repository, BLOB) == SMALL
    assert len(mugs.connections) == 1 + 1  # the first was for TLS


def test_a_reader_that_stops_does_not_wait_for_a_dead_network(
    mugs: RegistryServer, opened: Opened
) -> None:
    is_over = threading.Event()

    def stuck(handler: Handler) -> None:
        handler.send(handler.answer(), upto=1 << 20)
        handler.wfile.flush()
        is_over.wait(30)

    mugs.spoil("GET", "/blobs/", stuck, times=9)
    repository = opened(mugs, patience=replace(FAST, silence=1))
    before = set(threading.enumerate())
    with repository.read(BIG) as blocks:
        for _ in range(4):
            next(blocks)
        new = [each for each in set(threading.enumerate()) - before if each.name == "ahead"]
        assert [each.daemon for each in new] == [True]  # it keeps no command from ending
    assert len(mugs.paths("GET", "/blobs/")) == 1
    is_over.set()
    for thread in new:
        thread.join(30)
    assert len(mugs.paths("GET", "/blobs/")) == 1  # nor was it asked again behind its back


def test_a_reader_may_stop_early(mugs: RegistryServer, opened: Opened) -> None:
    repository = opened(mugs)
    with repository.read(BIG) as blocks:
        next(blocks)
    assert read(repository, BLOB) == SMALL


def test_errors_of_the_reader_are_its_own(mugs: RegistryServer, opened: Opened) -> None:
    def consume() -> None:
        with opened(mugs).read(BIG) as blocks:
            next(blocks)
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        consume()


def test_a_blob_that_is_not_there(mugs: RegistryServer, opened: Opened) -> None:
    said = refused(opened(mugs), blob_of(b"none"))
    assert "it answers 404 Not Found: BLOB_UNKNOWN blob unknown" in said


WRONG: list[tuple[Fault, str]] = [
    (cut_answer(0), "the connection broke off"),
    (header("Content-Length", "4999"), "the registry has 4,999 bytes, and it should be 5,000"),
    (header("Content-Length", "5001"), "the registry has 5,001 bytes, and it should be 5,000"),
    (status(200, {}, SMALL[:-1]), "the registry has 4,999 bytes, and it should be 5,000"),
    (status(200, {}, b""), "the registry has 0 bytes"),
    (endless, "it goes on after its 5,000 bytes"),
    (header("Content-Encoding", "gzip"), "it comes compressed, which was not asked for"),
    (status(206, {"Content-Range": "bytes 7-4999/5000"}, SMALL), "the registry sends bytes 7-4999/5000"),
    (status(206, {}, SMALL), "the registry sends an unknown part"),
    (status(204), "it answers 204 No Content"),
    (status(999), "it answers 999"),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "words"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_body(fault: Fault, words: str, mugs: RegistryServer, opened: Opened) -> None:
    mugs.spoil("GET", "/blobs/", fault, times=9)
    said = refused(opened(mugs))
    assert said.startswith(f"{mugs.place('team/mugs')}: reading the blob {BLOB.digest[7:19]}: ")
    assert words in said


def test_a_body_in_chunks_that_ends_early(mugs: RegistryServer, opened: Opened) -> None:
    chunked = Answer(200, {"Transfer-Encoding": "chunked"}, b"3\r\nmug\r\n0\r\n\r\n")

    def without_length(handler: object) -> None:
        handler.receive()  # type: ignore[attr-defined]
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked.body)  # type: ignore[attr-defined]

    mugs.spoil("GET", "/blobs/", without_length)
    assert "it ends after 3 of 5,000 bytes" in refused(opened(mugs))


def test_the_rest_of_another_size(mugs: RegistryServer, opened: Opened) -> None:
    larger = replace_size(BLOB, 6000)
    assert "sends bytes 100-4999/5000, and asked for was 100-5999" in refused(
        opened(mugs), larger, 100
    )
    assert "it answers 416" in refused(opened(mugs), larger, 5500)


@pytest.mark.parametrize("in_headers", [False, True])
def test_a_slow_drip(in_headers: bool, mugs: RegistryServer, opened: Opened) -> None:
    mugs.spoil("GET", "/blobs/", drip(0.01, in_headers), times=9)
    assert "it is too slow to ever end" in refused(opened(mugs))
    assert len(mugs.paths("GET", "/blobs/")) == 1


def test_a_slow_reader_is_no_slow_registry(
    server: RegistryServer, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = LARGE[: 1 << 20]  # of a larger one, another thread receives while the reader works
    server.repository("team/mugs").blobs[blob_of(content).digest] = content
    now = 0.0
    clock = SimpleNamespace(monotonic=lambda: now)
    monkeypatch.setattr(connections, "time", clock)
    patience = replace(FAST, window=600, pace=1 << 20)
    sizes = []
    with opened(server, patience=patience).read(blob_of(content)) as blocks:
        for block in blocks:
            sizes.append(len(block))
            now += 1000
    assert sizes == [1 << 18] * 4
    assert len(server.paths("GET", "/blobs/")) == 1


def test_a_blob_may_lie_elsewhere_without_credentials(
    opened: Opened, log_in: Callable[..., None]
) -> None:
    with RegistryServer(auth="basic") as server, RegistryServer() as other:
        log_in(server)
        other.repository("storage").blobs[BIG.digest] = LARGE
        target = f"{other.url}/v2/storage/blobs/{BIG.digest}"
        server.spoil("GET", "/blobs/", redirect(target), times=9)
        other.spoil("GET", "/blobs/", cut_answer(1_000_000))
        assert read(opened(server), BIG) == LARGE
        assert [a.headers.get("Range") for a in other.asked] == [None, "bytes=1000000-"]
        assert not any("Authorization" in a.headers for a in other.asked)


def replace_size(blob: Descriptor, size: int) -> Descriptor:
    return Descriptor(media_type=blob.media_type, digest=blob.digest, size=size)


# Whether one is there.


def test_whether_a_blob_is_there(mugs: RegistryServer, opened: Opened) -> None:
    assert opened(mugs).has(BLOB)
    assert not opened(mugs).has(blob_of(b"none"))
    with pytest.raises(
        PlaceError, match="has 5,000 bytes of that digest, and it is the digest of 1"
    ):
        opened(mugs).has(replace_size(BLOB, 1))


# Up.


@pytest.mark.parametrize("content", [b"", SMALL, LARGE], ids=["nothing", "small", "large"])
@pytest.mark.parametrize("is_strict", [False, True])
def test_a_blob_goes_up(content: bytes, is_strict: bool, opened: Opened, tmp_path: Path) -> None:
    with RegistryServer(is_strict=is_strict) as server:
        told = write(opened(server), content, tmp_path)
        assert server.repositories["team/mugs"].blobs == {blob_of(content).digest: content}
        assert sum(told) == len(content)
        methods = [a.method for a in server.asked[1:]]
    assert methods == (["POST", "PATCH", "PUT"] if content is LARGE else ["POST", "PUT"])
    assert list((tmp_path / "notes").glob("*.json")) == []


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("is_strict", [False, True])
@pytest.mark.parametrize("keeps_cut", [False, True])
@pytest.mark.parametrize(
    ("method", "fault"),
    [("POST", unanswered), ("PUT", unanswered), ("PUT", cut_request(0)), ("PUT", status(503)), ("PATCH", unanswered), ("PATCH", cut_request(1_000_000)), ("PATCH", status(502))],
    ids=range(7),
)  # fmt: skip
def test_a_blob_goes_up_in_spite_of(  # noqa: PLR0917
    method: str,
    fault: Fault,
    content: bytes,
    is_strict: bool,
    keeps_cut: bool,
    opened: Opened,
    tmp_path: Path,
) -> None:
    with RegistryServer(is_strict=is_strict, keeps_cut=keeps_cut) as server:
        server.spoil(method, "/uploads/", fault, times=2)
        told = write(opened(server), content, tmp_path)
        assert server.repositories["team/mugs"].blobs == {blob_of(content).digest: content}
    assert sum(told) == len(content)


def test_only_the_rest_is_sent(server: RegistryServer, opened: Opened, tmp_path: Path) -> None:
    server.spoil("PATCH", "/uploads/", cut_request(1_000_000))
    write(opened(server), LARGE, tmp_path)
    ranges = [(a.headers.get("Content-Range"), a.size) for a in server.asked if a.method == "PATCH"]
    assert ranges[1] == (f"1000000-{len(LARGE) - 1}", len(LARGE) - 1_000_000)


def test_another_process_goes_on(server: RegistryServer, opened: Opened, tmp_path: Path) -> None:
    server.spoil("PATCH", "/uploads/", cut_request(1_000_000), times=3)
    with pytest.raises(PlaceError, match="the connection broke off"):
        write(opened(server, patience=replace(FAST, attempts=1)), LARGE, tmp_path)
    note = next((tmp_path / "notes").glob("*.json"))
    assert note.stat().st_mode & 0o077 == 0
    server._faults.clear()
    server.asked.clear()
    told = write(opened(server), LARGE, tmp_path)
    assert [a.method for a in server.asked] == ["GET", "GET", "PATCH", "PUT"]
    assert server.asked[2].size == len(LARGE) - 1_000_000
    assert told[0] == 1_000_000
    assert sum(told) == len(LARGE)


def test_a_note_of_an_upload_that_is_gone(
    server: RegistryServer, opened: Opened, tmp_path: Path
) -> None:
    server.spoil("PATCH", "/uploads/", cut_request(1_000_000))
    with pytest.raises(PlaceError):
        write(opened(server, patience=replace(FAST, attempts=1)), LARGE, tmp_path)
    server.repositories["team/mugs"].uploads.clear()
    write(opened(server), LARGE, tmp_path)
    assert server.repositories["team/mugs"].blobs == {BIG.digest: LARGE}


@pytest.mark.parametrize("note", [b"", b"{", b"[]", b"\xff", b'{"path": 5, "offset": 0}'])
def test_a_damaged_note(
    note: bytes, server: RegistryServer, opened: Opened, tmp_path: Path
) -> None:
    server.spoil("PATCH", "/uploads/", cut_request(1_000_000))
    with pytest.raises(PlaceError):
        write(opened(server, patience=replace(FAST, attempts=1)), LARGE, tmp_path)
    next((tmp_path / "notes").glob("*.json")).write_bytes(note)
    write(opened(server), LARGE, tmp_path)
    assert server.repositories["team/mugs"].blobs == {BIG.digest: LARGE}


def test_an_upload_that_somebody_spoiled_starts_anew(
    server: RegistryServer, opened: Opened, tmp_path: Path
) -> None:
    server.spoil("PATCH", "/uploads/", cut_request(1_000_000))
    with pytest.raises(PlaceError):
        write(opened(server, patience=replace(FAST, attempts=1)), LARGE, tmp_path)
    upload = next(iter(server.repositories["team/mugs"].uploads.values()))
    upload[:] = bytes(len(upload))
    told = write(opened(server), LARGE, tmp_path)
    assert server.repositories["team/mugs"].blobs == {BIG.digest: LARGE}
    assert sum(told) == len(LARGE)


def test_two_at_the_same_upload_do_not_share_it(
    server: RegistryServer, opened: Opened, tmp_path: Path
) -> None:
    repository, other = opened(server), opened(server)
    source = file_of(LARGE, tmp_path)
    started: list[int] = []

    def meanwhile(_: int) -> None:
        if not started:
            started.append(1)
            other.write(BIG, source, lambda _: None)

    repository.write(BIG, source, meanwhile)
    assert server.repositories["team/mugs"].blobs == {BIG.digest: LARGE}
    assert len(server.paths("POST")) == 2


def test_a_file_that_is_not_the_blob(
    server: RegistryServer, opened: Opened, tmp_path: Path
) -> None:
    with pytest.raises(PlaceError, match="has 5,000 bytes, not the 3,145,728 of its blob"):
        opened(server).write(BIG, file_of(SMALL, tmp_path), lambda _: None)
    for content in (SMALL, LARGE):
        source = file_of(content, tmp_path)
        source.write_bytes(bytes(len(content)))
        with pytest.raises(PlaceError, match="400 Bad Request: DIGEST_INVALID"):
            opened(server).write(blob_of(content), source, lambda _: None)
    assert server.repositories["team/mugs"].blobs == {}


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_an_upload_does_not_go_to_another_host(
    content: bytes, opened: Opened, log_in: Callable[..., None], tmp_path: Path
) -> None:
    with RegistryServer(auth="basic") as server, RegistryServer() as other:
        log_in(server)
        server.spoil("POST", "/uploads/", header("Location", f"{other.url}/v2/x/blobs/uploads/1"))
        with pytest.raises(PlaceError) as error:
            write(opened(server), content, tmp_path)
        assert f"sends on to {other.url}, another host" in error.value.message
        assert other.asked == []


def test_an_upload_is_not_redirected(
    server: RegistryServer, opened: Opened, tmp_path: Path
) -> None:
    with RegistryServer() as other:
        server.spoil("PUT", "/uploads/", redirect(f"{other.url}/x"))
        with pytest.raises(PlaceError, match="it answers 307"):
            write(opened(server), SMALL, tmp_path)
        assert other.asked == []


def test_a_registry_behind_a_proxy_may_forget_its_tls(opened: Opened, tmp_path: Path) -> None:
    def with_http(answer: Answer) -> None:
        answer.headers["Location"] = f"http://127.0.0.1{answer.headers['Location']}"

    with RegistryServer(tls=tmp_path / "tls") as server:
        server.spoil("POST", "/uploads/", changed(with_http))
        write(opened(server), SMALL, tmp_path)
        assert server.repositories["team/mugs"].blobs == {BLOB.digest: SMALL}


@pytest.mark.parametrize("told", ["0-99999999999", "0-x", "5-9", "bytes", ""])
def test_a_status_that_means_nothing(
    told: str, server: RegistryServer, opened: Opened, tmp_path: Path
) -> None:
    server.spoil("PATCH", "/uploads/", cut_request(1_000_000))
    server.spoil("GET", "/uploads/", header("Range", told))
    write(opened(server), LARGE, tmp_path)
    assert server.repositories["team/mugs"].blobs == {BIG.digest: LARGE}


def test_what_a_registry_does_not_take(
    server: RegistryServer, opened: Opened, tmp_path: Path
) -> None:
    server.spoil("PATCH", "/uploads/", status(413), times=9)
    with pytest.raises(PlaceError, match=r"sending the blob [0-9a-f]{12}: it answers 413"):
        write(opened(server), LARGE, tmp_path)
    assert len(server.paths("PATCH")) == 1


def test_an_upload_that_is_lost_starts_anew(
    server: RegistryServer, opened: Opened, tmp_path: Path
) -> None:
    server.spoil("PATCH", "/uploads/", status(404), times=2)
    write(opened(server), LARGE, tmp_path)
    assert server.repositories["team/mugs"].blobs == {BIG.digest: LARGE}


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/uploads/"), ("HEAD", "/blobs/"), ("GET", "/uploads/")]
)
def test_retries_do_not_multiply(  # noqa: PLR0917
    method: str, path: str, content: bytes, server: RegistryServer, opened: Opened, tmp_path: Path
) -> None:
    server.spoil(method, path, status(503), times=99)
    server.spoil("PUT", "/uploads/", cut_request(0), times=99)
    with pytest.raises(PlaceError):
        write(opened(server), content, tmp_path)
    asked = len(server.paths(method, path))
    if content is SMALL and method == "GET":
        assert asked == 0  # it goes over in one request, so there is no rest to ask for
    else:
        assert 0 < asked <= 4  # of a large one the first brings progress


def test_a_registry_that_does_not_read(opened: Opened, tmp_path: Path) -> None:
    is_over = threading.Event()

    def stuck(_: object) -> None:
        is_over.wait(30)

    with RegistryServer() as server:
        server.spoil("PATCH", "/uploads/", stuck, times=9)
        with pytest.raises(PlaceError, match="no answer for too long"):
            write(opened(server, patience=replace(FAST, silence=1)), LARGE, tmp_path)
        is_over.set()
        assert server.paths("PATCH")


@pytest.mark.parametrize("is_secure", [False, True], ids=["plain", "secure"])
def test_a_registry_may_pause_longer_than_connecting_takes(
    *, is_secure: bool, opened: Opened, tmp_path: Path
) -> None:
    content = os.urandom(12 << 20)  # more than the kernel takes for a reader that does not read
    with RegistryServer(tls=tmp_path / "tls" if is_secure else None) as server:
        server.spoil("PATCH", "/uploads/", paused(2))
        place = opened(server, patience=replace(FAST, connect=0.5, silence=20))
        assert write(place, content, tmp_path)
        assert len(server.paths("PATCH")) == 1


def test_progress_counts_what_goes_over(
    server: RegistryServer, opened: Opened, tmp_path: Path
) -> None:
    assert write(opened(server), LARGE, tmp_path) == [1 << 18] * 12
