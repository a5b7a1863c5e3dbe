"""Requests to one registry: who one is, retries, redirects, and every end that is none."""

import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from urllib3 import BaseHTTPResponse, PoolManager

from mmdet_jetson import __version__
from mmdet_jetson.registry.answers import (
    Answer,
    Astray,
    finish,
    read_whole,
    refuse,
    refuse_web_page,
    skip,
)
from mmdet_jetson.registry.authorization import Authorization
from mmdet_jetson.registry.connections import Patience, make_manager
from mmdet_jetson.registry.failures import NoTls, receiving, unreachable
from mmdet_jetson.registry.origin import Origin, Url, origin_of, parse_url
from mmdet_jetson.registry.place import MANIFEST_BYTES, PlaceError
from mmdet_jetson.registry.reference import RegistryReference
from mmdet_jetson.registry.retries import NO_PROGRESS, retry
from mmdet_jetson.registry.trust import make_context

T = TypeVar("T")
Body = bytes | Callable[[], Iterable[bytes]] | None
_API_HOSTS = {"docker.io": "registry-1.docker.io"}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_THREADS = 8
_AGENT = f"mmdet-jetson/{__version__}"


@dataclass(frozen=True)
class Access:
    """How registries are reached."""

    authorities: tuple[Path, ...] = ()
    """Files in PEM with authorities to trust beside this machine's."""
    plain_http: bool = False
    """Whether a registry elsewhere than on this machine may be talked to without TLS."""
    patience: Patience = field(default_factory=Patience)


@dataclass(frozen=True)
class Request:
    """One request, without what makes it somebody's. ``doing`` starts a sentence of what fails."""

    doing: str
    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body = None
    """Bytes, or what makes blocks of them anew for each attempt; the headers have their length."""
    writes: bool = False
    hoped: frozenset[int] = frozenset({200})
    is_for_blob: bool = False
    """Whether the answer is a blob, which may be a web page: its digest tells a wrong one."""


class Session:
    """All that goes to one repository of one registry. Used by several threads at once."""

    def __init__(self, reference: RegistryReference, access: Access) -> None:
        self.name = reference.place
        self.patience = access.patience
        self._host = _API_HOSTS.get(reference.host, reference.host)
        self._access = access
        self._lock = threading.Lock()
        self._origin: Origin | None = None
        self._managers: dict[Origin, PoolManager] = {}
        self._contexts: dict[bool, ssl.SSLContext] = {}
        self._authorization = Authorization(
            reference.host,
            reference.repository,
            self._ask_for_token,
            is_plain_allowed=access.plain_http,
        )

    def ask(self, request: Request) -> Answer:
        """Get a whole answer, tried again while that may help.

        Raises:
            PlaceError: there is none of those hoped for.
        """
        return self.retrying(lambda: self.ask_once(request))

    def ask_once(self, request: Request) -> Answer:
        """Get a whole answer in one attempt, for what is tried again as a whole.

        Raises:
            Dropped: there is none now.
            PlaceError: there is none of those hoped for.
        """
        with self.open(request) as response:
            has_body = request.method != "HEAD"
            content = read_whole(response, MANIFEST_BYTES, self.doing(request)) if has_body else b""
            return Answer(response.status, response.headers, content)

    def retrying(self, attempt: Callable[[], T], progress: Callable[[], int] = NO_PROGRESS) -> T:
        """Try again after each `Dropped`, until several in a row have brought no ``progress``."""
        return retry(attempt, self.patience, progress)

    def doing(self, request: Request) -> str:
        """What a sentence about the request starts with."""
        return f"{self.name}: {request.doing}"

    @contextmanager
    def open(self, request: Request) -> Iterator[BaseHTTPResponse]:
        """Get an answer whose body is still to be read, in one attempt.

        Raises:
            Dropped: there is none now.
            PlaceError: there is none of those hoped for.
        """
        origin = self.origin()
        response = self._followed(request, origin, self._authorized(request, origin))
        try:
            if response.status not in request.hoped:
                refuse(response, self.doing(request))
            if not request.is_for_blob:
                refuse_web_page(response.headers, self.doing(request))
            yield response
        except BaseException:
            response.close()  # what is left of the body is nobody's
            raise
        finish(response)

    def origin(self) -> Origin:
        """Where the registry is: found by TLS; without only on this machine, or where allowed."""
        if self._origin:
            return self._origin
        with self._lock:
            if not self._origin:
                self._origin = self._find()
            return self._origin

    def path_here(self, location: str, doing: str, base: str) -> str:
        """The path and query of an address that the registry names as one of its own.

        What goes there has credentials, or is an upload, so that is where it always goes. Behind a
        proxy that ends TLS some registries write http:// where it should be https://.

        Raises:
            PlaceError: it is another host's.
        """
        here = Url(self.origin(), base)
        target = parse_url(location, f"{self.name}: {doing}: the registry", here)
        same, other = here.origin, target.origin
        is_same_port = other.port in (same.port, 80 if same.scheme == "https" else same.port)
        if other.host != same.host or not is_same_port:
            raise PlaceError(
                f"{self.name}: {doing}: the registry sends on to {other}, another host, and nothing"
                " was sent there",
                "ask whoever runs the registry why",
            )
        return target.path

    def _find(self) -> Origin:
        secure, plain = origin_of(self._host, "https"), origin_of(self._host, "http")
        may_be_plain = plain.is_loopback or self._access.plain_http
        try:
            self._hello(secure, may_be_plain=may_be_plain)
        except NoTls as error:
            if not may_be_plain:
                raise
            # Whoever listens speaks no TLS; or nobody does, and the usual ports differ.
            if error.is_silent and plain.port == secure.port:
                raise
        else:
            return secure
        self._hello(plain, may_be_plain=False)
        return plain

    def _hello(self, origin: Origin, *, may_be_plain: bool) -> None:
        """Ask for ``/v2/``, which every registry has, and hear how it asks who is there."""
        doing = f"{self.name}: connecting"
        with unreachable(may_be_plain=may_be_plain):
            response = self._send(doing, "GET", Url(origin, "/v2/"), {}, None)
        if response.status == 401:
            self._authorization.hear(response.headers.get("WWW-Authenticate", ""))
            skip(response)
        elif response.status == 404:
            response.close()
            raise PlaceError(
                f"{doing}: {origin} is no registry: it has no /v2/", "check the host and the port"
            )
        elif response.status != 200:
            refuse(response, doing)
        else:
            refuse_web_page(response.headers, doing)
            skip(response)

    def _authorized(self, request: Request, origin: Origin) -> BaseHTTPResponse:
        for is_last in (False, True):
            value = self._authorization.header(origin, writes=request.writes)
            headers = {**request.headers, **({"Authorization": value} if value else {})}
            url = Url(origin, request.path)
            response = self._send(self.doing(request), request.method, url, headers, request.body)
            if response.status != 401:
                break
            challenge = response.headers.get("WWW-Authenticate", "")
            skip(response)
            if is_last:
                raise self._authorization.refused()
            self._authorization.learn(challenge, value, origin, writes=request.writes)
        return response

    def _followed(
        self, request: Request, origin: Origin, response: BaseHTTPResponse
    ) -> BaseHTTPResponse:
        """Go where a read is sent to; only the registry itself is told who asks."""
        here = Url(origin, request.path)
        for _ in range(_MOST_REDIRECTS):
            if response.status not in _REDIRECTS or request.method not in ("GET", "HEAD"):
                return response
            location = response.headers.get("Location", "")
            skip(response)
            target = parse_url(location, f"{self.name}: {request.doing}: a redirect", here)
            self._check_redirect(request, here.origin, target.origin)
            headers = dict(request.headers)
            if target.origin == origin:
                value = self._authorization.header(origin, writes=request.writes)
                headers.update({"Authorization": value} if value else {})
            here = target
            response = self._send(self.doing(request), request.method, target, headers, None)
        if response.status in _REDIRECTS:
            response.close()
            raise Astray(f"{self.name}: {request.doing}: more than {_MOST_REDIRECTS} redirects")
        return response

    def _check_redirect(self, request: Request, here: Origin, target: Origin) -> None:
        stays = here.scheme == "http" and (target.is_loopback or self._access.plain_http)
        if target.scheme == "http" and not stays:
            raise Astray(
                f"{self.name}: {request.doing}: the registry redirects to {target}, without TLS",
                "ask whoever runs the registry why",
            )

    def _ask_for_token(self, url: Url, headers: dict[str, str], form: bytes | None) -> Answer:
        doing = f"{self.name}: asking {url.origin} for a token"
        response = self._send(doing, "POST" if form else "GET", url, headers, form)
        if response.status in (401, 403) and (form or "Authorization" in headers):
            response.close()
            raise self._authorization.refused()
        if response.status != 200:
            refuse(response, doing)
        content = read_whole(response, MANIFEST_BYTES, doing)
        return Answer(response.status, response.headers, content)

    def _send(
        self, doing: str, method: str, url: Url, headers: Mapping[str, str], body: Body
    ) -> BaseHTTPResponse:
        with receiving(doing):
            return self._manager(url.origin).urlopen(
                method,
                str(url),
                body=body() if callable(body) else body,
                headers={"User-Agent": _AGENT, "Accept-Encoding": "identity", **headers},
                redirect=False,
                preload_content=False,
                decode_content=False,
            )

    def _manager(self, origin: Origin) -> PoolManager:
        found = self._managers.get(origin)
        if not found:
            context = self._context(origin) if origin.scheme == "https" else None
            made = make_manager(origin, context, self.patience, _THREADS)
            found = self._managers.setdefault(origin, made)
        return found

    def _context(self, origin: Origin) -> ssl.SSLContext:
        """Whom to trust; only the registry itself is shown a client's certificate."""
        is_registry = origin == origin_of(self._host, "https")
        if is_registry not in self._contexts:
            authorities = list(self._access.authorities)
            host = self._host if is_registry else ""
            self._contexts[is_registry] = make_context(host, authorities)
        return self._contexts[is_registry]
