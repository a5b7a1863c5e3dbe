"""What our client asks of a registry that holds 10, 1,000 or 10,000 artifacts, and what that takes.

    .venv/bin/python benchmarks/scale/registry_growth.py [--sizes 10 1000 10000] [--folder FOLDER]
        [--referrers 10 100 1000] [--garbage 10 100 300 1000]

The registry is Debian's ``docker-registry`` (distribution 2.8) with TLS and a password. Its files
are laid out as pushing a store of that size would leave them (`made_registry`). Bytes are counted
by a relay before it, TLS included; requests by its own log. Each row is one operation with a client
that has just started, so it logs in and opens connections, too.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mmdet_jetson.config.settings import ROOT, read_settings
from mmdet_jetson.registry import places
from mmdet_jetson.registry.names import asked_for
from mmdet_jetson.registry.place import Place
from mmdet_jetson.registry.push import push
from mmdet_jetson.registry.shared import SharedStore
from mmdet_jetson.store import Artifact, Provenance, Store, cache_tag

sys.path.insert(0, str(ROOT / "benchmarks"))
sys.path.insert(0, str(ROOT / "tests/integration"))
sys.path.insert(0, str(ROOT / "tests/unit"))
from registries import Registry, Wire, docker_registry
from scale.made_registry import keys, lay_out
from scale.store_growth import made

REPOSITORY = "bench/artifacts"


@dataclass(frozen=True)
class Row:
    """One operation: seconds, requests, bytes to the registry and from it."""

    seconds: float
    requests: int
    up: int
    down: int

    def __str__(self) -> str:
        moved = f"{self.up / 1e3:.0f} + {self.down / 1e3:.0f} kB"
        return f"{self.seconds:.3f} s, {self.requests}, {moved}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", nargs="*", type=int, default=[10, 1000, 10_000])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--referrers", nargs="*", type=int, default=[10, 100, 1000])
    parser.add_argument("--garbage", nargs="*", type=int, default=[10, 100, 300, 1000])
    asked = parser.parse_args()
    rows: dict[str, dict[int, str]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for size in asked.sizes:
            store = made(asked.folder or Path(scratch, "stores"), size)
            with docker_registry(Path(scratch, f"registry-{size}")) as registry:
                for name, told in measured(store, registry, Path(scratch)).items():
                    rows.setdefault(name, {})[size] = str(told)
                    print(f"{size:,} {name}: {told}", file=sys.stderr, flush=True)
        show(rows, asked.sizes, "artifacts")
        if asked.referrers:
            with docker_registry(Path(scratch, "popular")) as registry:
                popular = referrers(registry, Path(scratch), asked.referrers)
            show(popular, asked.referrers, "referrers of one manifest")
        taken: dict[str, dict[int, str]] = {}
        for size in asked.garbage:
            store = made(asked.folder or Path(scratch, "stores"), size)
            with docker_registry(Path(scratch, f"garbage-{size}")) as registry:
                for name, seconds in collected(store, registry).items():
                    taken.setdefault(name, {})[size] = seconds
                    print(f"{size:,} {name}: {seconds}", file=sys.stderr, flush=True)
        if asked.garbage:
            show(taken, asked.garbage, "artifacts")


def measured(store: Path, registry: Registry, scratch: Path) -> dict[str, Row | str]:
    """Measure everything about one registry."""
    registry.kill()
    files = lay_out(store, registry.folder / "data", REPOSITORY)
    registry.start()
    named = keys(store)
    ours = Store(store)
    found: dict[str, Row | str] = {"tags": f"{files.tags:,}", "blobs": f"{files.blobs:,}"}
    mine = Store(scratch / f"mine-{len(named)}")
    plain = new_artifact(mine, scratch, "plain")
    subject = ours.find(named[len(named) // 2])
    assert subject
    about = new_artifact(mine, scratch, "about", plain)

    def look(place: Place) -> None:
        key = named[len(named) // 2].removeprefix("cache.")
        shared = SharedStore(place, mine, print)
        assert shared.look(key, subject.kind)

    def push_of(artifact: Artifact) -> Callable[[Place], None]:
        tag = f"mine.{artifact.provenance.step}"
        return lambda place: void(push(mine, [artifact.digest], place, evidence=False, tag=tag))

    for name, call in {
        "look a key up": look,
        "look a missing key up": lambda place: void(place.resolve(cache_tag("0" * 64))),
        "find a tag for `pull`": lambda place: void(asked_for(place, ["run0.train"])),
        "list all tags": lambda place: void(place.tags()),
        "push an artifact": push_of(plain),
        "push one about another": push_of(about),
        "ask who refers": lambda place: void(place.referrers(plain.digest)),
    }.items():
        found[name] = once(registry, call)
    registry.kill()
    data = str(registry.folder / "data")
    disk = subprocess.run(["du", "-s", "-B1", data], capture_output=True, check=True)
    found["on its disk"] = f"{int(disk.stdout.split()[0]) / 1e6:.0f} MB"
    return found


def collected(store: Path, registry: Registry) -> dict[str, str]:
    """Seconds of the processor that a collection of garbage takes, of which there is none."""
    registry.kill()
    lay_out(store, registry.folder / "data", REPOSITORY)
    found = {}
    for options in ([], ["-m"]):
        words = [
            "docker-registry",
            "garbage-collect",
            *options,
            str(registry.folder / "config.yml"),
        ]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(words, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        found[" ".join(words[1:-1])] = f"{used:.1f} s"
    return found


def void(_: object) -> None:
    """Drop what is of no interest."""


def new_artifact(store: Store, scratch: Path, step: str, about: Artifact | None = None) -> Artifact:
    """Store an artifact of two small files that no registry has."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        for name in ("a.json", "b.json"):
            Path(folder, name).write_text(f"{step} {name} {time.time_ns()}")
        made = Provenance(
            stage="x", step=step, created="2026-11-27T10:00:00Z", key=f"{step}{time.time_ns()}"
        )
        tags = [cache_tag(made.key)]
        return store.put("engine", Path(folder), made, tags, about.descriptor if about else None)


def once(registry: Registry, call: Callable[[Place], None]) -> Row:
    """Do something with a client of its own, and count."""
    with Wire(registry.port).open() as wire:
        before = len(registry.asked())
        with opened(registry, wire.near_port) as place:
            wire.arm()
            began = time.perf_counter()
            call(place)
            seconds = time.perf_counter() - began
        time.sleep(0.2)
        return Row(seconds, len(registry.asked()) - before, wire.up, wire.down)


@contextmanager
def opened(registry: Registry, port: int) -> Iterator[Place]:
    """Open the repository by a port."""
    host = f"127.0.0.1:{port}"
    os.environ["DOCKER_CONFIG"] = str(registry.login(registry.host, host))
    where = places.parse(f"docker://{host}/{REPOSITORY}")
    options = places.Options(str(registry.ca))
    with places.open_place(where, read_settings(), writing=True, options=options) as place:
        yield place


def referrers(
    registry: Registry, scratch: Path, counts: Sequence[int]
) -> dict[str, dict[int, str]]:
    """Push more and more artifacts about one, and measure the last of each round."""
    rows: dict[str, dict[int, str]] = {}
    store = Store(scratch / "popular-store")
    subject = new_artifact(store, scratch, "subject")
    pushed = 0
    with opened(registry, registry.port) as place:
        push(store, [subject.digest], place, evidence=False)
        for count in counts:
            while pushed < count - 1:
                each = new_artifact(store, scratch, "referrer", subject)
                push(store, [each.digest], place, evidence=False)
                pushed += 1
            each = new_artifact(store, scratch, "referrer", subject)
            told = once(registry, partial(_push_one, store, each.digest))
            asked = once(registry, lambda place: void(place.referrers(subject.digest)))
            pushed += 1
            for name, row in (("push one more", told), ("ask who refers", asked)):
                rows.setdefault(name, {})[count] = str(row)
                print(f"{count} referrers, {name}: {row}", file=sys.stderr, flush=True)
    return rows


def _push_one(store: Store, digest: str, place: Place) -> None:
    push(store, [digest], place, evidence=False)


def show(rows: dict[str, dict[int, str]], sizes: Sequence[int], what: str) -> None:
    """Print Markdown."""
    print(f"\n| {what} | {' | '.join(f'{n:,}' for n in sizes)} |\n|---|{'---:|' * len(sizes)}")
    for name, row in rows.items():
        print(f"| {name} | {' | '.join(row.get(n, '') for n in sizes)} |")


if __name__ == "__main__":
    main()
