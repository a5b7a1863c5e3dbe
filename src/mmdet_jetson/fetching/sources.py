"""Fetch datasets and weights once, by digest, from mirrors or from where they come from."""

import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mmdet_jetson.config.sources import Source
from mmdet_jetson.errors import ConfigError, UserError
from mmdet_jetson.fetching.digests import Stamp, sha256_file
from mmdet_jetson.fetching.locations import (
    Location,
    LocationFailed,
    OnBytes,
    WrongFile,
    copy,
    locations,
)
from mmdet_jetson.fetching.source_lock import record, recorded_digest
from mmdet_jetson.locks import hold

# OpenMMLab names its checkpoints after the first 8 hex digits of their SHA-256.
_DIGEST_IN_NAME = re.compile(r"-([0-9a-f]{8})\.pth$")


def fetch(
    name: str,
    source: Source,
    *,
    downloads: Path,
    mirrors: Sequence[str],
    lock_file: Path,
    progress: OnBytes,
    offline: bool = False,
) -> Path:
    """Return the source's file as ``<downloads>/sha256/<digest>/<filename>``, fetched if needed.

    A file once verified is not read again while its size, modification time and inode are those
    noted then; it is hashed again if they are not, and fetched again if that shows damage.

    Args:
        name: of the source, for messages and for the lock file.
        source: where the file comes from and what is known of it.
        downloads: the cache; may be shared by processes and by clones.
        mirrors: folders (paths or file URLs) or http(s) URLs that may hold the file by its name,
            tried in this order before ``source.url``.
        lock_file: where the digest of a source without one is recorded.
        progress: called with (bytes so far, bytes in all or None).
        offline: touch no network.

    Raises:
        UserError: every location tried and why it failed, or what is wrong with the disk.
    """
    _check_name(name, source)
    fetching = _Fetching(name, source, downloads, lock_file)
    with _disk_named(source, downloads):
        if (digest := fetching.digest()) and _is_unchanged(kept := fetching.kept(digest)):
            return kept
        with _alone(downloads, source.url):
            return fetching.run(locations(source.url, mirrors), progress, offline=offline)


@dataclass(frozen=True)
class _Fetching:
    """One source on its way into the downloads folder."""

    name: str
    source: Source
    downloads: Path
    lock_file: Path

    def digest(self) -> str | None:
        """Return the digest that the file must have; None on first use."""
        recorded = None
        if not self.source.sha256:
            recorded = recorded_digest(self.lock_file, self.name, self.source.url)
        return self.source.sha256 or recorded

    def kept(self, digest: str) -> Path:
        return self.downloads / "sha256" / digest / self.source.filename

    def run(self, tried: Sequence[Location], progress: OnBytes, *, offline: bool) -> Path:
        digest = self.digest()
        if digest and _is_whole(self.kept(digest), digest):
            return self.kept(digest)
        failures: list[tuple[Location, LocationFailed]] = []
        for location in tried:
            try:
                return self._from(location, progress, offline=offline)
            except LocationFailed as failure:
                failures.append((location, failure))
        raise self._given_up(failures, offline=offline)

    def _from(self, location: Location, progress: OnBytes, *, offline: bool) -> Path:
        partials = self.downloads / "partial" / _key(self.source.url)
        partials.mkdir(parents=True, exist_ok=True)
        partial = partials / f"{_key(location.address)}.partial"
        if location.path:
            got = copy(location.path, partial, progress)
        elif offline:
            raise LocationFailed("was not tried (offline)")
        else:
            # Half of what a run with nothing to do may take, for a library that it does not need.
            from mmdet_jetson.fetching.download import download  # noqa: PLC0415

            got = download(location.address, partial, size=self.source.size, progress=progress)
        self._check(partial, got)
        kept = self._keep(partial, got)
        shutil.rmtree(partials)
        return kept

    def _check(self, partial: Path, got: str) -> None:
        size = partial.stat().st_size
        expected = self.digest() or _digest_in_name(self.source) or ""
        problem = ""
        if not size:
            problem = "is empty"
        elif not got.startswith(expected):
            problem = f"has the SHA-256 {got}, expected {expected}"
        elif self.source.size not in (None, size):
            problem = f"holds {size:,} bytes, not {self.source.size:,}"
        if problem:
            partial.unlink()
            raise WrongFile(problem)

    def _keep(self, partial: Path, digest: str) -> Path:
        kept = self.kept(digest)
        kept.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())
        partial.replace(kept)
        # Not before: a run that is killed in between would leave what the next cannot write to.
        kept.chmod(0o444)
        _note_stamp(kept)
        if not self.digest():
            with _alone(self.downloads, str(self.lock_file.resolve())):
                size = kept.stat().st_size
                record(self.lock_file, self.name, url=self.source.url, sha256=digest, size=size)
        return kept

    def _given_up(
        self, failures: Sequence[tuple[Location, LocationFailed]], *, offline: bool
    ) -> UserError:
        filename = self.source.filename
        reasons = "; ".join(f"{location} {failure}" for location, failure in failures)
        hint = f"set MMDET_JETSON_MIRRORS to a folder or URL that holds {filename}"
        folders = [location.path.parent for location, _ in failures[:-1] if location.path]
        if folders:
            hint = f"put {filename} into {folders[0]}, or {hint}"
        if offline:
            hint += ", or unset MMDET_JETSON_OFFLINE"
        if any(isinstance(failure, WrongFile) for _, failure in failures):
            where = "sources.toml" if self.source.sha256 else str(self.lock_file)
            hint += f"; if the file was replaced on purpose, correct what {where} says of it"
        return UserError(f"cannot fetch {filename} for source {self.name!r}: {reasons}", hint)


def _check_name(name: str, source: Source) -> None:
    in_name = _digest_in_name(source)
    if source.sha256 and in_name and not source.sha256.startswith(in_name):
        raise ConfigError(
            f"source {name!r}: sha256 starts with {source.sha256[:8]}, but by OpenMMLab's "
            f"convention the name {source.filename} promises {in_name}",
            "correct one of them in sources.toml",
        )


def _digest_in_name(source: Source) -> str | None:
    found = _DIGEST_IN_NAME.search(source.filename)
    return found[1] if found else None


def _is_unchanged(file: Path) -> bool:
    """Tell whether the file has the stamp that was noted when its digest was last checked."""
    try:
        return _stamp_file(file).read_text() == _stamp(file)
    except FileNotFoundError:
        return False


def _note_stamp(file: Path) -> None:
    _stamp_file(file).write_text(_stamp(file))


def _is_whole(file: Path, digest: str) -> bool:
    """Tell whether the file is there with its content; a damaged one is removed."""
    if _is_unchanged(file):
        return True
    if not file.exists():
        return False
    if sha256_file(file) != digest:
        file.unlink()
        return False
    _note_stamp(file)
    return True


def _stamp_file(file: Path) -> Path:
    return file.with_name(f".{file.name}.stamp")


def _stamp(file: Path) -> str:
    return " ".join(map(str, Stamp.of(file.stat())))


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextmanager
def _alone(downloads: Path, what: str) -> Iterator[None]:
    """Keep other processes from doing the same; the second finds what the first one did."""
    with hold(downloads / "locks" / f"{_key(what)}.lock"):
        yield


@contextmanager
def _disk_named(source: Source, downloads: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        path = error.filename or downloads
        raise UserError(
            f"cannot keep {source.filename} in {downloads}: {error.strerror or error} ({path})",
            "make room or permit writing there, or choose another cache folder",
        ) from error
