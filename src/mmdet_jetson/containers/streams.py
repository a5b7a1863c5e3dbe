"""What a Docker host sends meanwhile: a running container's output, a build's messages."""

import re
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from mmdet_jetson.containers.answers import Message
from mmdet_jetson.containers.connection import APIClient
from mmdet_jetson.containers.lines import Lines, plain
from mmdet_jetson.containers.objects import DockerHostError

# What the classic builder says of its own containers and images, for each instruction.
OF_THE_BUILDER = re.compile(r" ---> (Running in )?[0-9a-f]{12}|Removing intermediate container \w+")

# Docker 28 and newer shield each container with a rule in this table, for which JetPack 6's kernel
# has no module: https://github.com/moby/moby/issues/49557
RAW_TABLE = "can't initialize iptables table `raw'"
NO_RAW_TABLE = (
    "this Docker needs the kernel module iptable_raw, which the machine lacks, as JetPack 6 does: "
    "install Docker 27 there, or with 28.0.2 or newer do without that shield: sudo systemctl edit "
    "docker, [Service] Environment=DOCKER_INSECURE_NO_IPTABLES_RAW=1, sudo systemctl restart docker"
)


class _Socket(Protocol):
    """A connection, as it is over Unix sockets and ssh."""

    def recv(self, size: int, /) -> bytes: ...


class _Closable(Protocol):
    """A connection, whatever it is."""

    def close(self) -> None: ...


class _File(Protocol):
    """A connection, as it is over TLS and where the SDK hands out a file around it."""

    def read(self, size: int, /) -> bytes | None: ...


def output_of(api: APIClient, container: str) -> Iterator[tuple[int, bytes]]:
    """Start a created container; give what it writes, as (`STDOUT` or `STDERR`, content).

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
        connection.close()


def input_of(api: APIClient, container: str) -> tuple[_Closable, Callable[[bytes], None]]:
    """Start a created container; give the connection to its input, and what writes there."""
    connection = api.attach_socket(container, params={"stdin": 1, "stream": 1})
    try:
        api._disable_socket_timeout(connection)
        api.start(container)
    except BaseException:
        connection.close()
        raise
    # Over a Unix socket the SDK gives a file that can only be read, around the connection.
    return connection, getattr(connection, "_sock", connection).sendall


def pass_on(messages: Iterable[Message], on_line: Callable[[str], None]) -> None:
    """Hand the lines of a build's or a pull's messages to ``on_line``, fit for a log.

    The classic builder colours whatever a program writes to its standard error. A pull has six
    messages and more for each layer, which are left out.

    Raises:
        DockerHostError: one of them is an error, which ends it.
    """

    def say(line: str) -> None:
        text = plain(line).rstrip()
        if text and not OF_THE_BUILDER.fullmatch(text):
            on_line(text)

    output = Lines(say)
    for message in messages:
        if "error" in message:
            output.close()
            reason = plain(str(message["error"])).strip()
            raise DockerHostError(reason, NO_RAW_TABLE if RAW_TABLE in reason else "")
        output.feed(message.get("stream", "").encode())
        if "progressDetail" not in message:
            say(message.get("status", ""))
    output.close()


def _read(connection: _Socket | _File, size: int) -> bytes:
    """Read exactly so many bytes, or nothing where the stream ends.

    Not the SDK's own reader: it polls, and under TLS what was decrypted already wakes no poll.
    """
    content = b""
    while len(content) < size:
        more = _receive(connection, size - len(content))
        if not more:
            return b""
        content += more
    return content


def _receive(connection: _Socket | _File, size: int) -> bytes | None:
    if hasattr(connection, "recv"):
        return connection.recv(size)
    return connection.read(size)
