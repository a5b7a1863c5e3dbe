"""What a container prints, line by line."""

from collections.abc import Callable


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
