"""A registry in memory, written from the OCI distribution specification 1.1, for tests.

    with RegistryServer() as server:          # or RegistryServer(referrers=False, auth="bearer", tls=folder)
        server.place("team/mugs")             # docker://127.0.0.1:PORT/team/mugs
        server.spoil("GET", "/blobs/", cut_answer(1000))      # the next such request goes wrong: registry_faults
        server.spoil("PUT", "/manifests/", status(503), times=2)
        server.asked                          # what came: method, path, headers, size of the body
        server.repositories["team/mugs"].tags # what is there

It has blobs, uploads (whole, in parts, with status), manifests, tags and referrers in pages, Basic and Bearer.
As Docker's registry it refuses a manifest that needs what is not in the same repository. Of the rest of the
specification it has what the product asks for: nothing is deleted, mounted or sent in chunks.
"""

import base64
import hashlib
import json
import re
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from registry_certificate import server_context

INDEX = "application/vnd.oci.image.index.v1+json"
USER, PASSWORD, IDENTITY = "potter", "a secret of clay", "an identity token"

Fault = Callable[["Handler"], None]
"""Deals with one request in its own way: `Handler.answer` and `Handler.send` do what is right."""


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass
class Repository:
    """What one repository holds: content by digest."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """Media type and bytes."""
    tags: dict[str, str] = field(default_factory=dict)
    uploads: dict[str, bytearray] = field(default_factory=dict)


@dataclass
class Asked:
    """One request that came."""

    method: str
    path: str
    """With its query."""
    headers: dict[str, str]
    size: int = 0
    """Bytes of its body that were received."""


@dataclass
class Answer:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class RegistryServer(ThreadingHTTPServer):
    """The registry, listening from the start and answering within ``with``.

    Args:
        referrers: whether it has the API for them; else it answers 404 there.
        auth: ``basic``, ``bearer``, or none. `USER`, `PASSWORD` and `IDENTITY` are good for everything.
        tls: a folder for a certificate of its own, which is `ca`, too; None for plain HTTP.
        page: most tags or referrers in one answer.
        keeps_cut: whether what came of a PATCH that broke off counts, as the status tells afterwards.
        is_strict: whether only the latest address of an upload is good, and only where nothing broke off, as
            for Docker's registry 2.8.
        is_open: whether anybody may read, and only who writes is asked who it is (bearer).
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self,
        *,
        referrers: bool = True,
        auth: str = "",
        tls: Path | None = None,
        page: int = 1000,
        keeps_cut: bool = True,
        is_strict: bool = False,
        is_open: bool = False,
    ) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.has_referrers, self.auth, self.page = referrers, auth, page
        self.keeps_cut, self.is_strict, self.is_open = keeps_cut, is_strict, is_open
        self.repositories: dict[str, Repository] = {}
        self.asked: list[Asked] = []
        self.lock = threading.RLock()
        self.address = f"127.0.0.1:{self.server_port}"
        self.url = f"http{'s' if tls else ''}://{self.address}"
        self.realm = f"{self.url}/token"
        """Where tokens are had, as it says. It gives some itself there."""
        self.tokens: dict[str, str] = {}
        """The scope of each token that is good."""
        self.seconds = 300
        """How long a token is said to last."""
        self.refuses_tokens = False
        """Whether no token is any good."""
        self.ca = tls / "registry.crt" if tls else None
        self.tls = server_context(tls) if tls else None
        """The server's context, to ask for certificates of clients, say."""
        self.connections: list[object] = []
        """Where each connection came from."""
        self._faults: list[tuple[str, re.Pattern[str], Fault]] = []
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> "RegistryServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def place(self, repository: str) -> str:
        return f"docker://{self.address}/{repository}"

    def repository(self, name: str) -> Repository:
        return self.repositories.setdefault(name, Repository())

    def spoil(self, method: str, path: str, fault: Fault, times: int = 1) -> None:
        """Let the next requests of a method go wrong whose path has a match of a pattern."""
        self._faults += [(method, re.compile(path), fault)] * times

    def paths(self, method: str, pattern: str = "") -> list[str]:
        """The paths asked for by a method, in order."""
        return [a.path for a in self.asked if a.method == method and re.search(pattern, a.path)]

    def fault_for(self, asked: Asked) -> Fault | None:
        with self.lock:
            for number, (method, pattern, fault) in enumerate(self._faults):
                if method == asked.method and pattern.search(asked.path):
                    del self._faults[number]
                    return fault
        return None

    def get_request(self) -> tuple[socket.socket, Any]:
        sock, address = super().get_request()
        self.connections.append(address)
        if self.tls:
            sock = self.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return sock, address

    def handle_error(self, *_: object) -> None:
        """Say nothing: connections break off all the time here."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    server: RegistryServer

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        self.close_connection = True
        if not self.raw_requestline or not self.parse_request():
            return
        self.asked = Asked(self.command, self.path, dict(self.headers))
        self._body: Iterator[bytes] = self._blocks()
        with self.server.lock:
            self.server.asked.append(self.asked)
        fault = self.server.fault_for(self.asked)
        if fault:
            fault(self)
        else:
            self.send(self.answer())
        self.wfile.flush()

    # What faults are made of.

    def answer(self) -> Answer:
        """Do what is asked, and say what should be answered."""
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/token":
            return self._token(query)
        challenge = self._challenge(parts.path)
        if challenge:
            for _ in self._body:  # else its rest would be taken for the next request
                pass
            return _error(401, "UNAUTHORIZED", {"WWW-Authenticate": challenge})
        if parts.path in ("/v2", "/v2/"):
            return Answer(200, {"Content-Type": "application/json"}, b"{}")
        for methods, pattern, route in _ROUTES:
            match = re.fullmatch(pattern, parts.path)
            if match and self.command in methods:
                answer = route(self, query, **match.groupdict())
                for _ in self._body:
                    pass
                return answer
        return _error(404, "NAME_INVALID")

    def send(self, answer: Answer, upto: int | None = None) -> None:
        """Send an answer; only ``upto`` bytes of the body that it promises, and then hang up."""
        self.send_response_only(answer.status)
        headers = {"Content-Length": str(len(answer.body)), **answer.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = upto is not None or self.headers.get("Connection") == "close"
        if self.command != "HEAD":
            self.wfile.write(answer.body[:upto])

    def receive(self, most: int | None = None) -> bytes:
        """The body of the request, or at most so many bytes of it."""
        content = bytearray()
        for block in self._body:
            content += block
            if most is not None and len(content) >= most:
                return bytes(content[:most])
        return bytes(content)

    def hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    # What the specification says.

    def _blobs(self, _: dict[str, str], name: str, digest: str) -> Answer:
        repository = self.server.repositories.get(name, Repository())
        content = repository.blobs.get(digest)
        if content is None:
            return _error(404, "BLOB_UNKNOWN")
        headers = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": digest}
        headers["Accept-Ranges"] = "bytes"
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if self.command == "GET" and wanted:
            start, end = int(wanted[1]), int(wanted[2] or len(content) - 1)
            if start >= len(content):
                return Answer(416, {"Content-Range": f"bytes */{len(content)}"})
            end = min(end, len(content) - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
            return Answer(206, headers, content[start : end + 1])
        return Answer(200, headers, content)

    def _start_upload(self, _: dict[str, str], name: str) -> Answer:
        repository = self.server.repository(name)
        key = str(uuid.uuid4())
        repository.uploads[key] = bytearray()
        return self._upload_at(name, key, 202)

    def _upload(self, query: dict[str, str], name: str, key: str) -> Answer:
        repository = self.server.repositories.get(name, Repository())
        upload = repository.uploads.get(key)
        if upload is None:
            return _error(404, "BLOB_UPLOAD_UNKNOWN")
        if self.server.is_strict and query.get("state") != str(len(upload)):
            return _error(404, "BLOB_UPLOAD_INVALID")
        if self.command == "GET":
            return self._upload_at(name, key, 204)
        told = self.headers.get("Content-Range", "")
        if told and not told.startswith(f"{len(upload)}-"):
            return Answer(416, {"Range": f"0-{len(upload) - 1}"})
        self._append(upload)
        if self.command == "PATCH":
            return self._upload_at(name, key, 202)
        return self._finish_upload(name, key, upload, query.get("digest", ""))

    def _append(self, upload: bytearray) -> None:
        """Take what comes, of a connection that breaks off as much as has come, or nothing."""
        start = len(upload)
        try:
            for block in self._body:
                upload += block
        except OSError:
            if not self.server.keeps_cut:
                del upload[start:]
            raise

    def _upload_at(self, name: str, key: str, status: int) -> Answer:
        size = len(self.server.repository(name).uploads[key])
        headers = {
            "Location": f"/v2/{name}/blobs/uploads/{key}?state={size}",
            "Range": f"0-{max(0, size - 1)}",
        }
        return Answer(status, headers)

    def _finish_upload(self, name: str, key: str, upload: bytearray, digest: str) -> Answer:
        content = bytes(upload)
        repository = self.server.repository(name)
        repository.uploads.pop(key, None)
        if digest_of(content) != digest:
            return _error(400, "DIGEST_INVALID")
        repository.blobs[digest] = content
        return _created(f"/v2/{name}/blobs/{digest}", digest)

    def _manifests(self, _: dict[str, str], name: str, reference: str) -> Answer:
        if self.command == "PUT":
            return self._put_manifest(name, reference)
        repository = self.server.repositories.get(name, Repository())
        digest = repository.tags.get(reference, reference)
        found = repository.manifests.get(digest)
        if found is None:
            return _error(404, "MANIFEST_UNKNOWN")
        return Answer(200, {"Content-Type": found[0], "Docker-Content-Digest": digest}, found[1])

    def _put_manifest(self, name: str, reference: str) -> Answer:
        content = self.receive()
        digest = digest_of(content)
        kind = self.headers.get("Content-Type", "")
        if reference.startswith("sha256:") and reference != digest:
            return _error(400, "DIGEST_INVALID")
        try:
            manifest = json.loads(content)
        except ValueError:
            return _error(400, "MANIFEST_INVALID")
        if manifest.get("mediaType", kind) != kind:
            return _error(400, "MANIFEST_INVALID")
        with self.server.lock:
            repository = self.server.repository(name)
            if missing := _missing(repository, manifest):
                return _error(400, "MANIFEST_BLOB_UNKNOWN", detail=missing)
            repository.manifests[digest] = (kind, content)
            if not reference.startswith("sha256:"):
                repository.tags[reference] = digest
        answer = _created(f"/v2/{name}/manifests/{digest}", digest)
        if self.server.has_referrers and "subject" in manifest:
            answer.headers["OCI-Subject"] = manifest["subject"]["digest"]
        return answer

    def _tags(self, query: dict[str, str], name: str) -> Answer:
        if name not in self.server.repositories:
            return _error(404, "NAME_UNKNOWN")
        with self.server.lock:
            known = sorted(self.server.repositories[name].tags)
        tags = [tag for tag in known if tag > query.get("last", "")]
        most = min(self.server.page, int(query.get("n", self.server.page)))
        headers = {"Content-Type": "application/json"}
        if len(tags) > most:
            following = f"/v2/{name}/tags/list?n={most}&last={tags[most - 1]}"
            headers["Link"] = f'<{following}>; rel="next"'
        return Answer(200, headers, json.dumps({"name": name, "tags": tags[:most]}).encode())

    def _referrers(self, query: dict[str, str], name: str, digest: str) -> Answer:
        if not self.server.has_referrers:
            return Answer(404, {"Content-Type": "text/plain"}, b"404 page not found\n")
        manifests = self.server.repositories.get(name, Repository()).manifests
        entries = [e for key in sorted(manifests) if (e := _referrer(key, *manifests[key], digest))]
        headers = {"Content-Type": INDEX}
        start, end = int(query.get("from", 0)), int(query.get("from", 0)) + self.server.page
        if end < len(entries):
            headers["Link"] = f'</v2/{name}/referrers/{digest}?from={end}>; rel="next"'
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries[start:end]}
        return Answer(200, headers, json.dumps(index).encode())

    # Who is there.

    def _challenge(self, path: str) -> str:
        """What is asked for; empty where it was given."""
        server, value = self.server, self.headers.get("Authorization", "")
        if server.auth == "basic":
            return "" if value == _basic() else 'Basic realm="registry"'
        if server.auth != "bearer":
            return ""
        name = path.removeprefix("/v2/").rpartition("/blobs/")[0] or re.sub(
            r"/(manifests|tags|referrers)/.*", "", path.removeprefix("/v2/")
        )
        action = "pull" if self.command in ("GET", "HEAD") else "push"
        scope = server.tokens.get(value.removeprefix("Bearer "), "")
        scoped, _, actions = scope.rpartition(":")
        is_good = not server.refuses_tokens and scope and name in ("", scoped.partition(":")[2])
        if is_good and (not name or action in actions.split(",")):
            return ""
        return f'Bearer realm="{server.realm}",service="clay",scope="repository:{name}:{action}"'

    def _token(self, query: dict[str, str]) -> Answer:
        form = {key: values[0] for key, values in parse_qs(self.receive().decode()).items()}
        value = self.headers.get("Authorization", "")
        is_known = value == _basic() or form.get("refresh_token") == IDENTITY
        if (value or form) and not is_known:
            return _error(401, "UNAUTHORIZED")
        scope = query.get("scope", form.get("scope", ""))
        if not is_known and not self.server.is_open:
            scope = ""
        if not is_known:
            scope = scope.replace(",push", "")
        token = uuid.uuid4().hex
        self.server.tokens[token] = scope
        content = {"token": token, "access_token": token, "expires_in": self.server.seconds}
        return Answer(200, {"Content-Type": "application/json"}, json.dumps(content).encode())

    def _blocks(self) -> Iterator[bytes]:
        """The body of the request as it comes."""
        left = int(self.headers.get("Content-Length", 0))
        while left:
            block = self.rfile.read1(min(left, 1 << 18))
            if not block:
                self.close_connection = True
                raise ConnectionError("the client hung up")
            left -= len(block)
            self.asked.size += len(block)
            yield block

    def log_message(self, *_: object) -> None:
        """Say nothing."""


_NAME = r"/v2/(?P<name>[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*)"
_ROUTES: list[tuple[set[str], str, Callable[..., Answer]]] = [
    ({"GET", "HEAD"}, rf"{_NAME}/blobs/(?P<digest>sha256:[0-9a-f]{{64}})", Handler._blobs),
    ({"POST"}, rf"{_NAME}/blobs/uploads/", Handler._start_upload),
    ({"GET", "PATCH", "PUT"}, rf"{_NAME}/blobs/uploads/(?P<key>[0-9a-f-]+)", Handler._upload),
    (
        {"GET", "HEAD", "PUT"},
        rf"{_NAME}/manifests/(?P<reference>[a-zA-Z0-9_][a-zA-Z0-9._-]{{0,127}}|sha256:[0-9a-f]{{64}})",
        Handler._manifests,
    ),
    ({"GET"}, rf"{_NAME}/tags/list", Handler._tags),
    ({"GET"}, rf"{_NAME}/referrers/(?P<digest>sha256:[0-9a-f]{{64}})", Handler._referrers),
]


def _error(code: int, name: str, headers: dict[str, str] | None = None, detail: str = "") -> Answer:
    content = {
        "errors": [{"code": name, "message": name.lower().replace("_", " "), "detail": detail}]
    }
    headers = {"Content-Type": "application/json", **(headers or {})}
    return Answer(code, headers, json.dumps(content).encode())


def _created(location: str, digest: str) -> Answer:
    return Answer(201, {"Location": location, "Docker-Content-Digest": digest})


def _missing(repository: Repository, manifest: dict[str, Any]) -> str:
    """What a manifest needs and the repository does not have; a subject may come later."""
    blobs = [*manifest.get("layers", []), *([manifest["config"]] if "config" in manifest else [])]
    for each in blobs:
        if each["digest"] not in repository.blobs:
            return str(each["digest"])
    for each in manifest.get("manifests", []):
        if each["digest"] not in repository.manifests:
            return str(each["digest"])
    return ""


def _referrer(digest: str, kind: str, content: bytes, subject: str) -> dict[str, Any] | None:
    manifest = json.loads(content)
    if manifest.get("subject", {}).get("digest") != subject:
        return None
    entry = {"mediaType": kind, "digest": digest, "size": len(content)}
    if found := manifest.get("artifactType") or manifest.get("config", {}).get("mediaType"):
        entry["artifactType"] = found
    if manifest.get("annotations"):
        entry["annotations"] = manifest["annotations"]
    return entry


def _basic() -> str:
    return f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"
