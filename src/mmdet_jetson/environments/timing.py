"""Who times something on this machine: one at a time, whatever user, project or store it is of.

The lock is a file outside of every project. Where it is held, its content says by whom. The kernel
releases it when its holder dies.
"""

import getpass
import json
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from mmdet_jetson.locks import hold_open

Say = Callable[[str], None]
NAME = "mmdet-jetson-timing.lock"
FOLDERS = (Path("/run/lock"), Path(tempfile.gettempdir()))
EVERYBODY = 0o666  # users of one machine exclude each other


@dataclass(frozen=True)
class Holder:
    """Who times something: ``who`` is user@machine, ``since`` in ISO 8601."""

    who: str
    run: str
    step: str
    since: str = ""

    @property
    def from_now(self) -> "Holder":
        """The same, who has just got it."""
        return replace(self, since=datetime.now(timezone.utc).isoformat(timespec="seconds"))

    def __str__(self) -> str:
        """As who waits reads it."""
        run = f" of run {self.run}" if self.run else ""
        return f"{self.who} has timed {self.step}{run} there since {self.since}"


def holder(step: str, run: str) -> Holder:
    """Say who we are; since when is known once we have it."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = str(os.getuid())
    return Holder(f"{user}@{socket.gethostname()}", run, step)


def lock_file() -> Path:
    """Where the lock is on this machine."""
    return next(each for each in FOLDERS if each.is_dir()) / NAME


@contextmanager
def hold_machine(us: Holder, on_wait: Say, say: Say) -> Iterator[None]:
    """Hold the lock meanwhile; where it cannot be used, that is said, and nothing is held."""
    path = lock_file()
    try:
        handle = _open(path)
    except OSError as error:
        say(f"warning: nobody is kept from timing beside {us.step}: {path}: {error.strerror}")
        yield
        return
    with (
        os.fdopen(handle, "r+b", buffering=0) as stream,
        hold_open(stream, lambda: on_wait(f"waiting: {_said(path)}")),
    ):
        stream.truncate(0)
        stream.write(json.dumps(asdict(us.from_now)).encode())
        try:
            yield
        finally:
            stream.truncate(0)


def _open(path: Path) -> int:
    """Open the file for everybody. A kernel may refuse to create what another user has there."""
    with suppress(FileNotFoundError):
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, EVERYBODY)
    except FileExistsError:
        return _open(path)
    os.fchmod(handle, EVERYBODY)  # whatever the umask is
    return handle


def _said(path: Path) -> str:
    try:
        return str(Holder(**json.loads(path.read_bytes())))
    except (OSError, ValueError, TypeError):  # it was taken or given back just now
        return "somebody times something on this machine"
