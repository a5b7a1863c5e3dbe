"""The lock file of sources: what a file without a known digest was when it was first used."""

from datetime import datetime, timezone
from pathlib import Path

import msgspec

from mmdet_jetson.contract.files import write_whole
from mmdet_jetson.errors import ConfigError


class Locked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was found at ``url`` on first use."""

    url: str
    sha256: str
    size: int
    """Bytes."""
    recorded: str
    """The day (UTC), as YYYY-MM-DD."""


def recorded_digest(lock_file: Path, name: str, url: str) -> str | None:
    """Return the digest recorded for a source; None if there is none, or of another url.

    Raises:
        ConfigError: the lock file cannot be understood.
    """
    locked = _read(lock_file).get(name)
    return locked.sha256 if locked and locked.url == url else None


def record(lock_file: Path, name: str, *, url: str, sha256: str, size: int) -> None:
    """Record a source's first use; the caller keeps other processes from doing so meanwhile."""
    today = datetime.now(timezone.utc).date().isoformat()
    entries = {**_read(lock_file), name: Locked(url, sha256, size, today)}
    text = msgspec.json.format(msgspec.json.encode(entries, order="sorted"), indent=2)
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(lock_file, text + b"\n")


def _read(lock_file: Path) -> dict[str, Locked]:
    try:
        return msgspec.json.decode(lock_file.read_bytes(), type=dict[str, Locked])
    except FileNotFoundError:
        return {}
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{lock_file} cannot be understood: {error}",
            "restore it from version control, or delete it to record every source anew",
        ) from error
