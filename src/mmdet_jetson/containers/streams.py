"""What an engine sends while something goes on there: a container's output, a build's messages."""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from mmdet_jetson.containers.objects import DockerHostError


def output_of(api: Any, container: str) -> Iterator[tuple[int, bytes]]:
    """Start a created container; give what it writes, as (`box.STDOUT` or `box.STDERR`, content).

    Its standard input is held open until the output ends or is given up.
    """
    streams = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
    connection = api.attach_socket(container, params=streams)
    try:
        api._disable_socket_timeout(connection)
        api.start(container)
        while header := _read(connection, 8):
            stream, size = struct.unpack(">BxxxL", header)
            yield stream, _read(connection, size)
    finally:
        with suppress(OSError):  # over ssh, closing says goodbye to what may be gone
            connection.close()


def pass_on(messages: Iterable[Mapping[str, Any]], on_line: Callable[[str], None]) -> None:
    """Hand the lines of a build's or a pull's messages to ``on_line``.

    Raises:
        DockerHostError: one of them is an error, which ends it.
    """
    for message in messages:
        if "error" in message:
            raise DockerHostError(str(message["error"]).strip())
        for text in str(message.get("stream") or message.get("status") or "").splitlines():
            if text.strip():
                on_line(text)


def _read(connection: Any, size: int) -> bytes:
    """Read exactly so many bytes, or nothing where the stream ends.

    Not the SDK's own reader: it polls, and under TLS what was decrypted already wakes no poll.
    """
    read = connection.recv if hasattr(connection, "recv") else connection.read
    content = b""
    while len(content) < size:
        more = read(size - len(content))
        if not more:
            return b""
        content += more
    return content
