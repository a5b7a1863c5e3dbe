"""What goes wrong on the way to a registry and back, as sentences."""

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationValueError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
)

from mmdet_jetson.registry.connections import TooSlow
from mmdet_jetson.registry.place import PlaceError

E = TypeVar("E", bound=BaseException)
_CONTROL = re.compile(r"[^\x20-\x7e\xa1-\uffff]+|[\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+")
_MAX_SHOWN = 300
_CHECK = "check the name and that it is running, then run again"
_AGAIN = "run again: what is there already is not sent again"


def printable(text: str) -> str:
    """What may go to a terminal of words from elsewhere: one line, no control characters."""
    shown = " ".join(_CONTROL.sub(" ", text).split())
    return shown if len(shown) <= _MAX_SHOWN else f"{shown[:_MAX_SHOWN]}…"


class Dropped(PlaceError):
    """It may go better next time; ``pause`` is what the registry asks for, in seconds."""

    def __init__(self, message: str, hint: str = "", *, pause: float = 0, cost: int = 1) -> None:
        super().__init__(message, hint)
        self.pause, self.cost = pause, cost


class NoTls(PlaceError):
    """There is nobody, or somebody who does not speak TLS."""

    def __init__(self, message: str, hint: str, *, is_silent: bool) -> None:
        super().__init__(message, hint)
        self.is_silent = is_silent


@contextmanager
def receiving(doing: str) -> Iterator[None]:
    """Turn what goes wrong between two machines into one sentence that starts with ``doing``.

    Raises:
        Dropped: it may go better next time.
        PlaceError: it will not.
    """
    try:
        yield
    except (HTTPError, OSError) as error:
        if isinstance(error, OSError) and error.filename:
            raise  # a file of this machine
        raise _sentence(error, doing) from error


@contextmanager
def unreachable(*, may_be_plain: bool) -> Iterator[None]:
    """Tell the first contact from later ones: who is not there now will not be in a second.

    Args:
        may_be_plain: a connection that breaks off may mean that there is no TLS.

    Raises:
        NoTls: nobody is there, or somebody who speaks no TLS.
    """
    try:
        yield
    except Dropped as error:
        cause = error.__cause__
        if isinstance(cause, NewConnectionError | ConnectTimeoutError):
            raise NoTls(error.message, _CHECK, is_silent=True) from error
        broke_off = _found(cause, ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError)
        if may_be_plain if broke_off else _found(cause, ssl.SSLError):
            hint = "if it has no TLS, and you trust the network in between: --plain-http"
            raise NoTls(error.message, hint, is_silent=False) from error
        raise


def _sentence(error: BaseException, doing: str) -> PlaceError:
    if isinstance(error, NameResolutionError):
        return PlaceError(f"{doing}: there is no host of that name", "check it, or the network")
    if isinstance(error, ProxyError):
        return PlaceError(f"{doing}: the proxy does not let it through", "check HTTPS_PROXY")
    if isinstance(error, LocationValueError):  # its words have the address, signatures included
        return PlaceError(f"{doing}: an address on the way is none", "check HTTPS_PROXY, if set")
    if distrust := _found(error, ssl.SSLCertVerificationError):
        return PlaceError(
            f"{doing}: the certificate is not trusted: {distrust.verify_message}",
            "name the file of the authority that signed it: --ca, or `ca` in [store]",
        )
    if slow := _found(error, TooSlow):
        return PlaceError(f"{doing}: it is too slow to ever end: {slow}", _AGAIN)
    return _dropped(error, doing)


def _dropped(error: BaseException, doing: str) -> Dropped:
    if isinstance(error, ConnectTimeoutError | NewConnectionError):
        return Dropped(f"{doing}: it cannot be reached: {_innermost(error)}", _CHECK)
    if _found(error, ReadTimeoutError, TimeoutError):
        return Dropped(f"{doing}: no answer for too long", _AGAIN, cost=2)
    return Dropped(f"{doing}: the connection broke off: {_innermost(error)}", _AGAIN)


def _found(error: BaseException | None, *kinds: type[E]) -> E | None:
    """The first of the causes that is of a kind."""
    while error is not None:
        if isinstance(error, kinds):
            return error
        error = _cause(error)
    return None


def _cause(error: BaseException) -> BaseException | None:
    """What an error was made of; urllib3 puts that into the arguments of some."""
    inner = [each for each in error.args if isinstance(each, BaseException)]
    return inner[0] if inner else error.__cause__ or error.__context__


def _innermost(error: BaseException) -> str:
    """The words of the first cause, which are the plainest and name no address."""
    while further := _cause(error):
        error = further
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return printable(str(error)) or type(error).__name__
