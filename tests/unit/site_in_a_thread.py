"""A web site on this machine whose answers can be spoiled, one request after the other."""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """What the site serves, how it misbehaves, and what it was asked."""

    files: dict[str, bytes]
    url: str = ""
    etag: str = '"v1"'
    content_type: str = "application/octet-stream"
    has_ranges: bool = True
    heeds_if_range: bool = True
    has_etag_at_end: bool = True
    """Whether the answer to a range behind the end (416) has an ETag; many sites' has none."""
    tells_length: bool = True
    answers: list[Callable[["Handler"], None]] = field(default_factory=list)
    """What the next requests get instead of a good answer."""
    asked: list[dict[str, str]] = field(default_factory=list)
    """The headers of each request."""


class Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        self.site.asked.append(dict(self.headers))
        if self.site.answers:
            self.site.answers.pop(0)(self)
        else:
            self.serve()

    def serve(self, upto: int | None = None) -> None:
        """Serve the file; only ``upto`` bytes of what was promised, if given."""
        content = self.site.files.get(self.path.lstrip("/"))
        if content is None:
            self.send_error(404)
            return
        start = self._start()
        if start and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            if self.site.etag and self.site.has_etag_at_end:
                self.send_header("ETag", self.site.etag)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if self.site.tells_length:
            self.send_header("Content-Length", str(len(content) - start))
        if self.site.etag:
            self.send_header("ETag", self.site.etag)
        self.send_header("Content-Type", self.site.content_type)
        self.end_headers()
        with suppress(ConnectionError):  # the client may have heard enough
            self.wfile.write(content[start:upto])

    def _start(self) -> int:
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if not (wanted and self.site.has_ranges):
            return 0
        is_stale = self.headers.get("If-Range") != self.site.etag
        return 0 if is_stale and self.site.heeds_if_range else int(wanted[1])

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def server_of(site: Site) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("SiteHandler", (Handler,), {"site": site}))
    site.url = f"http://127.0.0.1:{server.server_port}"
    return server


def status(code: int) -> Callable[[Handler], None]:
    return lambda handler: handler.send_error(code)


def drop_after(size: int) -> Callable[[Handler], None]:
    return lambda handler: handler.serve(upto=size)
