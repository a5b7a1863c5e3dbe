"""Lists that a registry hands out in pages."""

import re
from collections.abc import Callable, Iterator
from typing import TypeVar
from urllib.parse import quote

import msgspec

from mmdet_jetson.registry.answers import Answer
from mmdet_jetson.registry.failures import printable
from mmdet_jetson.registry.place import PlaceError
from mmdet_jetson.registry.session import Request, Session
from mmdet_jetson.store.naming import is_tag

T = TypeVar("T")
_A_PAGE = 1000
_MOST_PAGES = 10_000
_LINK = re.compile(r"<([^<>]*)>([^<,]*)")
_NEXT = re.compile(r";\s*rel\s*=\s*\"?next\"?\s*(?:;|$)", re.IGNORECASE)


class _Tags(msgspec.Struct, frozen=True):
    tags: list[str] | None = None


def pages(session: Session, doing: str, path: str, hoped: frozenset[int]) -> Iterator[Answer]:
    """The answers to a request and to those that each names as the next.

    Raises:
        PlaceError: they go round in a circle, have no end, or lead elsewhere.
    """
    seen = {path}
    for _ in range(_MOST_PAGES):
        answer = session.ask(Request(doing, "GET", path, hoped=hoped))
        yield answer
        following = _next(answer.headers.get("Link", ""))
        if answer.status != 200 or not following:
            return
        path = session.path_here(following, doing, path)
        if path in seen:
            raise PlaceError(f"{session.name}: {doing}: the pages of the list go round in a circle")
        seen.add(path)
    raise PlaceError(f"{session.name}: {doing}: the list has more than {_MOST_PAGES:,} pages")


def read_tags(
    session: Session, repository: str, after: str = "", is_wanted: Callable[[str], bool] = bool
) -> list[str]:
    """The tags of a repository.

    Args:
        session: the way to the registry.
        repository: its repository.
        after: start behind this one in the order of their names, where the registry has one.
        is_wanted: which to keep; with ``after`` they lie side by side in that order.
    """
    doing, name = "listing the tags", session.name
    path = f"/v2/{repository}/tags/list?n={_A_PAGE}"
    if after:
        path += f"&last={quote(after, safe='')}"
    found: list[str] = []
    for answer in pages(session, doing, path, frozenset({200, 404})):
        if answer.status == 404:
            break
        tags = decode(answer.content, _Tags, f"{name}: {doing}").tags or []
        if bad := [tag for tag in tags if not is_tag(tag)]:
            raise PlaceError(f"{name}: {doing}: {printable(bad[0])!r} is no tag")
        wanted = [tag for tag in tags if is_wanted(tag)]
        found += wanted
        # Docker's registry knows no order, and no pages either.
        if after and tags and not is_wanted(tags[-1]) and tags == sorted(tags):
            break
    return list(dict.fromkeys(found))


def decode(content: bytes, kind: type[T], doing: str) -> T:
    """The JSON of an answer as a type.

    Raises:
        PlaceError: it is something else.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise PlaceError(f"{doing}: the answer cannot be read: {printable(str(error))}") from error


def _next(header: str) -> str:
    """The address of the next page in a ``Link`` header (RFC 8288); empty where there is none."""
    return next((url for url, rest in _LINK.findall(header) if _NEXT.search(rest)), "")
