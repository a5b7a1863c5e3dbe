"""What a pull-through cache asks of its registry: Debian's ``docker-registry`` as both.

    .venv/bin/python benchmarks/scale/pull_through.py [CLIENTS [MB]]

Clients ask the cache at once for a blob that it has not got, then one by one for the same blob, and
then for a tag, again and again. Bytes are counted between cache and registry, requests by the
registry's log.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from mmdet_jetson.config.settings import ROOT
from mmdet_jetson.registry.push import push
from mmdet_jetson.store import Provenance, Store

sys.path.insert(0, str(ROOT / "benchmarks"))
sys.path.insert(0, str(ROOT / "tests/integration"))
sys.path.insert(0, str(ROOT / "tests/unit"))
from docker_hosts import free_port, wait_until
from registries import Registry, Wire, docker_registry
from scale.registry_growth import REPOSITORY, opened

LOOKS = 300
CONFIG = """
version: 0.1
log: {{ level: error }}
storage: {{ filesystem: {{ rootdirectory: {folder}/data }} }}
http: {{ addr: 127.0.0.1:{port} }}
proxy: {{ remoteurl: "https://127.0.0.1:{upstream}" }}
"""


def main() -> None:
    """Measure and print."""
    clients = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    size = int(float(sys.argv[2]) * 1e6) if len(sys.argv) > 2 else 50_000_000
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        store = Store(folder / "store")
        (folder / "made").mkdir()
        with (folder / "made/engine.onnx").open("wb") as stream:
            for _ in range(size // 1000):
                stream.write(threading.get_native_id().to_bytes(8, "big") + b"x" * 992)
        made = Provenance(stage="x", step="x", created="2026-11-27T10:00:00Z", key="k")
        artifact = store.put("engine", folder / "made", made, ["channel-production"])
        blob = artifact.layers[0].blob
        with docker_registry(folder / "registry") as registry, Wire(registry.port).open() as wire:
            with opened(registry, registry.port) as place:
                push(store, ["channel-production"], place, evidence=False)
            let_everybody_read(registry)
            with cache(folder / "cache", registry, wire.near_port) as url:
                path = f"{url}/v2/{REPOSITORY}/blobs/{blob.digest}"
                wire.arm()
                seconds = at_once(path, clients, blob.size)
                told(f"{clients} ask at once", wire.down, blob.size, seconds)
                time.sleep(1)  # it writes its own copy beside
                wire.arm()
                for _ in range(clients):
                    assert len(requests.get(path, timeout=60).content) == blob.size
                told(f"{clients} ask one by one", wire.down, blob.size)
                before, used = asked_by_go(registry), processor(registry.pid)
                tag = f"{url}/v2/{REPOSITORY}/manifests/channel-production"
                for _ in range(LOOKS):
                    kinds = {"Accept": artifact.descriptor.media_type}
                    assert requests.head(tag, headers=kinds, timeout=60).ok
                asked = asked_by_go(registry) - before
                each = (processor(registry.pid) - used) / asked
                told_of = f"{asked} requests of the registry, {each * 1e3:.1f} ms of processor each"
                print(f"| a tag is looked up {LOOKS} times | {told_of} | |")


def asked_by_go(registry: Registry) -> int:
    """How much was asked over HTTP/2, which only the cache speaks here."""
    return (registry.folder / "log").read_text().count('HTTP/2.0" ')


def processor(pid: int) -> float:
    """Seconds of the processor that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def let_everybody_read(registry: Registry) -> None:
    """Start the registry without passwords: its cache knows tokens, and no passwords."""
    registry.kill()
    config = registry.folder / "config.yml"
    config.write_text(config.read_text().partition("auth:")[0])
    registry.start()


def told(what: str, down: int, size: int, seconds: float = 0.0) -> None:
    """Print one line."""
    took = f"{seconds:.1f} s" if seconds else ""
    print(f"| {what} | {down / size:.2f} times the blob from the registry | {took} |", flush=True)


def at_once(url: str, clients: int, size: int) -> float:
    """Ask for the same by several clients in the same moment."""
    start = threading.Barrier(clients)
    came: list[int] = []

    def ask() -> None:
        start.wait()
        came.append(len(requests.get(url, timeout=120).content))

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if came != [size] * clients:
        sys.exit(f"not the whole blob: {requests.get(url, timeout=60).text[:500]}")
    return time.perf_counter() - began


@contextmanager
def cache(folder: Path, registry: Registry, upstream: int) -> Iterator[str]:
    """Run a cache before a registry that is reached by a port."""
    folder.mkdir()
    port = free_port()
    config = folder / "config.yml"
    config.write_text(CONFIG.format(folder=folder, port=port, upstream=upstream))
    program = shutil.which("docker-registry")
    assert program
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "serve", str(config)],
            stdout=log, stderr=log, env={"SSL_CERT_FILE": str(registry.ca), "PATH": "/usr/bin"},
        )  # fmt: skip
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: process.poll() is not None or _answers(url))
            assert process.poll() is None, (folder / "log").read_text()[-2000:]
            yield url
        finally:
            process.kill()
            process.wait(60)


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/v2/", timeout=5).ok
    except requests.RequestException:
        return False


if __name__ == "__main__":
    main()
