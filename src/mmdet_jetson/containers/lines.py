"""What a container or a build prints, line by line."""

from collections.abc import Callable

from rich.text import Text


def plain(line: str) -> str:
    """A line as it belongs into a log: without colours, and only what overwrote the rest of it."""
    return Text.from_ansi(line.rstrip("\r")).plain


class Lines:
    """Cuts bytes that come in pieces into lines, and hands each on without its newline."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._rest = b""

    def feed(self, content: bytes) -> None:
        """Take the next piece."""
        *lines, self._rest = (self._rest + content).split(b"\n")
        for line in lines:
            self._on_line(line.decode(errors="replace"))

    def close(self) -> None:
        """Hand on what came last, if it ended without a newline, as dying programs do."""
        if self._rest:
            self._on_line(self._rest.decode(errors="replace"))
            self._rest = b""
