"""How a registry is reached: with and without TLS, who one is, and whom one tells that."""

import base64
import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from impatience import FAST
from registry_content import EMPTY, blob_of, file_of
from registry_faults import body, cut_answer, header, redirect, silent, status, unanswered
from registry_server import IDENTITY, PASSWORD, USER, Handler, RegistryServer
from urllib3.exceptions import HTTPError

from mmdet_jetson.registry.answers import retry_after
from mmdet_jetson.registry.challenges import Challenge, best_challenge, parse_challenges
from mmdet_jetson.registry.connections import make_manager
from mmdet_jetson.registry.origin import Origin
from mmdet_jetson.registry.place import PlaceError
from mmdet_jetson.registry.reference import RegistryReference
from mmdet_jetson.registry.repository import Repository
from mmdet_jetson.registry.session import Access

Opened = Callable[..., Repository]
LogIn = Callable[..., None]


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[RegistryServer]:
    with RegistryServer(tls=tmp_path / "tls") as running:
        yield running


def refused(repository: Repository) -> str:
    with pytest.raises(PlaceError) as error:
        repository.tags()
    return str(error.value)


def test_this_machine_needs_no_tls(server: RegistryServer, opened: Opened) -> None:
    assert opened(server).tags() == []


def test_a_given_authority_is_trusted(secure: RegistryServer, opened: Opened) -> None:
    assert opened(secure).tags() == []


def test_an_unknown_authority_is_not(secure: RegistryServer, opened: Opened) -> None:
    said = refused(opened(secure, authorities=()))
    assert "the certificate is not trusted: self-signed certificate" in said
    assert "`ca` in [store]" in said
    assert secure.asked == []


def test_authorities_of_docker_are_found(
    secure: RegistryServer, opened: Opened, home: Path
) -> None:
    folder = home / ".config/docker/certs.d" / secure.address
    folder.mkdir(parents=True)
    assert secure.ca
    (folder / "own.crt").write_bytes(secure.ca.read_bytes())
    assert opened(secure, authorities=()).tags() == []


def test_a_certificate_of_the_client_is_shown(
    secure: RegistryServer, opened: Opened, home: Path
) -> None:
    assert secure.ca
    assert secure.tls
    secure.tls.load_verify_locations(secure.ca)
    secure.tls.verify_mode = 2  # type: ignore[assignment]  # CERT_REQUIRED
    assert "broke off" in refused(opened(secure))
    folder = home / ".config/containers/certs.d" / secure.address
    folder.mkdir(parents=True)
    (folder / "me.cert").write_bytes(secure.ca.read_bytes())
    (folder / "me.key").write_bytes(secure.ca.with_suffix(".key").read_bytes())
    assert opened(secure).tags() == []
    (folder / "me.key").unlink()
    assert "me.cert and me.key beside it cannot be used" in refused(opened(secure))


def test_a_file_without_authorities(server: RegistryServer, opened: Opened, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    assert "holds no certificates to trust" in refused(
        opened(server, authorities=(tmp_path / "ca.pem",))
    )


def elsewhere(host: str, *, plain_http: bool) -> Repository:
    return Repository(RegistryReference(host, "mugs"), Access((), plain_http, FAST), Path("unused"))


@pytest.fixture
def far_away(server: RegistryServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """A name for this machine that does not look like it."""
    known = socket.getaddrinfo

    def look_up(host: str, *args: object, **options: object) -> object:
        return known("127.0.0.1" if host == "far.example" else host, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return f"far.example:{server.server_port}"


def test_elsewhere_tls_is_a_must(far_away: str, server: RegistryServer) -> None:
    said = refused(elsewhere(far_away, plain_http=False))
    assert f"docker://{far_away}/mugs: connecting" in said
    assert "--plain-http" in said
    assert server.asked == []


def test_elsewhere_it_may_be_without_when_asked_for(far_away: str) -> None:
    assert elsewhere(far_away, plain_http=True).tags() == []


def test_nobody_is_there() -> None:
    with pytest.raises(PlaceError, match="it cannot be reached: Connection refused"):
        Repository(
            RegistryReference("127.0.0.1:1", "mugs"), Access(patience=FAST), Path("unused")
        ).tags()


def test_a_host_that_does_not_exist() -> None:
    said = refused(elsewhere("no-such-host.invalid", plain_http=False))
    assert "there is no host of that name" in said


def test_something_that_is_no_registry(server: RegistryServer, opened: Opened) -> None:
    server.spoil("GET", "/v2/$", status(404))
    assert "is no registry: it has no /v2/" in refused(opened(server))
    server.spoil("GET", "/v2/$", status(200, {"Content-Type": "text/html"}, b"<html>Log in!"))
    assert "the answer is a web page" in refused(opened(server))


# Who one is.


@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_credentials_of_docker_are_used(auth: str, opened: Opened, log_in: LogIn) -> None:
    with RegistryServer(auth=auth) as server:
        log_in(server)
        assert opened(server).tags() == []


@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_there_are_no_credentials(auth: str, opened: Opened) -> None:
    with RegistryServer(auth=auth) as server:
        said = refused(opened(server))
    assert f"{server.address} asks who is there" in said
    assert f"docker login {server.address}" in said


@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_wrong_credentials(auth: str, opened: Opened, log_in: LogIn, home: Path) -> None:
    with RegistryServer(auth=auth) as server:
        log_in(server, password="a wrong one")
        said = refused(opened(server))
    assert f"{server.address} refuses the user {USER}" in said
    assert str(home / ".docker/config.json") in said
    assert "wrong one" not in said


def test_a_token_is_for_this_repository_and_kept(opened: Opened, log_in: LogIn) -> None:
    with RegistryServer(auth="bearer") as server:
        log_in(server)
        repository = opened(server)
        for _ in range(3):
            repository.tags()
        asked = server.paths("GET", "/token")
    assert asked == ["/token?scope=repository:team/mugs:pull&service=clay"]


def test_a_token_for_writing_is_another(opened: Opened, log_in: LogIn, tmp_path: Path) -> None:
    with RegistryServer(auth="bearer") as server:
        log_in(server)
        repository = opened(server)
        repository.tags()
        repository.write(blob_of(EMPTY), file_of(EMPTY, tmp_path), lambda _: None)
        scopes = [path.split("&")[0].rpartition(":")[2] for path in server.paths("GET", "/token")]
    assert scopes == ["pull", "pull,push"]


def test_a_token_that_is_no_good_any_more_is_renewed(opened: Opened, log_in: LogIn) -> None:
    with RegistryServer(auth="bearer") as server:
        log_in(server)
        repository = opened(server)
        repository.tags()
        server.tokens.clear()
        assert repository.tags() == []
        assert len(server.paths("GET", "/token")) == 2


def test_fresh_tokens_that_are_refused_are_not_asked_for_again_and_again(
    opened: Opened, log_in: LogIn
) -> None:
    with RegistryServer(auth="bearer") as server:
        log_in(server)
        server.refuses_tokens = True
        assert f"refuses the user {USER}" in refused(opened(server))
        assert len(server.paths("GET", "/token")) == 2


def test_many_threads_ask_for_one_token(opened: Opened, log_in: LogIn) -> None:
    with RegistryServer(auth="bearer") as server:
        log_in(server)
        repository = opened(server)
        with ThreadPoolExecutor(6) as pool:
            assert list(pool.map(lambda _: repository.tags(), range(6))) == [[]] * 6
        assert len(server.paths("GET", "/token")) == 1
        assert len(server.paths("GET", "/v2/$")) == 1


def test_anybody_may_read_with_an_anonymous_token(opened: Opened) -> None:
    with RegistryServer(auth="bearer", is_open=True) as server:
        assert opened(server).tags() == []


def test_a_token_of_identity_is_exchanged(opened: Opened, home: Path) -> None:
    with RegistryServer(auth="bearer") as server:
        (home / ".docker").mkdir()
        config = {"auths": {server.address: {"identitytoken": IDENTITY}}}
        (home / ".docker/config.json").write_text(json.dumps(config))
        assert opened(server).tags() == []
        assert server.paths("POST", "/token") == ["/token"]
        assert not server.paths("GET", "/token")


def test_a_password_never_goes_to_a_token_service_without_tls(
    opened: Opened, log_in: LogIn
) -> None:
    with RegistryServer(auth="bearer") as server:
        log_in(server)
        server.realm = "http://tokens.example/token"
        said = refused(opened(server))
    assert "wants the password sent to http://tokens.example, where anyone" in said
    assert "it was not sent" in said


@pytest.mark.parametrize(
    ("realm", "words"),
    [
        ("ftp://tokens.example/", "names an address that is none for HTTP"),
        ("", "names an address that is none for HTTP"),
        ("https://potter:clay@tokens.example/", "with a user in it, at tokens.example"),
        ("https://tokens.example:port/", "an address that is none"),
        ("https://[tokens/", "an address that is none"),
    ],
)
def test_a_token_service_that_is_nowhere(realm: str, words: str, opened: Opened) -> None:
    with RegistryServer(auth="bearer") as server:
        server.realm = realm
        assert words in refused(opened(server))


@pytest.mark.parametrize(
    "answer",
    [b"", b"<html>", b"[]", b"{}", b'{"token": 5}', b'{"token": "two\\nlines"}', b'{"token": "x", "expires_in": [1]}', b"[" * 50_000],
)  # fmt: skip
def test_a_token_that_is_none(answer: bytes, opened: Opened, log_in: LogIn) -> None:
    with RegistryServer(auth="bearer") as server:
        log_in(server)
        server.spoil("GET", "/token", status(200, {}, answer))
        assert "answers with something that is no token" in refused(opened(server))


def test_another_way_to_say_who_one_is(server: RegistryServer, opened: Opened) -> None:
    server.spoil("GET", "/tags/", status(401, {"WWW-Authenticate": "Negotiate"}))
    assert "in a way that is neither Basic nor Bearer" in refused(opened(server))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('Bearer realm="https://a/t?b=c,d", service=e', [Challenge("bearer", {"realm": "https://a/t?b=c,d", "service": "e"})]),
        ('Basic realm="a \\"b\\"", Bearer realm="c"', [Challenge("basic", {"realm": 'a "b"'}), Challenge("bearer", {"realm": "c"})]),
        ("Negotiate, BASIC", [Challenge("negotiate"), Challenge("basic")]),
        ('="', []),
        ("", []),
    ],
)  # fmt: skip
def test_challenges(text: str, expected: list[Challenge]) -> None:
    assert parse_challenges(text) == expected


def test_a_token_is_better_than_a_password() -> None:
    best = best_challenge('Basic realm="a", Bearer realm="b", Bearer realm="c"')
    assert best == Challenge("bearer", {"realm": "b"})


# Redirects.


def test_credentials_stay_with_the_registry(opened: Opened, log_in: LogIn) -> None:
    with RegistryServer(auth="basic") as server, RegistryServer() as other:
        log_in(server)
        target = other.url + "/v2/team/mugs/tags/list?signature=secret"
        server.spoil("GET", "/tags/", redirect(target))
        other.repository("team/mugs").tags["v1"] = "sha256:" + "0" * 64
        assert opened(server).tags() == ["v1"]
        assert [a.path for a in other.asked] == ["/v2/team/mugs/tags/list?signature=secret"]
        names = {name.lower() for name in other.asked[0].headers}
    assert names & {"authorization", "cookie"} == set()


def test_the_registry_itself_is_told_again(opened: Opened, log_in: LogIn) -> None:
    with RegistryServer(auth="basic") as server:
        log_in(server)
        server.spoil("GET", "/tags/", redirect("/v2/team/other/tags/list"))
        assert opened(server).tags() == []
        assert all("Authorization" in a.headers for a in server.asked if "/tags/" in a.path)


def test_redirects_have_an_end(server: RegistryServer, opened: Opened) -> None:
    server.spoil("GET", "/tags/", redirect("/v2/team/mugs/tags/list?again"), times=20)
    assert "more than 5 redirects" in refused(opened(server))
    assert len(server.paths("GET", "/tags/")) == 6


def test_a_redirect_may_not_give_up_tls(secure: RegistryServer, opened: Opened) -> None:
    with RegistryServer() as other:
        secure.spoil("GET", "/tags/", redirect(f"{other.url}/x"))
        assert f"redirects to {other.url}, without TLS" in refused(opened(secure))
        assert other.asked == []


@pytest.mark.parametrize(
    "location", ["", "file:///etc/passwd", "https://u:p@far.example/", "http://[", "\x01"]
)
def test_a_redirect_to_nowhere(location: str, server: RegistryServer, opened: Opened) -> None:
    server.spoil("GET", "/tags/", redirect(location), times=8)
    said = refused(opened(server))
    assert "names an address" in said or "redirects" in said
    assert ":p@" not in said


# Trying again.


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504, 408])
def test_it_is_tried_again(code: int, server: RegistryServer, opened: Opened) -> None:
    server.spoil("GET", "/tags/", status(code), times=2)
    assert opened(server).tags() == []
    assert len(server.paths("GET", "/tags/")) == 3


def test_it_is_not_tried_for_ever(server: RegistryServer, opened: Opened) -> None:
    error = json.dumps({"errors": [{"code": "TOOMANYREQUESTS", "message": "slow\x1b[31m down"}]})
    server.spoil("GET", "/tags/", status(429, {}, error.encode()), times=9)
    said = refused(opened(server))
    assert "it answers 429 Too Many Requests: TOOMANYREQUESTS slow [31m down" in said
    assert len(server.paths("GET", "/tags/")) == 3


@pytest.mark.parametrize("path", ["/v2/$", "/token"])
def test_retries_do_not_multiply_on_the_way(path: str, opened: Opened, log_in: LogIn) -> None:
    with RegistryServer(auth="bearer") as server:
        log_in(server)
        server.spoil("GET", path, status(503), times=99)
        assert "it answers 503" in refused(opened(server))
        assert len(server.paths("GET", path)) == 3


def test_it_waits_as_long_as_asked(
    server: RegistryServer, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waited.append)
    server.spoil("GET", "/tags/", status(429, {"Retry-After": "2"}))
    opened(server).tags()
    assert waited == [2]


def test_it_does_not_wait_for_an_hour(server: RegistryServer, opened: Opened) -> None:
    server.spoil("GET", "/tags/", status(429, {"Retry-After": "3600"}))
    assert "and to wait 3,600 seconds" in refused(opened(server))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5", 5), ("", 0), ("soon", 0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("-1", 0), ("1.5", 0)],
)
def test_what_is_asked_for(text: str, seconds: float) -> None:
    assert retry_after(text) == seconds


def test_a_date_to_wait_for() -> None:
    assert retry_after("Wed, 21 Oct 2195 07:28:00 GMT") > 1e9


@pytest.mark.parametrize("fault", [unanswered, cut_answer(3)])
def test_a_dropped_connection_is_made_again(
    fault: object, server: RegistryServer, opened: Opened
) -> None:
    server.repository("team/mugs")
    server.spoil("GET", "/tags/", fault, times=2)  # type: ignore[arg-type]
    assert opened(server).tags() == []


def test_silence_has_an_end(server: RegistryServer, opened: Opened) -> None:
    server.spoil("GET", "/tags/", silent(3), times=5)
    said = refused(opened(server, patience=replace(FAST, silence=1)))
    assert "no answer for too long" in said
    assert len(server.paths("GET", "/tags/")) == 2


def test_what_a_registry_refuses(server: RegistryServer, opened: Opened) -> None:
    error = json.dumps({"errors": [{"code": "DENIED", "message": "not for you"}]}).encode()
    server.spoil("GET", "/tags/", status(403, {}, error))
    said = refused(opened(server))
    assert "listing the tags: it answers 403 Forbidden: DENIED not for you" in said
    assert len(server.paths("GET", "/tags/")) == 1


@pytest.mark.parametrize(
    "answer",
    [b"\xff" * 100, b"[" * 100_000, b'{"errors": 5}', b'{"errors": [5]}', b"x" * 9_000_000],
)
def test_a_refusal_in_no_known_words(answer: bytes, server: RegistryServer, opened: Opened) -> None:
    server.spoil("GET", "/tags/", status(400, {}, answer))
    assert refused(opened(server)).endswith("it answers 400 Bad Request")


def test_connections_are_used_again(server: RegistryServer, opened: Opened) -> None:
    repository = opened(server)
    server.repository("team/mugs")
    for _ in range(5):
        repository.tags()
        repository.resolve("v1")
    assert len(server.connections) == 1 + 1  # the first was for TLS


# Lists in pages.


def test_tags_come_in_pages(opened: Opened) -> None:
    with RegistryServer(page=2) as server:
        tags = {f"v{number}": "sha256:" + "0" * 64 for number in range(5)}
        server.repository("team/mugs").tags.update(tags)
        assert opened(server).tags() == ["v0", "v1", "v2", "v3", "v4"]
        assert len(server.paths("GET", "/tags/")) == 3


def test_pages_that_go_round_in_a_circle(server: RegistryServer, opened: Opened) -> None:
    link = '</v2/team/mugs/tags/list?n=1000>; rel="next"'
    server.repository("team/mugs")
    server.spoil("GET", "/tags/", header("Link", link))
    assert "go round in a circle" in refused(opened(server))


def test_the_next_page_is_not_elsewhere(server: RegistryServer, opened: Opened) -> None:
    server.repository("team/mugs")
    server.spoil("GET", "/tags/", header("Link", '<https://far.example/v2/>; rel="next"'))
    assert "sends on to https://far.example, another host, and nothing was sent" in refused(
        opened(server)
    )


@pytest.mark.parametrize("tags", [["-v1"], ["v1", ""], ["\x1b[31m"], ["v" * 129], [5], 5])
def test_tags_that_are_none(tags: object, server: RegistryServer, opened: Opened) -> None:
    server.spoil("GET", "/tags/", status(200, {}, json.dumps({"tags": tags}).encode()))
    said = refused(opened(server))
    assert "is no tag" in said or "cannot be read" in said
    assert "\x1b" not in said


def test_no_tags_may_be_written_as_null(server: RegistryServer, opened: Opened) -> None:
    server.spoil("GET", "/tags/", status(200, {}, b'{"name": "team/mugs", "tags": null}'))
    assert opened(server).tags() == []


@pytest.mark.parametrize(
    "answer", [b"", b"{", b"[" * 200_000, b'{"tags": ' + b"[" * 200_000, b"\xff"]
)
def test_a_list_that_cannot_be_read(answer: bytes, server: RegistryServer, opened: Opened) -> None:
    server.repository("team/mugs")
    server.spoil("GET", "/tags/", body(answer))
    assert "listing the tags: the answer cannot be read" in refused(opened(server))


def test_a_list_that_is_too_long(server: RegistryServer, opened: Opened) -> None:
    server.repository("team/mugs")
    server.spoil("GET", "/tags/", status(200, {}, b" " * (5 << 20)))
    assert "more than the 4,194,304 bytes that are allowed" in refused(opened(server))


def test_the_password_is_sent_as_the_rfc_says(opened: Opened, log_in: LogIn) -> None:
    with RegistryServer(auth="basic") as server:
        log_in(server)
        opened(server).tags()
        value = server.asked[-1].headers["Authorization"].removeprefix("Basic ")
    assert base64.b64decode(value).decode() == f"{USER}:{PASSWORD}"


RAW = [
    b"",
    b"\x00\x01\x02\x03\r\n\r\n",
    b"HTTP/1.1 abc OK\r\n\r\n",
    b"HTTP/9.9 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n{}",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{}",
    b"HTTP/1.1 200 OK\r\nLocation: \xff\xfe\r\nLink: <\xff>; rel=next\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 307 \xff\r\nLocation: http://\xff\xfe..com/\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 307 x\r\nLocation: https://" + b"a" * 70 + b".example/\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 401 x\r\nContent-Length: 0\r\n\r\n",
    b'HTTP/1.1 401 x\r\nWWW-Authenticate: Bearer realm="\xff"\r\nContent-Length: 0\r\n\r\n',
    b"HTTP/1.1 100 Continue\r\n\r\n" * 3,
    b"HTTP/1.1 204 No\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
]


@pytest.mark.parametrize("answer", RAW, ids=range(len(RAW)))
def test_what_is_hardly_http(answer: bytes, server: RegistryServer, opened: Opened) -> None:
    def fault(handler: Handler) -> None:
        handler.wfile.write(answer)
        handler.wfile.flush()
        handler.hang_up()

    server.repository("team/mugs")
    server.spoil("GET", "/tags/", fault, times=20)
    said = ""
    try:
        assert opened(server).tags() == []
    except PlaceError as error:
        said = error.message
    assert not said or server.address in said
    assert said.isprintable()


def test_a_proxy_of_the_environment_is_used(
    server: RegistryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, server.address)
    assert "the proxy does not let it through" in refused(
        elsewhere("far.example", plain_http=False)
    )
    assert [(a.method, a.path) for a in server.asked] == [("CONNECT", "far.example:443")]
    monkeypatch.setenv("NO_PROXY", "far.invalid")
    monkeypatch.setenv("no_proxy", "far.invalid")
    assert "no host of that name" in refused(elsewhere("far.invalid", plain_http=False))


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_is_told_who_asks(
    scheme: str, server: RegistryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, f"http://potter:cl%40y%20%C3%A9@{server.address}")
    manager = make_manager(Origin(scheme, "far.example", 5000), None, FAST, 1)
    with suppress(HTTPError):
        manager.request("GET", f"{scheme}://far.example:5000/v2/")
    headers = {name.lower(): value for name, value in server.asked[0].headers.items()}
    told = headers.get("proxy-authorization", "").removeprefix("Basic ")
    assert base64.b64decode(told).decode() == "potter:cl@y é"


def test_a_proxy_is_never_between_this_machine_and_itself(
    server: RegistryServer, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert opened(server).tags() == []
