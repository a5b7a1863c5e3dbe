"""Download over HTTP into a partial file that a later attempt, or a later run, continues."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
import requests
import tenacity

from mmdet_jetson.fetching.locations import LocationFailed, OnBytes, WrongFile

_CHUNK = 1 << 20
# What a connection loses when it breaks off; urllib3 hands out whole packets only.
_PACKET = 1 << 17
_CONNECT_SECONDS = 4
_SILENCE_SECONDS = 30
_ATTEMPTS = 3
_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 8
_WORTH_ANOTHER_TRY = {408, 429, 500, 502, 503, 504}


class _Dropped(LocationFailed):
    """It may go better next time."""


class _Version(msgspec.Struct, frozen=True):
    """Which content a partial file is a part of."""

    validator: str
    """A strong ETag or a date, for ``If-Range``; empty: the file cannot be continued."""
    total: int | None
    """Bytes."""


class _Partial:
    """The bytes so far, and beside them the version of the content that they are a part of."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._note = path.with_suffix(".json")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def version(self) -> _Version:
        try:
            return msgspec.json.decode(self._note.read_bytes(), type=_Version)
        except (FileNotFoundError, msgspec.DecodeError):
            return _Version("", None)

    def is_complete(self) -> bool:
        return self.size > 0 and self.size == self.version.total

    def restart(self, version: _Version) -> None:
        # A run that was killed may have left a file that nobody may write to.
        self.path.unlink(missing_ok=True)
        self.path.write_bytes(b"")
        self._note.write_bytes(msgspec.json.encode(version))

    def digest(self) -> "hashlib._Hash":
        digest = hashlib.sha256()
        with self.path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
        return digest


class _NoGrowth:
    """Stop after some attempts in a row that brought nothing new."""

    def __init__(self, partial: _Partial) -> None:
        self.partial = partial
        self.most = partial.size
        self.fruitless = 0

    def __call__(self, _: tenacity.RetryCallState) -> bool:
        if self.partial.size > self.most:
            self.most, self.fruitless = self.partial.size, 0
        self.fruitless += 1
        return self.fruitless >= _ATTEMPTS


def download(url: str, target: Path, *, size: int | None, progress: OnBytes) -> str:
    """Download ``url`` to ``target``, continuing what is there, and return its SHA-256.

    Args:
        url: http or https.
        target: the partial file; kept on failure, with a note of its version beside it (.json).
        size: the bytes it must have, if known.
        progress: called with (bytes so far, bytes in all or None).

    Raises:
        LocationFailed: the reason, after bounded retries where those make sense.
        OSError: the disk is full or not writable.
    """
    partial = _Partial(target)
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(_Dropped),
        wait=tenacity.wait_exponential(multiplier=_PAUSE_SECONDS, max=_LONGEST_PAUSE_SECONDS),
        stop=_NoGrowth(partial),
        reraise=True,
    )
    return retrying(_attempt, url, partial, size, progress)


def _attempt(url: str, partial: _Partial, size: int | None, progress: OnBytes) -> str:
    if partial.is_complete():
        return partial.digest().hexdigest()
    with _answer(url, _range_headers(partial)) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            return _settle_end(response, partial)
        total = _total(response)
        if size is not None and total is not None and size != total:
            raise WrongFile(f"holds {total:,} bytes, not {size:,}")
        if response.status_code != requests.codes.partial_content:
            partial.restart(_Version(_validator(response.headers), total))
        elif not _continues(response, partial):
            partial.restart(_Version("", None))
            raise _Dropped("changed between two parts of the download")
        return _receive(response, partial, total, progress)


def _settle_end(response: requests.Response, partial: _Partial) -> str:
    """Tell a download that only its renaming is missing from one that has to start again.

    The site has no byte where we would go on. Its file may be what we have, which we cannot know
    alone where it never told a length; or the file has become shorter.
    """
    has_all = response.headers.get("Content-Range") == f"bytes */{partial.size}"
    if has_all and _validator(response.headers) == partial.version.validator:
        return partial.digest().hexdigest()
    partial.restart(_Version("", None))
    raise _Dropped("has no more than the part that is here, but perhaps of another version")


def _range_headers(partial: _Partial) -> dict[str, str]:
    validator = partial.version.validator
    if not (partial.size and validator):
        return {}
    return {"Range": f"bytes={partial.size}-", "If-Range": validator}


@contextmanager
def _answer(url: str, headers: Mapping[str, str]) -> Iterator[requests.Response]:
    try:
        response = requests.get(
            url,
            headers={"Accept-Encoding": "identity", **headers},
            stream=True,
            timeout=(_CONNECT_SECONDS, _SILENCE_SECONDS),
        )
    except requests.exceptions.SSLError as error:
        raise LocationFailed(f"its certificate is not trusted: {_cause(error)}") from error
    except (requests.ConnectionError, requests.Timeout) as error:
        raise _Dropped(f"cannot be reached: {_cause(error)}") from error
    except requests.RequestException as error:
        raise LocationFailed(f"is not a valid address: {_cause(error)}") from error
    with response:
        _check(response, may_end="Range" in headers)
        yield response


def _check(response: requests.Response, *, may_end: bool) -> None:
    if may_end and response.status_code == requests.codes.requested_range_not_satisfiable:
        return
    answer = f"answered {response.status_code} {response.reason}"
    if response.status_code in _WORTH_ANOTHER_TRY:
        raise _Dropped(answer)
    if response.status_code not in (requests.codes.ok, requests.codes.partial_content):
        raise LocationFailed(answer)
    # Expired domains and login pages answer 200 to everything.
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise WrongFile("answered with a web page instead of the file")


def _validator(headers: Mapping[str, str]) -> str:
    etag = headers.get("ETag", "")
    return etag if etag.startswith('"') else headers.get("Last-Modified", "")


def _total(response: requests.Response) -> int | None:
    text = response.headers.get("Content-Length", "")
    if response.status_code == requests.codes.partial_content:
        text = response.headers.get("Content-Range", "").rpartition("/")[2]
    return int(text) if text.isdecimal() else None


def _continues(response: requests.Response, partial: _Partial) -> bool:
    """Tell whether the answer is the rest of what we have (RFC 9110, section 14.4)."""
    starts_here = response.headers.get("Content-Range", "").startswith(f"bytes {partial.size}-")
    is_same = _Version(_validator(response.headers), _total(response)) == partial.version
    return starts_here and is_same


def _receive(
    response: requests.Response, partial: _Partial, total: int | None, progress: OnBytes
) -> str:
    digest = partial.digest()
    done = partial.size
    try:
        with partial.path.open("ab", buffering=0) as sink:
            for chunk in response.iter_content(_PACKET):
                sink.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                progress(done, total)
    except requests.RequestException as error:
        raise _Dropped(f"broke off after {done:,} bytes") from error
    if total is not None and done != total:
        raise _Dropped(f"broke off after {done:,} of {total:,} bytes")
    return digest.hexdigest()


def _cause(error: requests.RequestException) -> str:
    """Return the innermost reason, without the address, which may hold a password."""
    inner = error.args[0] if error.args else error
    return str(getattr(inner, "reason", inner)).rpartition(": ")[2]
