"""Blobs on their way to a registry; a large one goes on where it stopped."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote

import msgspec

from mmdet_jetson.locks import hold_if_free, lock_beside
from mmdet_jetson.registry.answers import Answer, Refused
from mmdet_jetson.registry.connections import BLOCK
from mmdet_jetson.registry.failures import Dropped
from mmdet_jetson.registry.place import OnBytes, PlaceError
from mmdet_jetson.registry.session import Request, Session
from mmdet_jetson.store.oci import Descriptor

WHOLE = 8 << 20
"""Bytes up to which a blob goes over in one request; it is not worth a note."""
_OCTETS = "application/octet-stream"
_LOST = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE})
"""Answers that mean that an upload is not as far as was thought, whatever its blob is."""
_TRIES = 3


class _Upload(msgspec.Struct):
    """An upload that the registry has begun: its path by its latest answer, and what it has."""

    path: str
    offset: int


class _Restart(PlaceError):
    """The registry has lost an upload, or will not go on with what was sent of it before."""


@dataclass
class _Progress:
    """Reports bytes once, however often they are sent."""

    on_bytes: OnBytes
    most: int = 0

    def reach(self, offset: int) -> None:
        if offset > self.most:
            self.on_bytes(offset - self.most)
            self.most = offset


class Uploads:
    """Uploads to one repository.

    ``notes`` is a folder where the address of each unfinished one is kept, for a process that comes
    after this one. A note may hold what lets others write to the upload, so it is the user's alone.
    """

    def __init__(
        self, session: Session, repository: str, notes: Path, has: Callable[[Descriptor], bool]
    ) -> None:
        self._session, self._notes, self._has = session, notes, has
        self._start_path = f"/v2/{repository}/blobs/uploads/"

    def write(self, blob: Descriptor, source: Path, on_bytes: OnBytes) -> None:
        """Add a blob from a file that has its bytes.

        Raises:
            PlaceError: the file is not the blob, or the registry does not take it.
        """
        size = source.stat().st_size
        if size != blob.size:
            raise PlaceError(f"{source} has {size:,} bytes, not the {blob.size:,} of its blob")
        progress = _Progress(on_bytes)
        if blob.size <= WHOLE:
            self._session.retrying(lambda: self._send_whole(blob, source))
            progress.reach(blob.size)
            return
        with self._note(blob) as note:
            for left in reversed(range(_TRIES)):
                try:
                    self._send_large(blob, source, progress, note)
                    break
                except _Restart:
                    if not left:
                        raise
            if note:
                note.unlink(missing_ok=True)

    def _send_whole(self, blob: Descriptor, source: Path) -> None:
        upload = self._start(blob)
        try:
            self._finish(blob, upload, lambda: _blocks(source, 0, lambda _: None), blob.size)
        except Dropped:
            if not self._has(blob):
                raise

    def _send_large(
        self, blob: Descriptor, source: Path, progress: _Progress, note: Path | None
    ) -> None:
        known = _read_note(note)
        reached = [0]

        def attempt() -> None:
            nonlocal known
            upload = (known and self._status(blob, known)) or self._start(blob)
            known = upload
            _write_note(note, upload)
            reached[0] = upload.offset
            progress.reach(upload.offset)
            try:
                if upload.offset < blob.size:
                    self._patch(blob, upload, source, progress)
                    _write_note(note, upload)
                self._finish(blob, upload, None, 0)
            except Dropped:
                if self._has(blob):
                    return
                raise
            except Refused as error:
                # Of no more use, whether it is lost or has got other bytes.
                known = None
                if note:
                    note.unlink(missing_ok=True)
                if reached[0] or error.status in _LOST:
                    raise _Restart(error.message, error.hint) from error
                raise

        self._session.retrying(attempt, lambda: reached[0])

    def _start(self, blob: Descriptor) -> _Upload:
        doing = f"starting to send {_shown(blob)}"
        headers = {"Content-Length": "0"}
        request = Request(
            doing, "POST", self._start_path, headers, writes=True, hoped=frozenset({202})
        )
        answer = self._session.ask_once(request)
        return _Upload(self._location(answer, doing, self._start_path), 0)

    def _status(self, blob: Descriptor, upload: _Upload) -> _Upload | None:
        """How far the registry has got; None where it knows nothing of the upload any more."""
        doing = f"asking how much of {_shown(blob)} is there"
        hoped = frozenset({200, 202, 204, 400, 404, 410, 416})
        request = Request(doing, "GET", upload.path, writes=True, hoped=hoped)
        answer = self._session.ask_once(request)
        if answer.status >= 400:
            return None
        offset = _range_end(answer)
        if not 1 < offset <= blob.size:  # "0-0" stands for nothing, too
            return None
        return _Upload(self._location(answer, doing, upload.path), offset)

    def _patch(self, blob: Descriptor, upload: _Upload, source: Path, progress: _Progress) -> None:
        doing = f"sending {_shown(blob)}"
        headers = {"Content-Type": _OCTETS, "Content-Length": str(blob.size - upload.offset)}
        if upload.offset:  # as Docker does: not every registry takes a range from the start
            headers["Content-Range"] = f"{upload.offset}-{blob.size - 1}"
        request = Request(
            doing,
            "PATCH",
            upload.path,
            headers,
            lambda: _blocks(source, upload.offset, progress.reach),
            writes=True,
            hoped=frozenset({201, 202, 204}),
        )
        with self._session.open(request) as response:
            answer = Answer(response.status, response.headers)
        upload.path = self._location(answer, doing, upload.path)
        upload.offset = blob.size

    def _finish(
        self,
        blob: Descriptor,
        upload: _Upload,
        body: Callable[[], Iterator[bytes]] | None,
        length: int,
    ) -> None:
        query = f"{'&' if '?' in upload.path else '?'}digest={quote(blob.digest, safe='')}"
        headers = {"Content-Type": _OCTETS, "Content-Length": str(length)}
        request = Request(
            f"sending {_shown(blob)}",
            "PUT",
            upload.path + query,
            headers,
            body,
            writes=True,
            hoped=frozenset({201, 204}),
        )
        with self._session.open(request):
            pass

    def _location(self, answer: Answer, doing: str, base: str) -> str:
        location = answer.headers.get("Location", "")
        return self._session.path_here(location, doing, base) if location else base

    @contextmanager
    def _note(self, blob: Descriptor) -> Iterator[Path | None]:
        """Where an upload is noted; None while another process is at the same one."""
        what = f"{self._session.name}@{blob.digest}".encode()
        note = self._notes / f"{hashlib.sha256(what).hexdigest()[:32]}.json"
        with hold_if_free(lock_beside(note)) as is_ours:
            yield note if is_ours else None


def _blocks(source: Path, start: int, reach: Callable[[int], None]) -> Iterator[bytes]:
    """The bytes of a file; ``reach`` is told after each block that the connection has taken."""
    with source.open("rb", buffering=0) as stream:
        stream.seek(start)
        while block := stream.read(BLOCK):
            yield block
            start += len(block)
            reach(start)


def _range_end(answer: Answer) -> int:
    """The number of bytes that the registry has by an answer's ``Range``; 0 where it says none."""
    first, dash, last = answer.headers.get("Range", "").removeprefix("bytes=").partition("-")
    is_range = dash and first == "0" and last.isdecimal()
    return int(last[:20]) + 1 if is_range else 0


def _read_note(note: Path | None) -> _Upload | None:
    try:
        return msgspec.json.decode(note.read_bytes(), type=_Upload) if note else None
    except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _write_note(note: Path | None, upload: _Upload) -> None:
    if not note:
        return
    new = note.with_suffix(".new")
    new.touch(mode=0o600)
    new.write_bytes(msgspec.json.encode(upload))
    os.replace(new, note)  # noqa: PTH105


def _shown(blob: Descriptor) -> str:
    title = (blob.annotations or {}).get("org.opencontainers.image.title", "")
    return f"{title} ({blob.digest[7:19]})" if title else f"the blob {blob.digest[7:19]}"
