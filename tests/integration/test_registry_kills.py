"""Whatever breaks while artifacts move, at any moment: nothing half is left, and a rerun sends the rest.

``MMDET_JETSON_TEST_KILLS=25`` tries 25 moments of each kind and way instead of a few.
"""

import hashlib
import os
import random
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from commands import TINY, Commands, new_commands
from registries import Registry, Wire, docker_registry
from small_artifacts import PROVENANCE

from mmdet_jetson.store import Store
from mmdet_jetson.store.oci import MANIFESTS, Manifest

MOMENTS = int(os.environ.get("MMDET_JETSON_TEST_KILLS", "3"))
REPOSITORY = "team/mugs"
SIZES = {"train": [2 << 20, *[1 << 19] * 10, 100, 1], "engine": [*[1 << 19] * 10, 5000]}
WHOLE = sum(SIZES["train"]) + sum(SIZES["engine"])
# What may go over twice: handshakes and questions, and what was under way in six connections.
# Docker's registry 2.8 drops a blob whose upload broke off; kernels hold what a killed client has not read.
TWICE = (1 << 20) + (2 << 20) + 5 * (1 << 19)


@dataclass(frozen=True)
class Site:
    """A registry behind a wire, and a store with a run that is pushed there."""

    folder: Path
    registry: Registry
    wire: Wire

    @property
    def source(self) -> Path:
        return self.folder / "source"

    @property
    def target(self) -> Path:
        return self.folder / "target"

    def start(self, way: str) -> "subprocess.Popen[str]":
        place = f"docker://{self.wire.host}/{REPOSITORY}"
        store = self.source if way == "push" else self.target
        environ = {
            "MMDET_JETSON_ARTIFACTS": str(store),
            "MMDET_JETSON_CACHE": str(self.folder / "cache"),
            "DOCKER_CONFIG": str(self.registry.login(self.wire.host, self.registry.host)),
        }
        ends = {"push": "--to", "pull": "--from"}
        words = (way, "mugs", ends[way], place, "--ca", str(self.registry.ca))
        return Commands(self.folder, environ).start(*words)

    def run(self, way: str) -> tuple[int, str]:
        process = self.start(way)
        said, _ = process.communicate(timeout=600)
        return process.returncode, said

    def moved(self, way: str) -> int:
        return self.wire.up if way == "push" else self.wire.down

    def begin_anew(self, way: str) -> None:
        """Take away all that an earlier try has brought to the far end, and what it noted."""
        if way == "push":
            self.registry.empty()
            shutil.rmtree(self.folder / "cache", ignore_errors=True)
        else:
            shutil.rmtree(self.target, ignore_errors=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("kills")
    with docker_registry(folder / "registry") as registry, Wire(registry.port).open() as wire:
        site = Site(folder, registry, wire)
        new_commands(folder, TINY)
        fill(Store(site.source), folder / "files")
        yield site


def fill(store: Store, folder: Path) -> None:
    """Store a run of a few MB in blobs of all sizes, with an evaluation that refers to its engine."""
    chance = random.Random(1)
    for name, sizes in SIZES.items():
        files = folder / name
        files.mkdir(parents=True)
        for index, size in enumerate(sizes):
            (files / f"{index}.bin").write_bytes(chance.randbytes(size))
        provenance = msgspec.structs.replace(PROVENANCE, step=name, key=f"key-{name}")
        made = store.put("engine", files, provenance, [f"mugs.{name}", f"cache.key-{name}"])
    (files / "metrics.json").write_text("{}")
    provenance = msgspec.structs.replace(PROVENANCE, step="evaluate", key="")
    store.put("evaluation", files, provenance, [], made.descriptor)


@pytest.fixture(scope="module")
def sizes(site: Site) -> dict[str, int]:
    """How many bytes each way takes where nothing breaks, once; the registry is full afterwards."""
    found = {}
    for way in ("push", "pull"):
        site.wire.arm()
        code, said = site.run(way)
        assert code == 0, said
        found[way] = site.moved(way)
        assert WHOLE < found[way] < WHOLE + TWICE, said
    return found


def restart(registry: Registry) -> None:
    registry.kill()
    registry.start()


def broken_off(site: Site, way: str, what: str, moment: float) -> str:
    """Start a transfer, break something once so many bytes have passed; what the command said."""
    acts = {"connection": site.wire.cut, "registry": lambda: restart(site.registry)}
    ready = threading.Event()
    processes: list[subprocess.Popen[str]] = []

    def kill_client() -> None:
        ready.wait()
        processes[0].kill()

    site.wire.arm(moment, acts.get(what, kill_client))
    processes.append(site.start(way))
    ready.set()
    said, _ = processes[0].communicate(timeout=600)
    assert "Traceback" not in said, said
    assert processes[0].returncode in ((0, -9) if what == "client" else (0, 1)), said
    return said


@pytest.mark.parametrize("what", ["connection", "registry", "client"])
@pytest.mark.parametrize("way", ["pull", "push"])
def test_a_transfer_that_broke_off_goes_on(
    site: Site, sizes: dict[str, int], way: str, what: str
) -> None:
    chance = random.Random(f"{way} {what}")
    again = []
    for _ in range(MOMENTS):
        site.begin_anew(way)
        moment = chance.uniform(1, sizes[way])
        said = broken_off(site, way, what, moment)
        near = Store(site.source if way == "push" else site.target)
        assert near.verify().problems == (), said
        assert_whole(site.registry)
        site.wire.spare()
        code, said = site.run(way)
        assert code == 0, said
        again.append(site.moved(way) - sizes[way])
        assert again[-1] < TWICE, said
        assert near.verify().problems == ()
        assert_whole(site.registry)
        if way == "pull":
            assert Store(site.target).tags() == Store(site.source).tags()
        assert {"mugs.train", "mugs.engine"} <= set(tags(site.registry))
    print(f"{way}, {what}: {MOMENTS} moments, {max(again) / 1e3:.0f} kB sent twice at most")


def tags(registry: Registry) -> list[str]:
    answer = registry.get(f"{REPOSITORY}/tags/list")
    return (answer.json()["tags"] or []) if answer.ok else []


def assert_whole(registry: Registry) -> None:
    """Read everything that a tag names, as a client of another make would, and digest it."""
    todo = [("manifests", tag) for tag in tags(registry)]
    seen = set(todo)
    while todo:
        kind, name = todo.pop()
        answer = registry.get(f"{REPOSITORY}/{kind}/{name}", Accept=", ".join(MANIFESTS))
        assert answer.status_code == 200, name
        assert name in (digest(answer.content), name.removeprefix("sha256:")), name
        if kind == "manifests":
            children = msgspec.json.decode(answer.content, type=Manifest).references()
            named = {("manifests" if e.is_manifest else "blobs", e.digest) for e in children}
            todo += named - seen
            seen |= named


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
