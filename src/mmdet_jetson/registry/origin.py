"""Where a request goes: scheme, host and port, and whether that is this machine."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from mmdet_jetson.registry.place import PlaceError

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Origin:
    """Whom one talks to. Credentials of one are nobody else's."""

    scheme: str
    host: str
    """Lower case; IPv6 addresses without brackets."""
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether what is sent there stays on this machine."""
        return is_loopback(self.host)

    @property
    def address(self) -> str:
        """Host and port as in an address, the usual port left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.address}"


@dataclass(frozen=True)
class Url:
    """An address that was taken apart; ``path`` has its query, which may hold signatures."""

    origin: Origin
    path: str

    def __str__(self) -> str:
        return f"{self.origin}{self.path}"


def is_loopback(host: str) -> bool:
    """Whether a host, without a port, is this machine itself.

    A name below ``localhost`` should be (RFC 6761), and a name server may answer otherwise.
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def parse_url(text: str, what: str, base: Url | None = None) -> Url:
    """Take an address apart that a registry answered with, relative to ``base`` if there is one.

    Raises:
        PlaceError: it is none that one can go to; ``what`` says who named it.
    """
    try:
        parts = urlsplit(urljoin(str(base), text) if base else text)
        port = parts.port
    except ValueError as error:
        raise PlaceError(f"{what} names an address that is none: {error}") from error
    if parts.scheme not in _PORTS or not parts.hostname or not text.isprintable() or " " in text:
        raise PlaceError(f"{what} names an address that is none for HTTP")
    if parts.username is not None:
        raise PlaceError(f"{what} names an address with a user in it, at {parts.hostname}")
    origin = Origin(parts.scheme, parts.hostname, port or _PORTS[parts.scheme])
    path = parts.path or "/"
    return Url(origin, f"{path}?{parts.query}" if parts.query else path)


def origin_of(host: str, scheme: str) -> Origin:
    """The origin of a host that a user named, with its port or without."""
    return parse_url(f"{scheme}://{host}", "the name of the place").origin
