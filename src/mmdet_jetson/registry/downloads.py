"""Blobs on their way from a registry; one that breaks off goes on where it stopped."""

import threading
from collections.abc import Generator
from contextlib import ExitStack
from functools import partial
from queue import SimpleQueue

from urllib3 import BaseHTTPResponse

from mmdet_jetson.registry.answers import read_block
from mmdet_jetson.registry.connections import BLOCK
from mmdet_jetson.registry.failures import Dropped, printable
from mmdet_jetson.registry.place import PlaceError
from mmdet_jetson.registry.session import Request, Session
from mmdet_jetson.registry.workers import Stopped
from mmdet_jetson.store.oci import Descriptor

_LARGE = 8 * BLOCK


class Download:
    """One blob. It ends at the size that its descriptor says, or with an error."""

    def __init__(self, session: Session, repository: str, blob: Descriptor, start: int) -> None:
        self._session, self._blob, self._offset = session, blob, start
        self._path = f"/v2/{repository}/blobs/{blob.digest}"
        self._doing = f"reading the blob {blob.digest[7:19]}"
        self._what = f"{session.name}: {self._doing}"
        self._open = ExitStack()
        self._response: BaseHTTPResponse | None = None
        self._is_over = False

    def blocks(self) -> Generator[bytes, None, None]:
        """Yield what is left of the blob; of a large one the next block comes in meanwhile.

        Raises:
            PlaceError: it is not to be had, or has another size; after some attempts.
        """
        is_large = self._blob.size - self._offset > _LARGE
        return _ahead(self._blocks()) if is_large else self._blocks()

    def _blocks(self) -> Generator[bytes, None, None]:
        try:
            while self._offset < self._blob.size:
                parts: list[bytes] = []
                self._session.retrying(partial(self._fill, parts), lambda: self._offset)
                yield parts[0] if len(parts) == 1 else b"".join(parts)
            self._refuse_more()
        finally:
            self._leave()

    def close(self) -> None:
        """Ask for nothing any more; whoever waits for an answer now is not waited for."""
        self._is_over = True

    def _leave(self) -> None:
        """Give the connection back, or up; only who reads from it may."""
        self._response = None
        self._open.close()

    def _fill(self, parts: list[bytes]) -> None:
        """Add to a block until it is full or the last one, from wherever it stopped."""
        left = min(BLOCK - sum(map(len, parts)), self._blob.size - self._offset)
        while left:
            part = self._receive(left)
            parts.append(part)
            self._offset += len(part)
            left -= len(part)

    def _receive(self, size: int) -> bytes:
        if self._is_over:
            raise Stopped
        try:
            if not self._response:
                self._response = self._ask()
            # TLS comes in 16 KB a time, which are cheaper put together below Python.
            is_secure = self._session.origin().scheme == "https"
            part = read_block(self._response, size, self._what, whole=is_secure)
        except Dropped:
            self._leave()
            raise
        if not part:
            raise PlaceError(
                f"{self._what}: it ends after {self._offset:,} of {self._blob.size:,} bytes"
            )
        return part

    def _ask(self) -> BaseHTTPResponse:
        start = self._offset
        headers = {"Range": f"bytes={start}-"} if start else {}
        hoped = frozenset({200, 206})
        request = Request(self._doing, "GET", self._path, headers, hoped=hoped, is_for_blob=True)
        response = self._open.enter_context(self._session.open(request))
        self._check(response, start if response.status == 206 else 0)
        if response.status != 206:
            self._skip(response, start)
        return response

    def _check(self, response: BaseHTTPResponse, start: int) -> None:
        """Compare what is told of the body with what it should be."""
        size, headers = self._blob.size, response.headers
        if response.status == 206:
            told = headers.get("Content-Range", "")
            if told not in (f"bytes {start}-{size - 1}/{size}", f"bytes {start}-{size - 1}/*"):
                raise PlaceError(
                    f"{self._what}: the registry sends {printable(told) or 'an unknown part'}, and"
                    f" asked for was {start}-{size - 1} of {size:,} bytes"
                )
        length = headers.get("Content-Length", "")
        if length.isdecimal() and int(length[:20]) != size - start:
            raise PlaceError(
                f"{self._what}: the registry has {int(length[:20]):,} bytes, and it should be"
                f" {size - start:,}"
            )
        if headers.get("Content-Encoding", "identity") != "identity":
            raise PlaceError(f"{self._what}: it comes compressed, which was not asked for")

    def _skip(self, response: BaseHTTPResponse, left: int) -> None:
        """Pass over what is here already, where a registry knows no ranges."""
        while left and (block := read_block(response, min(BLOCK, left), self._what)):
            left -= len(block)

    def _refuse_more(self) -> None:
        response = self._response
        if not response or getattr(response, "length_remaining", None) == 0:
            return
        if read_block(response, 1, self._what):
            raise PlaceError(f"{self._what}: it goes on after its {self._blob.size:,} bytes")


def _ahead(blocks: Generator[bytes, None, None]) -> Generator[bytes, None, None]:
    """Receive a block while the one before is digested and written.

    The thread that receives is a daemon, and is not waited for: the network may be dead.
    """
    wanted: SimpleQueue[bool] = SimpleQueue()
    received: SimpleQueue[bytes | BaseException] = SimpleQueue()

    def receive() -> None:
        while wanted.get():
            try:
                received.put(next(blocks, b""))
            except BaseException as error:  # raised where the block is awaited
                received.put(error)
        blocks.close()

    threading.Thread(target=receive, name="ahead", daemon=True).start()
    wanted.put(True)
    try:
        while block := received.get():
            if isinstance(block, BaseException):
                raise block
            wanted.put(True)
            yield block
    finally:
        wanted.put(False)
