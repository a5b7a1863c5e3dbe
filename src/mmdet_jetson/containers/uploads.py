"""Inputs on their way to a Docker host: only what it does not have is sent.

An input is a volume of its own there. Of one that shares files with another input, say ten pictures
more of 20,000, these files are copied from that one's volume by a short-lived container of the
stage's image. It computes the SHA-256 of what it copies and compares it with that of the file here,
so a file that was damaged there, or is gone, is told, and sent like those that were never there.
Where no container can do so, everything is sent.

What a volume was filled from is noted here, beside the store. That only says where to look: notes
that are wrong or lost cost an upload.
"""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from mmdet_jetson import tarballs
from mmdet_jetson.containers.docker_host import DockerHost
from mmdet_jetson.containers.hardening import STAGE_USER
from mmdet_jetson.containers.objects import (
    STDOUT,
    ConnectionLost,
    ContainerSpec,
    DockerHostError,
    VolumeMount,
)
from mmdet_jetson.contract.files import write_whole
from mmdet_jetson.errors import UserError
from mmdet_jetson.store.checkouts import digests
from mmdet_jetson.store.layers import sha256_of

CONTENT, WHOLE = "content", ".whole"
_ASKED = ".copy"
_WORTH = 16 << 20  # bytes; less is sent sooner than a container starts
# Python 3.6 or later. It ends when its standard input does: with the client.
COPY = """
import gzip, hashlib, json, os, sys, threading

def watch():
    while os.read(0, 4096):
        pass
    os._exit(1)

threading.Thread(target=watch, daemon=True).start()
here, there = (os.fsencode(folder) + b"/" for folder in sys.argv[1:])

def copy(source, target, digest):
    computed = hashlib.sha256()
    source, target = (path.encode("utf-8", "surrogateescape") for path in (source, target))
    try:
        old = open(there + source, "rb")
    except OSError:
        return False
    with old, open(here + target, "wb") as new:
        for block in iter(lambda: old.read(1 << 20), b""):
            computed.update(block)
            new.write(block)
    return computed.hexdigest() == digest

with gzip.open(here + b".copy") as asked:
    files = json.loads(asked.read().decode())
lacking = [target for source, target, digest in files if not copy(source, target, digest)]
print("\\n" + json.dumps(lacking))
"""


@dataclass(frozen=True)
class File:
    """A file of an input that was uploaded: its size in bytes, and its SHA-256 in hex."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Contents:
    """The files of an input here. ``known`` is the SHA-256 of some, by their paths."""

    folder: Path
    known: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def entries(self) -> dict[str, Path | None]:
        """By its place in a volume, where each file lies here; a folder has none."""
        return dict(tarballs.walk(self.folder, CONTENT))

    @cached_property
    def sizes(self) -> dict[str, int]:
        """The sizes of the files in bytes, by their places in a volume."""
        return {name: path.stat().st_size for name, path in self.entries.items() if path}

    @cached_property
    def told(self) -> dict[str, str]:
        """SHA-256 in hex of those files of which it was told, by their places in a volume."""
        found = {f"{CONTENT}/{path}": digest for path, digest in self.known.items()}
        if checked_out := digests(self.folder):
            paths = ((name, path) for name, path in self.entries.items() if path)
            found |= {name: checked_out[path] for name, path in paths if path in checked_out}
        return found

    def digests_of(self, names: Sequence[str]) -> dict[str, str]:
        """SHA-256 of some files in hex; those of which nobody told are read."""
        unknown = [name for name in names if name not in self.told]
        with ThreadPoolExecutor() as pool:
            read = dict(zip(unknown, pool.map(self._digest_of, unknown), strict=True))
        return {name: read.get(name) or self.told[name] for name in names}

    def _digest_of(self, name: str) -> str:
        path = self.entries[name]
        assert path
        return sha256_of(path)


@dataclass(frozen=True)
class Uploads:
    """How one store fills volumes of a Docker host.

    ``notes`` is the folder with what each was filled from, ``image`` the stage's, whose containers
    that copy have these ``labels``.
    """

    host: DockerHost
    notes: Path
    image: str
    labels: Mapping[str, str]
    say: Callable[[str], None]
    drop: Callable[[str], None]
    """Removes a volume that is not whole, unless it is being filled."""

    def fill(
        self, container: str, volume: str, name: str, given: Contents, others: Sequence[str]
    ) -> None:
        """Fill a volume, which a container that never starts has at /input; last with ``WHOLE``.

        ``others`` are volumes that may hold some of it.

        Raises:
            DockerHostError: the Docker host refuses it.
            UserError: a file changed while it was read, or since its digest was told.
        """
        done = self._copied(volume, container, name, given, others)
        some = f"{len(given.sizes) - len(done)} of {len(given.sizes)} files of " if done else ""
        self.say(f"uploading {some}{name} to {self.host.facts.name}")
        filled = dict(done)
        self.host.put(container, "/input", tarballs.archive(_sent(given, filled)))
        self.host.put(container, "/input", tarballs.archive([tarballs.small_file(WHOLE)]))
        self._note(volume, filled)

    def _copied(
        self, volume: str, container: str, name: str, given: Contents, others: Sequence[str]
    ) -> dict[str, File]:
        """Have a container copy what another volume has; the files that are there then."""
        noted = {other: files for other in others if (files := self._noted(other))}
        sizes = {file.size for files in noted.values() for file in files.values()}
        here = given.digests_of([place for place, size in given.sizes.items() if size in sizes])
        wanted = {place: File(given.sizes[place], digest) for place, digest in here.items()}

        def shared(other: str) -> int:
            there = set(noted[other].values())
            return sum(file.size for file in wanted.values() if file in there)

        best = max(noted, key=shared, default="")
        if not best or shared(best) < _WORTH:
            return {}
        sources = {file: place for place, file in noted[best].items()}
        asked = [
            (place if noted[best].get(place) == file else sources[file], place, file.sha256)
            for place, file in wanted.items()
            if file in sources
        ]
        some = f"{len(asked)} of {len(given.sizes)} files of {name}"
        self.say(f"copying {some} on {self.host.facts.name} from an earlier upload")
        try:
            lacking = self._copy(container, volume, best, given, asked)
        except ConnectionLost:
            raise
        except DockerHostError as error:
            self.say(f"nothing can be copied on {self.host.facts.name}: {error.message}")
            return {}
        return {place: wanted[place] for _, place, _ in asked if place not in lacking}

    def _copy(
        self,
        container: str,
        volume: str,
        other: str,
        given: Contents,
        asked: Sequence[tuple[str, str, str]],
    ) -> set[str]:
        """Copy files from another volume; returns those that are not there, or not as noted.

        Raises:
            DockerHostError: no container can do that.
        """
        # The copying container runs as who runs stages, and may write to these folders alone.
        owner = int(STAGE_USER)
        folders = [name for name, path in given.entries.items() if path is None]
        packed = gzip.compress(json.dumps(asked).encode(), mtime=0)
        self.host.put(
            container,
            "/input",
            tarballs.archive(
                [tarballs.directory(name, owner) for name in folders],
                [tarballs.small_file(_ASKED, packed)],
            ),
        )
        mounts = [VolumeMount(volume, "/input", read_only=False), VolumeMount(other, "/other")]
        command = ["python", "-c", COPY, "/input", "/other"]
        spec = ContainerSpec(self.image, command, mounts, labels=self.labels)
        said: list[bytes] = []
        with self.host.container(spec) as copying:
            # Of a volume that just went this container has made an empty one.
            if is_there := self.host.get(copying, f"/other/{WHOLE}") is not None:
                ended = self.host.run(
                    copying, lambda stream, text: said.append(text if stream == STDOUT else b"")
                )
        if not is_there:
            self.drop(other)
            raise DockerHostError("the earlier upload is gone")
        if ended.code != 0:
            raise DockerHostError(f"a container that copies ended with code {ended.code}")
        try:
            lacking = json.loads(b"".join(said).splitlines()[-1])
        except (ValueError, IndexError):
            raise DockerHostError("a container that copies does not say what it did") from None
        return set(lacking)

    def _note(self, volume: str, files: Mapping[str, File]) -> None:
        rows = [[name, file.size, file.sha256] for name, file in files.items()]
        with suppress(OSError):  # the next upload is a whole one
            self.notes.mkdir(parents=True, exist_ok=True)
            write_whole(
                notes_of(self.notes, volume), gzip.compress(json.dumps(rows).encode(), mtime=0)
            )

    def _noted(self, volume: str) -> dict[str, File]:
        with suppress(OSError, EOFError, ValueError, TypeError, zlib.error):
            rows: Any = json.loads(gzip.decompress(notes_of(self.notes, volume).read_bytes()))
            return {str(name): File(int(size), str(digest)) for name, size, digest in rows}
        return {}


def notes_of(notes: Path, volume: str) -> Path:
    """The file in a folder that says what a volume was filled from."""
    return notes / f"{volume}.json.gz"


def _sent(given: Contents, filled: dict[str, File]) -> Iterator[bytes]:
    """Give what is not in ``filled``, and add it there."""
    for name, path in given.entries.items():
        if path is None:
            yield tarballs.directory(name)
        elif name not in filled:
            computed = sha256()
            yield from tarballs.file(path, name, hear=computed.update)
            filled[name] = File(given.sizes[name], computed.hexdigest())
            if filled[name].sha256 != given.told.get(name, filled[name].sha256):
                raise UserError(f"{path} is not what it was when it was read before", "run again")
