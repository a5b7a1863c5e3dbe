import errno
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from site_in_a_thread import Handler, Site, drop_after, server_of, status

from mmdet_jetson.config.sources import Source
from mmdet_jetson.errors import ConfigError, UserError
from mmdet_jetson.fetching import download, sources
from mmdet_jetson.fetching.sources import fetch

CONTENT = os.urandom(3 << 20)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
OTHER = hashlib.sha256(b"other").hexdigest()


@pytest.fixture(autouse=True)
def _no_pauses_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_PAUSE_SECONDS", 0.001)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site({"a.zip": CONTENT})
    server = server_of(site)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield site
    server.shutdown()
    thread.join()
    server.server_close()


class Cache:
    """One machine's downloads folder and one project's lock file."""

    def __init__(self, folder: Path) -> None:
        self.downloads = folder / "downloads"
        self.lock_file = folder / "configs" / "sources.lock"
        self.progress: list[tuple[int, int | None]] = []

    def get(
        self,
        url: str,
        sha256: str | None = None,
        size: int | None = None,
        mirrors: Sequence[object] = (),
        *,
        offline: bool = False,
    ) -> Path:
        return fetch(
            "balloon",
            Source(url, sha256, size),
            downloads=self.downloads,
            mirrors=[str(mirror) for mirror in mirrors],
            lock_file=self.lock_file,
            progress=lambda done, total: self.progress.append((done, total)),
            offline=offline,
        )

    def finished(self) -> list[Path]:
        return list(self.downloads.glob("sha256/*/[!.]*"))

    def partials(self) -> list[Path]:
        return list(self.downloads.glob("partial/*/*.partial"))


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path)


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    folder = tmp_path / "mirror of ours"
    folder.mkdir()
    (folder / "a.zip").write_bytes(CONTENT)
    return folder


@pytest.fixture
def closed_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


# Where a file comes from


def test_from_its_url_by_digest(site: Site, cache: Cache) -> None:
    file = cache.get(f"{site.url}/a.zip", DIGEST, len(CONTENT))
    assert file == cache.downloads / "sha256" / DIGEST / "a.zip"
    assert file.read_bytes() == CONTENT
    assert cache.progress[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in cache.progress] == sorted(done for done, _ in cache.progress)
    assert not cache.lock_file.exists()
    assert not list(cache.downloads.glob("partial/*"))


@pytest.mark.parametrize("form", [str, Path.as_uri], ids=["path", "file-url"])
def test_from_a_local_file(cache: Cache, mirror: Path, form: Callable[[Path], str]) -> None:
    url = form(mirror / "a.zip")
    assert cache.get(url, DIGEST, offline=True).read_bytes() == CONTENT
    assert cache.progress[-1] == (len(CONTENT), len(CONTENT))


@pytest.mark.parametrize("form", [str, Path.as_uri], ids=["path", "file-url"])
def test_a_mirror_goes_first(
    site: Site, cache: Cache, mirror: Path, form: Callable[[Path], str]
) -> None:
    cache.get(f"{site.url}/a.zip", DIGEST, mirrors=[form(mirror)])
    assert site.asked == []


def test_the_next_location_is_tried(site: Site, cache: Cache, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    (wrong / "a.zip").write_bytes(b"an old release")
    mirrors = [tmp_path / "gone", wrong, f"{site.url}/none/", site.url]
    file = cache.get("https://upstream.invalid/deep/a.zip?token=1", DIGEST, mirrors=mirrors)
    assert file.read_bytes() == CONTENT
    assert cache.finished() == [file]


def test_names_with_spaces_at_a_web_mirror(site: Site, cache: Cache, mirror: Path) -> None:
    site.files["my%20pictures.zip"] = CONTENT
    assert cache.get("/nowhere/my pictures.zip", DIGEST, mirrors=[site.url]).exists()


# Nothing to do


def test_a_known_digest_needs_no_network_and_no_hashing(
    site: Site, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = cache.get(f"{site.url}/a.zip", DIGEST)
    monkeypatch.setattr(sources, "sha256_file", lambda _: pytest.fail("it was hashed again"))
    assert cache.get(f"{site.url}/a.zip", DIGEST) == first
    assert len(site.asked) == 1


def test_nothing_to_do_does_not_import_requests(cache: Cache, mirror: Path) -> None:
    script = (
        "import sys; from pathlib import Path;"
        "from mmdet_jetson.config.sources import Source;"
        "from mmdet_jetson.fetching.sources import fetch;"
        f"fetch('n', Source({str(mirror / 'a.zip')!r}, {DIGEST!r}), mirrors=(), offline=True,"
        f"downloads=Path({str(cache.downloads)!r}), lock_file=Path('none'), progress=print);"
        "sys.exit('requests' in sys.modules or 'tenacity' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment)


def test_a_touched_file_is_hashed_and_kept(site: Site, cache: Cache) -> None:
    file = cache.get(f"{site.url}/a.zip", DIGEST)
    os.utime(file, (1, 1))
    assert cache.get(f"{site.url}/a.zip", DIGEST) == file
    assert len(site.asked) == 1


def test_a_damaged_file_is_fetched_again(site: Site, cache: Cache) -> None:
    file = cache.get(f"{site.url}/a.zip", DIGEST)
    file.chmod(0o644)
    file.write_bytes(b"damaged")
    assert cache.get(f"{site.url}/a.zip", DIGEST).read_bytes() == CONTENT
    assert len(site.asked) == 2


# Digests


def test_an_unknown_digest_is_recorded_and_enforced(site: Site, cache: Cache) -> None:
    url = f"{site.url}/a.zip"
    cache.get(url)
    entry = json.loads(cache.lock_file.read_text())["balloon"]
    assert entry.pop("recorded") == time.strftime("%Y-%m-%d", time.gmtime())
    assert entry == {"url": url, "sha256": DIGEST, "size": len(CONTENT)}
    cache.get(url)
    assert len(site.asked) == 1

    site.files["a.zip"] = b"other"
    elsewhere = Cache(cache.downloads.parent / "another machine")
    elsewhere.lock_file = cache.lock_file
    with pytest.raises(UserError, match=f"has the SHA-256 {OTHER}, expected {DIGEST}") as caught:
        elsewhere.get(url)
    assert f"correct what {cache.lock_file} says" in caught.value.hint


def test_another_url_is_recorded_anew(site: Site, cache: Cache) -> None:
    site.files["b.zip"] = b"other"
    cache.get(f"{site.url}/a.zip")
    cache.get(f"{site.url}/b.zip")
    assert json.loads(cache.lock_file.read_text())["balloon"]["sha256"] == OTHER


def test_the_lock_file_is_sorted_lines(site: Site, cache: Cache) -> None:
    cache.lock_file.parent.mkdir()
    entry = {"url": "u", "sha256": "0", "size": 1, "recorded": "2020-01-01"}
    cache.lock_file.write_text(json.dumps({"zebra": entry, "apple": entry}))
    cache.get(f"{site.url}/a.zip")
    lines = cache.lock_file.read_text().splitlines()
    assert [line.strip() for line in lines if line.endswith("{")] == [
        "{",
        '"apple": {',
        '"balloon": {',
        '"zebra": {',
    ]
    assert [path.name for path in cache.lock_file.parent.iterdir()] == ["sources.lock"]


@pytest.mark.parametrize("text", ["{", '{"balloon": {"url": 1}}', "\xff", '{"a": {"size": 1}}'])
def test_a_damaged_lock_file(site: Site, cache: Cache, text: str) -> None:
    cache.lock_file.parent.mkdir()
    cache.lock_file.write_text(text, encoding="latin-1")
    with pytest.raises(ConfigError, match=r"sources\.lock cannot be understood"):
        cache.get(f"{site.url}/a.zip")
    assert site.asked == []


def test_a_wrong_digest_leaves_nothing(site: Site, cache: Cache) -> None:
    with pytest.raises(UserError, match=f"has the SHA-256 {DIGEST}, expected {OTHER}") as caught:
        cache.get(f"{site.url}/a.zip", OTHER)
    assert "sources.toml" in caught.value.hint
    assert cache.finished() == cache.partials() == []


@pytest.mark.parametrize("tells_length", [True, False])
def test_a_wrong_size(site: Site, cache: Cache, tells_length: bool) -> None:
    site.tells_length = tells_length
    with pytest.raises(UserError, match="holds 3,145,728 bytes, not 7"):
        cache.get(f"{site.url}/a.zip", None, 7)
    assert cache.finished() == cache.partials() == []
    assert not cache.lock_file.exists()


def test_an_empty_file_is_not_recorded(site: Site, cache: Cache) -> None:
    site.files["a.zip"] = b""
    with pytest.raises(UserError, match="is empty"):
        cache.get(f"{site.url}/a.zip")
    assert not cache.lock_file.exists()


def test_the_digest_in_the_name(site: Site, cache: Cache) -> None:
    good, bad = f"tiny-{DIGEST[:8]}.pth", "tiny-78e30dcc.pth"
    site.files |= {good: CONTENT, bad: CONTENT}
    assert cache.get(f"{site.url}/{good}").name == good
    with pytest.raises(UserError, match=f"SHA-256 {DIGEST}, expected 78e30dcc"):
        cache.get(f"{site.url}/{bad}")
    with pytest.raises(ConfigError, match="promises 78e30dcc"):
        cache.get(f"{site.url}/{bad}", DIGEST)


# Connections that fail


def test_a_server_that_recovers(site: Site, cache: Cache) -> None:
    site.answers = [status(503), status(503)]
    assert cache.get(f"{site.url}/a.zip", DIGEST).read_bytes() == CONTENT


def test_a_server_that_does_not(site: Site, cache: Cache) -> None:
    site.answers = [status(503)] * 9
    with pytest.raises(UserError, match="answered 503 Service Unavailable"):
        cache.get(f"{site.url}/a.zip", DIGEST)
    assert len(site.asked) == 3


@pytest.mark.parametrize("code", [404, 403, 204])
def test_an_answer_that_will_not_change(site: Site, cache: Cache, code: int) -> None:
    site.answers = [status(code)] * 2
    with pytest.raises(UserError, match=f"answered {code}"):
        cache.get(f"{site.url}/a.zip", DIGEST)
    assert len(site.asked) == 1


def test_a_dropped_connection_is_continued(site: Site, cache: Cache) -> None:
    # more drops than attempts, but each brings something
    site.answers = [drop_after(size << 19) for size in range(1, 6)]
    assert cache.get(f"{site.url}/a.zip", DIGEST).read_bytes() == CONTENT
    assert [request.get("Range") for request in site.asked[:2]] == [None, f"bytes={1 << 19}-"]
    assert len(site.asked) == 6


def test_a_later_run_continues(site: Site, cache: Cache) -> None:
    site.answers = [drop_after(1 << 20), status(404)]
    with pytest.raises(UserError):
        cache.get(f"{site.url}/a.zip", DIGEST)
    assert [partial.stat().st_size for partial in cache.partials()] == [1 << 20]
    assert cache.finished() == []
    cache.progress.clear()
    assert cache.get(f"{site.url}/a.zip", DIGEST).read_bytes() == CONTENT
    assert site.asked[-1]["Range"] == f"bytes={1 << 20}-"
    assert cache.progress[0][0] > 1 << 20


@pytest.mark.parametrize(
    "change",
    [
        {"has_ranges": False},
        {"etag": '"v2"'},
        {"etag": '"v2"', "heeds_if_range": False},
        {"files": {"a.zip": CONTENT + b"more"}, "heeds_if_range": False},
        {"files": {"a.zip": CONTENT[:99]}, "heeds_if_range": False},
        {"files": {"a.zip": CONTENT[: 1 << 20]}, "etag": '"v2"', "heeds_if_range": False},
    ],
    ids=["ignores-range", "changed", "changed-and-ignores-if-range", "grown", "shrunk", "cut"],
)
def test_what_cannot_be_continued_starts_again(
    site: Site, cache: Cache, change: dict[str, object]
) -> None:
    site.files["a.zip"] = b"old" * (1 << 20)
    site.answers = [drop_after(1 << 20), status(404)]
    with pytest.raises(UserError):
        cache.get(f"{site.url}/a.zip")
    site.files["a.zip"] = CONTENT
    for name, value in change.items():
        setattr(site, name, value)
    assert cache.get(f"{site.url}/a.zip").read_bytes() == site.files["a.zip"]


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_without_a_strong_version_nothing_is_continued(site: Site, cache: Cache, etag: str) -> None:
    site.etag = etag
    site.answers = [drop_after(1 << 20)]
    assert cache.get(f"{site.url}/a.zip").read_bytes() == CONTENT
    assert "Range" not in site.asked[-1]


@pytest.mark.parametrize("tells_length", [True, False])
def test_a_download_killed_at_its_last_byte_is_not_repeated(
    site: Site, cache: Cache, monkeypatch: pytest.MonkeyPatch, tells_length: bool
) -> None:
    site.tells_length = tells_length
    kill_before(monkeypatch, "_check", lambda: cache.get(f"{site.url}/a.zip", DIGEST))
    assert cache.get(f"{site.url}/a.zip", DIGEST).read_bytes() == CONTENT
    sent = [request.get("Range") for request in site.asked]
    assert sent == ([None] if tells_length else [None, f"bytes={len(CONTENT)}-"])


@pytest.mark.parametrize("change", [{"has_etag_at_end": False}, {"files": {"a.zip": b"short"}}])
def test_a_download_killed_at_its_last_byte_starts_again_where_it_may_be_another(
    site: Site, cache: Cache, monkeypatch: pytest.MonkeyPatch, change: dict[str, object]
) -> None:
    site.tells_length = False
    kill_before(monkeypatch, "_check", lambda: cache.get(f"{site.url}/a.zip"))
    for name, value in change.items():
        setattr(site, name, value)
    assert cache.get(f"{site.url}/a.zip").read_bytes() == site.files["a.zip"]
    assert "Range" not in site.asked[-1]


@pytest.mark.parametrize("from_site", [True, False])
def test_a_fetch_killed_before_its_last_rename_leaves_a_file_that_the_next_can_write_to(
    site: Site, cache: Cache, mirror: Path, monkeypatch: pytest.MonkeyPatch, from_site: bool
) -> None:
    url = f"{site.url}/a.zip" if from_site else str(mirror / "a.zip")
    with monkeypatch.context() as killed:
        killed.setattr(Path, "replace", lambda *_: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception):
            cache.get(url, DIGEST)
    (partial,) = cache.partials()
    assert partial.stat().st_mode & 0o200
    assert not cache.get(url, DIGEST).stat().st_mode & 0o222


def kill_before(monkeypatch: pytest.MonkeyPatch, step: str, get: Callable[[], Path]) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(sources._Fetching, step, lambda *_: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception):
            get()


def test_a_web_page_is_not_the_file(site: Site, cache: Cache) -> None:
    site.content_type = "text/html; charset=utf-8"
    with pytest.raises(UserError, match="answered with a web page"):
        cache.get(f"{site.url}/a.zip")
    assert not cache.lock_file.exists()


def test_every_location_is_named(
    site: Site, cache: Cache, tmp_path: Path, closed_port: str
) -> None:
    secret = closed_port.replace("//", "//user:password@")
    with pytest.raises(UserError) as caught:
        cache.get(f"{secret}/b.zip?token=hidden", DIGEST, mirrors=[tmp_path, site.url])
    assert caught.value.message == (
        "cannot fetch b.zip for source 'balloon': "
        f"{tmp_path}/b.zip cannot be read: No such file or directory; "
        f"{site.url}/b.zip answered 404 Not Found; "
        f"{closed_port}/b.zip cannot be reached: [Errno 111] Connection refused"
    )
    assert caught.value.hint == (
        f"put b.zip into {tmp_path}, "
        "or set MMDET_JETSON_MIRRORS to a folder or URL that holds b.zip"
    )


def test_a_name_that_does_not_resolve(cache: Cache) -> None:
    with pytest.raises(UserError, match=r"upstream\.invalid/a\.zip cannot be reached"):
        cache.get("http://upstream.invalid/a.zip")


def test_a_certificate_nobody_signed_is_not_asked_twice(site: Site, cache: Cache) -> None:
    # plain text where a handshake is expected: requests calls both an SSLError
    with pytest.raises(UserError, match="its certificate is not trusted"):
        cache.get(site.url.replace("http:", "https:") + "/a.zip")


def test_offline_asks_nobody(site: Site, cache: Cache, mirror: Path) -> None:
    url = f"{site.url}/b.zip"
    with pytest.raises(UserError, match=r"b\.zip was not tried \(offline\)") as caught:
        cache.get(url, DIGEST, mirrors=[mirror, site.url], offline=True)
    assert "unset MMDET_JETSON_OFFLINE" in caught.value.hint
    assert site.asked == []
    (mirror / "b.zip").write_bytes(CONTENT)
    assert cache.get(url, DIGEST, mirrors=[mirror], offline=True).read_bytes() == CONTENT
    assert cache.get(url, DIGEST, offline=True).read_bytes() == CONTENT


# Disks and neighbours


class FullDisk(list[tuple[int, int | None]]):
    """Progress that fails as the write beside it would."""

    def append(self, _: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_while_downloading(site: Site, cache: Cache) -> None:
    cache.progress = FullDisk()
    with pytest.raises(UserError, match=os.strerror(errno.ENOSPC)) as caught:
        cache.get(f"{site.url}/a.zip", DIGEST, mirrors=[f"{site.url}/none"])
    assert "make room" in caught.value.hint
    assert cache.finished() == []


def test_a_full_disk_while_copying(cache: Cache, mirror: Path) -> None:
    url = f"{mirror}/a.zip"
    partial = cache.downloads / "partial" / sources._key(url) / f"{sources._key(url)}.partial"
    partial.parent.mkdir(parents=True)
    partial.symlink_to("/dev/full")
    with pytest.raises(UserError, match=os.strerror(errno.ENOSPC)):
        cache.get(url, DIGEST)
    assert cache.finished() == []


def test_downloads_cannot_be_made(cache: Cache, mirror: Path) -> None:
    cache.downloads.write_text("a file")
    with pytest.raises(UserError, match=r"cannot keep a\.zip in .*downloads"):
        cache.get(f"{mirror}/a.zip", DIGEST)


def test_four_at_once_download_once(site: Site, cache: Cache) -> None:
    found: list[Path] = []
    together = threading.Barrier(4)

    def get() -> None:
        together.wait(60)
        found.append(cache.get(f"{site.url}/a.zip"))

    def answer_late(handler: Handler) -> None:
        """Leave the others the time to ask, too."""
        deadline = time.monotonic() + 0.5
        while len(site.asked) == 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        handler.serve()

    site.answers = [answer_late]
    threads = [threading.Thread(target=get) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [cache.downloads / "sha256" / DIGEST / "a.zip"] * 4
    assert len(site.asked) == 1


# What a user may write


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"url": "ftp://host/a.zip"}, "is not an http, https or file URL"),
        ({"url": "pictures/a.zip"}, "or an absolute path"),
        ({"url": "https://host/folder/"}, "does not end in a file name"),
        ({"url": "https://host/..%2Fa%2F.."}, "does not end in a file name"),
        ({"url": "https://host/a.zip", "sha256": "123"}, r"\$.sha256"),
        ({"url": "https://host/a.zip", "size": 0}, r"\$.size"),
        ({"url": "https://host/a.zip", "sha265": "1"}, "unknown field `sha265`"),
        ({}, "missing required field `url`"),
    ],
)
def test_wrong_sources(wrong: dict[str, object], sentence: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=sentence):
        msgspec.convert(wrong, Source)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://host/a/b%20c.zip?x=/d#/e", "b c.zip"),
        ("/data/what?.zip", "what?.zip"),
        ("file:///data/a%20b.zip", "a b.zip"),
    ],
)
def test_filenames(url: str, name: str) -> None:
    assert Source(url).filename == name
