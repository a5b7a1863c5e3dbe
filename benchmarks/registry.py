"""Time ``invoke push`` and ``invoke pull`` beside ``skopeo copy`` on the same registry.

    .venv/bin/python benchmarks/registry.py [REPEATS [WORD]]

Both move the same artifacts to and from Debian's ``docker-registry`` on this machine, with TLS and
a password, in turns of who goes first; before every push the registry is emptied, and every pull
goes to a new folder. A transfer's time is from the first byte that the registry's process reads or
writes to the last, so that neither program's start counts; the whole command's stands beside it.
With a WORD, ``GB`` or ``blobs``, only what has it in its name.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from mmdet_jetson.config.settings import ROOT
from mmdet_jetson.store import Provenance, Store

sys.path.insert(0, str(ROOT / "tests/integration"))
from registries import Registry, docker_registry

SIZES = {"1 GB in one blob": (1, 1_000_000_000), "2,000 blobs of 64 KiB": (2000, 1 << 16)}
REPOSITORY = "bench/artifacts"
EVERY = 0.002
"""Seconds between two looks at a process."""


@dataclass
class Measured:
    """What a command took: seconds of the transfer and of the whole, and its peak memory in MB."""

    transfer: float
    whole: float
    memory: float


@dataclass
class Rows:
    """The measurements of one direction and one size, by who made them."""

    ours: list[Measured] = field(default_factory=list)
    skopeos: list[Measured] = field(default_factory=list)


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    print("| | MB | ours | skopeo | of skopeo's throughput | whole command | memory |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    word = sys.argv[2] if len(sys.argv) > 2 else ""
    for name, (blobs, size) in SIZES.items():
        if word not in name:
            continue
        with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
            bench = Bench(Path(folder), blobs, size)
            push, pull = Rows(), Rows()
            with docker_registry(Path(folder) / "registry") as registry:
                for turn in range(repeats):
                    bench.turn(registry, turn, push, pull)
            show(f"push of {name}", blobs * size, push)
            show(f"pull of {name}", blobs * size, pull)


class Bench:
    """One artifact, and the commands that move it."""

    def __init__(self, folder: Path, blobs: int, size: int) -> None:
        self.folder = folder
        self.store = folder / "store"
        files = folder / "files"
        files.mkdir()
        for index in range(blobs):
            (files / f"{index:04}.bin").write_bytes(os.urandom(size))
        provenance = Provenance(stage="train", step="train", created="2026-11-26T00:00:00+00:00")
        Store(self.store).put("checkpoint", files, provenance, ["bench.train"])
        shutil.rmtree(files)

    def turn(self, registry: Registry, turn: int, push: Rows, pull: Rows) -> None:
        """Push and pull once each, with both programs."""
        who: list[Callable[[Registry, str], list[str]]] = [self.ours, self.skopeo]
        for each in who if turn % 2 else reversed(who):
            is_ours = each == self.ours
            registry.kill()
            registry.empty()
            registry.start()
            os.sync()  # what the last command left to write, the next is not to pay for
            for way, rows in (("push", push), ("pull", pull)):
                measured = measure(registry, each(registry, way), self.environ(registry, way))
                (rows.ours if is_ours else rows.skopeos).append(measured)
            shutil.rmtree(self.folder / "elsewhere")

    def environ(self, registry: Registry, way: str) -> dict[str, str]:
        """Say where the artifacts lie, and what both programs need to be let in."""
        return {
            **os.environ,
            "DOCKER_CONFIG": str(registry.login()),
            "REGISTRY_AUTH_FILE": str(registry.login() / "config.json"),
            "SSL_CERT_FILE": str(registry.ca),
            "MMDET_JETSON_ARTIFACTS": str(
                self.store if way == "push" else self.folder / "elsewhere"
            ),
        }

    def ours(self, registry: Registry, way: str) -> list[str]:
        """Spell our command."""
        place = f"docker://{registry.host}/{REPOSITORY}"
        words = ["bench.train", "--to" if way == "push" else "--from", place]
        return [sys.executable, "-m", "invoke", way, *words, "--ca", str(registry.ca)]

    def skopeo(self, registry: Registry, way: str) -> list[str]:
        """Spell skopeo's."""
        far = f"docker://{registry.host}/{REPOSITORY}:bench.train"
        near = self.store if way == "push" else self.folder / "elsewhere"
        ends = [f"oci:{near}:bench.train", far]
        return ["skopeo", "--insecure-policy", "copy", *(ends if way == "push" else ends[::-1])]


def measure(registry: Registry, command: list[str], environ: dict[str, str]) -> Measured:
    """Run a command, and watch it and the registry.

    Raises:
        SystemExit: it failed.
    """
    with tempfile.TemporaryFile() as said, watching(registry.pid) as moments:
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=said, stderr=said)
        memory = 0
        while process.poll() is None:
            memory = max(memory, peak(process.pid))
            time.sleep(EVERY)
        whole = time.perf_counter() - began
        if process.returncode:
            said.seek(0)
            sys.exit(f"{' '.join(command)}\n{said.read().decode()}")
    return Measured(moments[-1] - moments[0], whole, memory / 1e6)


@contextmanager
def watching(pid: int) -> Iterator[list[float]]:
    """Note the moments at which a process has read or written something."""
    moments: list[float] = []
    over = threading.Event()

    def watch() -> None:
        last = moved(pid)
        while not over.wait(EVERY):
            now = moved(pid)
            if now != last:
                moments.append(time.perf_counter())
            last = now

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield moments
    finally:
        over.set()
        thread.join()


def moved(pid: int) -> int:
    """How many bytes a process has read and written so far, sockets included."""
    lines = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(lines["rchar"]) + int(lines["wchar"])


def peak(pid: int) -> int:
    """The most memory that a process has had resident so far, in bytes; 0 once it is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    return 0


def show(name: str, size: int, rows: Rows) -> None:
    """Print one line of the table: medians, in MB a second and seconds."""
    ours, skopeos = (
        {
            what: statistics.median(getattr(each, what) for each in measured)
            for what in ("transfer", "whole", "memory")
        }
        for measured in (rows.ours, rows.skopeos)
    )
    rates = [size / 1e6 / each["transfer"] for each in (ours, skopeos)]
    print(
        f"| {name} | {size / 1e6:.0f} | {rates[0]:.0f} MB/s | {rates[1]:.0f} MB/s"
        f" | {rates[0] / rates[1]:.2f} | {ours['whole']:.2f} s, {skopeos['whole']:.2f} s"
        f" | {ours['memory']:.0f} MB, {skopeos['memory']:.0f} MB |",
        flush=True,
    )


if __name__ == "__main__":
    Console(stderr=True).print(f"on {os.cpu_count()} cores, Python {sys.version.split()[0]}")
    main()
