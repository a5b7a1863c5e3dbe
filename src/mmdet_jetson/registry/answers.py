"""What a registry answers: read up to a limit, and turned into sentences where it is no use."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import NoReturn

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import ProtocolError

from mmdet_jetson.registry.connections import BLOCK
from mmdet_jetson.registry.failures import Dropped, printable, receiving
from mmdet_jetson.registry.place import PlaceError

_MAX_EXPLANATION = 8 << 10
_WORTH_ANOTHER_TRY = frozenset({408, 425, 429, 500, 502, 503, 504})


class Refused(PlaceError):
    """The registry understands, and will not; ``status`` and ``codes`` are its own."""

    def __init__(self, message: str, hint: str, status: int, codes: frozenset[str]) -> None:
        super().__init__(message, hint)
        self.status, self.codes = status, codes


class Astray(PlaceError):
    """What answers is a page for people, or leads to where nothing of a registry is."""


@dataclass(frozen=True)
class Answer:
    """A whole answer, or one without a body."""

    status: int
    headers: Mapping[str, str]
    content: bytes = b""


def read_whole(response: BaseHTTPResponse, limit: int, doing: str) -> bytes:
    """Read a body that has at most so many bytes.

    Raises:
        Dropped: it breaks off.
        PlaceError: it has more.
    """
    told = response.headers.get("Content-Length", "")
    if told.isdecimal() and int(told[:20]) > limit:
        raise _too_long(doing, limit)
    blocks, left = [], limit + 1
    while block := read_block(response, min(BLOCK, left), doing):
        blocks.append(block)
        left -= len(block)
        if left <= 0:
            raise _too_long(doing, limit)
    return b"".join(blocks)


def read_block(response: BaseHTTPResponse, size: int, doing: str, *, whole: bool = True) -> bytes:
    """Read that many bytes of a body, or fewer at its end; none behind it.

    Args:
        response: an answer.
        size: bytes.
        doing: what a sentence starts with.
        whole: whether to wait for all of them. Else what has come is handed out as it is, without
            the copy that urllib3 makes, which costs about as much as to receive it.

    Raises:
        Dropped: it breaks off.
    """
    with receiving(doing):
        read = response.read if whole else response.read1
        try:
            return read(size, decode_content=False)
        except ValueError as error:  # http.client's, of a chunk of less than nothing
            raise ProtocolError(str(error)) from error


def skip(response: BaseHTTPResponse) -> None:
    """Pass over the short body of an answer that says all in its headers."""
    with suppress(PlaceError):
        read_block(response, _MAX_EXPLANATION, "")
    finish(response)


def finish(response: BaseHTTPResponse) -> None:
    """Have the connection ready for the next request, or closed where there may be more to come."""
    if getattr(response, "length_remaining", None) == 0:
        response.drain_conn()
    else:
        response.close()


def _too_long(doing: str, limit: int) -> PlaceError:
    return PlaceError(f"{doing}: the answer has more than the {limit:,} bytes that are allowed")


def refuse(response: BaseHTTPResponse, doing: str) -> NoReturn:
    """Say what an answer means that is none of those hoped for, with the registry's own words.

    Raises:
        Dropped: it is worth another try.
        Refused: it is not.
    """
    codes, words = _explanation(response)
    status = response.status
    told = f"{status} {_phrase(status)}{f': {words}' if words else ''}"
    if status in _WORTH_ANOTHER_TRY:
        pause = retry_after(response.headers.get("Retry-After", ""))
        asks = f", and to wait {pause:,.0f} seconds" if pause else ""
        raise Dropped(f"{doing}: it answers {told}{asks}", "run again later", pause=pause)
    hint = ""
    if status == HTTPStatus.FORBIDDEN:
        hint = "ask whoever runs the registry for that right"
    raise Refused(f"{doing}: it answers {told}", hint, status, codes)


def retry_after(text: str) -> float:
    """Seconds to wait by a ``Retry-After`` header: a number or a date; 0 for neither."""
    if text.strip().isdecimal():
        return float(text.strip()[:9])
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError):
        return 0
    if date.tzinfo is None:
        date = date.replace(tzinfo=timezone.utc)
    return max(0.0, (date - datetime.now(timezone.utc)).total_seconds())


def media_type(headers: Mapping[str, str]) -> str:
    """The media type of an answer, without parameters."""
    return headers.get("Content-Type", "").partition(";")[0].strip().lower()


def refuse_web_page(headers: Mapping[str, str], doing: str) -> None:
    """Refuse a page for people: a login, or a site that is no registry.

    Raises:
        Astray: it is one.
    """
    if media_type(headers) == "text/html":
        raise Astray(
            f"{doing}: the answer is a web page, not a registry's",
            "check the host, and whether a proxy or a login page answers for it",
        )


def _explanation(response: BaseHTTPResponse) -> tuple[frozenset[str], str]:
    """The codes and the words of a registry's errors; of another body its start, if it is text."""
    content = b""
    with suppress(PlaceError):  # the answer is known, its explanation is lost
        content = read_block(response, _MAX_EXPLANATION, "")
    finish(response)
    try:
        errors = json.loads(content)["errors"]
        codes = [str(each.get("code", "")) for each in errors]
        words = [f"{each.get('code', '')} {each.get('message', '')}".strip() for each in errors]
        return frozenset(codes), printable("; ".join(words[:3]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        is_text = media_type(response.headers) == "text/plain"
        return frozenset(), printable(content.decode("utf-8", "replace")) if is_text else ""


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "(no such status)"
