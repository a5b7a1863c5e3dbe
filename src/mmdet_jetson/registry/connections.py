"""Connections to a registry: none of them waits for ever, whatever the other side does.

urllib3 has a limit for the time without a byte. A server that sends one every few seconds stays
below it for ever, so what is received here has to come at some pace, too.
"""

import io
import socket
import ssl
import time
from dataclasses import dataclass
from typing import cast
from urllib.parse import unquote
from urllib.request import getproxies, proxy_bypass

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import make_headers, parse_url

from mmdet_jetson.registry.origin import Origin

BLOCK = 1 << 18
"""Bytes that are read, digested and sent at once: what stays in a core's cache meanwhile."""


@dataclass(frozen=True)
class Patience:
    """How long a registry may take, in seconds, and how often it is tried."""

    connect: float = 10
    silence: float = 60
    """Without a byte: also what a registry has to digest a blob, and to take a block of one."""
    window: float = 30
    pace: int = 1024
    """Bytes a second, over each window that is spent waiting for them."""
    attempts: int = 6
    """In a row without any progress; one that only waited counts as two."""
    pause: float = 0.5
    """Before the second attempt; twice as long before each further one."""
    longest_pause: float = 30
    """Also of what a registry asks for by ``Retry-After``."""


class TooSlow(TimeoutError):
    """Bytes come, but at no pace that would ever end."""


class _Paced(io.RawIOBase):
    """What a socket receives. The time that the reader takes for itself does not count."""

    def __init__(self, raw: io.RawIOBase, patience: Patience) -> None:
        self._raw, self._patience = raw, patience
        self._waited = 0.0
        self._received = -1  # nothing yet: a registry may think before it answers

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int | None:  # type: ignore[override]
        started = time.monotonic()
        size = self._raw.readinto(buffer)
        if self._received < 0:
            self._received = 0
            return size
        self._received += size or 0
        self._waited += time.monotonic() - started
        if self._waited > self._patience.window:
            if self._received < self._patience.pace * self._patience.window:
                raise TooSlow(f"{self._received:,} bytes in {self._waited:.0f} s")
            self._waited, self._received = 0.0, 0
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()


class _PacedSocket:
    """Stands in for the socket where ``http.client`` makes a file of it."""

    def __init__(self, sock: socket.socket, patience: Patience) -> None:
        self._sock, self._patience = sock, patience

    def makefile(self, _mode: str) -> io.BufferedReader:
        raw = cast("io.RawIOBase", self._sock.makefile("rb", buffering=0))
        return io.BufferedReader(_Paced(raw, self._patience))


def make_manager(
    origin: Origin, context: ssl.SSLContext | None, patience: Patience, threads: int
) -> PoolManager:
    """Make the pools of connections for an origin, through the proxy that the environment names.

    Nothing is retried or redirected by them. As for Docker and skopeo, ``HTTPS_PROXY`` and
    ``NO_PROXY`` count, and this machine itself is never asked for through a proxy.
    """
    options = {
        "maxsize": threads,
        "timeout": Timeout(connect=patience.connect, read=patience.silence),
        "retries": False,
        "ssl_context": context,
        "blocksize": BLOCK,
    }
    proxy = None if origin.is_loopback else getproxies().get(origin.scheme)
    if proxy and not proxy_bypass(origin.host):
        proxy = proxy if "://" in proxy else f"http://{proxy}"  # as others read it
        manager: PoolManager = ProxyManager(proxy, proxy_headers=_who(proxy), **options)  # type: ignore[arg-type]
    else:
        manager = PoolManager(**options)  # type: ignore[arg-type]
    manager.pool_classes_by_scheme = _pool_classes(patience)
    return manager


def _who(proxy: str) -> dict[str, str]:
    """Tell a proxy the user and the password of its address, which urllib3 does not do itself."""
    auth = parse_url(proxy).auth
    # Latin-1 is what urllib3 encodes it with, so the bytes stay what they are.
    return make_headers(proxy_basic_auth=unquote(auth, "latin-1")) if auth else {}


def _pool_classes(patience: Patience) -> dict[str, type[HTTPConnectionPool]]:
    """The classes of urllib3 with connections that have our limits."""

    def response(sock: socket.socket, *args: object, **options: object) -> object:
        return original(_PacedSocket(sock, patience), *args, **options)  # type: ignore[arg-type]

    original = HTTPConnection.response_class

    class Plain(HTTPConnection):
        response_class = staticmethod(response)  # type: ignore[assignment]

        def request(self, *args: object, **options: object) -> None:
            _ready_to_send(self, patience)
            super().request(*args, **options)  # type: ignore[arg-type]

    class Secure(HTTPSConnection):
        response_class = staticmethod(response)  # type: ignore[assignment]

        def request(self, *args: object, **options: object) -> None:
            _ready_to_send(self, patience)
            super().request(*args, **options)  # type: ignore[arg-type]

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def _ready_to_send(connection: HTTPConnection, patience: Patience) -> None:
    """Connect, and have the limit of silence count from here on.

    urllib3 gives the sending of a request what its connecting had.
    """
    if connection.sock is None:
        connection.connect()
    connection.timeout = patience.silence
