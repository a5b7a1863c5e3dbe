"""What can go wrong with one request to a `RegistryServer`: what its ``spoil`` takes."""

import re
import time
from collections.abc import Callable
from contextlib import suppress

from registry_server import Answer, Fault, Handler


def status(code: int, headers: dict[str, str] | None = None, body: bytes = b"") -> Fault:
    """Answer that, and do nothing of what was asked."""

    def fault(handler: Handler) -> None:
        handler.receive()
        handler.send(Answer(code, headers or {}, body))

    return fault


def changed(change: Callable[[Answer], Answer | None]) -> Fault:
    """Do what was asked, and change the answer."""

    def fault(handler: Handler) -> None:
        answer = handler.answer()
        handler.send(change(answer) or answer)

    return fault


def header(name: str, value: str | None) -> Fault:
    """Answer with another value of a header, or without it."""

    def change(answer: Answer) -> None:
        answer.headers.pop(name, None)
        if value is not None:
            answer.headers[name] = value

    return changed(change)


def body(content: bytes) -> Fault:
    """Answer with another body, whatever the headers say of the right one."""
    return changed(lambda answer: Answer(answer.status, answer.headers, content))


def redirect(url: str, code: int = 307) -> Fault:
    return status(code, {"Location": url})


def cut_request(after: int) -> Fault:
    """Hang up when so many bytes of the body have come; whether those count says `keeps_cut`."""

    def fault(handler: Handler) -> None:
        content = handler.receive(after)
        key = re.search(r"/v2/(.+)/blobs/uploads/([0-9a-f-]+)", handler.path)
        if key and handler.command == "PATCH" and handler.server.keeps_cut:
            handler.server.repository(key[1]).uploads[key[2]] += content
        handler.hang_up()

    return fault


def cut_answer(after: int) -> Fault:
    """Do what was asked, and hang up after so many bytes of the answer's body."""

    def fault(handler: Handler) -> None:
        handler.send(handler.answer(), upto=after)
        handler.wfile.flush()
        handler.hang_up()

    return fault


def unanswered(handler: Handler) -> None:
    """Do what was asked, and hang up without a word."""
    handler.answer()
    handler.hang_up()


def endless(handler: Handler) -> None:
    """Answer with a body without an end, in chunks."""
    answer = handler.answer()
    handler.send_response_only(answer.status)
    for name, value in answer.headers.items():
        handler.send_header(name, value)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    chunk = answer.body or b"x"
    with suppress(OSError):
        while True:
            handler.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
            handler.wfile.flush()
    handler.close_connection = True


def drip(seconds: float, in_headers: bool = False) -> Fault:
    """Answer with a byte every so often."""

    def fault(handler: Handler) -> None:
        answer = handler.answer()
        with suppress(OSError):
            if in_headers:
                handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                answer.body = b"x" * 60_000
            else:
                handler.send(
                    Answer(
                        answer.status, {**answer.headers, "Content-Length": str(len(answer.body))}
                    )
                )
            for number in range(len(answer.body)):
                handler.wfile.write(answer.body[number : number + 1])
                handler.wfile.flush()
                time.sleep(seconds)
        handler.close_connection = True

    return fault


def paused(seconds: float) -> Fault:
    """Read nothing for a while, and then do what is asked."""

    def fault(handler: Handler) -> None:
        time.sleep(seconds)
        handler.send(handler.answer())

    return fault


def silent(seconds: float) -> Fault:
    """Answer nothing, and hang up in the end."""

    def fault(handler: Handler) -> None:
        time.sleep(seconds)
        handler.hang_up()

    return fault
