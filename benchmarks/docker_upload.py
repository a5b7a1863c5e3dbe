"""Upload pictures to a Docker host, then ten more: what is sent, and how long it takes.

    .venv/bin/python benchmarks/docker_upload.py PICTURES FOLDER IMAGE

FOLDER has pictures as benchmarks/large_data.py draws them, IMAGE is one with Python on this
machine's Docker host, say ``mmdet-jetson/train:TAG``. A stage's container is created each time and
never started, so the time is that of the upload alone. In turns, ten pictures are added with what
is known of the first upload and without, as it was before that was used.
"""

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from mmdet_jetson.containers.docker_host import DockerHost
from mmdet_jetson.containers.objects import ContainerSpec
from mmdet_jetson.containers.workspace import Input, Workspace

ADDED, TURNS = 10, 3


class Counting(DockerHost):
    """Counts the bytes that it is sent as archives."""

    sent = 0

    def put(self, container: str, path: str, tarball: Iterable[bytes]) -> None:
        """Unpack a tar into a folder of a container, started or not."""
        super().put(container, path, self._counted(tarball))

    def _counted(self, tarball: Iterable[bytes]) -> Iterator[bytes]:
        for block in tarball:
            self.sent += len(block)
            yield block


def main() -> None:
    pictures, source, image = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    host = Counting()
    rows: dict[str, list[tuple[float, int]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data"
        workspace = Workspace(host, Path(scratch) / "store", lambda _: None)
        names = sorted(path.name for path in source.iterdir())[: pictures + ADDED]
        (data / "train").mkdir(parents=True)
        try:
            for turn in range(TURNS):
                shutil.rmtree(data / "train")
                (data / "train").mkdir()
                copy(names[:pictures], source, data / "train")
                row = upload(workspace, data, f"first {turn}", image)
                rows.setdefault("all of it", []).append(row)
                copy(names[pictures:], source, data / "train")
                row = upload(workspace, data, f"changed {turn}", image)
                rows.setdefault(f"{ADDED} more, what changed", []).append(row)
                shutil.rmtree(workspace.root / "uploads")
                row = upload(workspace, data, f"whole {turn}", image)
                rows.setdefault(f"{ADDED} more, all of it again", []).append(row)
                workspace.forget_inputs()
        finally:
            workspace.forget_inputs()
    print(f"| {pictures:,} pictures | seconds | from | to | MB sent |")
    print("|---|---:|---:|---:|---:|")
    for what, taken in rows.items():
        seconds = [each[0] for each in taken]
        middle, sent = statistics.median(seconds), taken[0][1] / 1e6
        print(f"| {what} | {middle:.1f} | {min(seconds):.1f} | {max(seconds):.1f} | {sent:,.2f} |")


def copy(names: list[str], source: Path, target: Path) -> None:
    """Copy pictures."""
    for name in names:
        shutil.copyfile(source / name, target / name)


def upload(workspace: Workspace, folder: Path, digest: str, image: str) -> tuple[float, int]:
    """Upload a folder for a stage that does not start; returns seconds and bytes."""
    host = workspace.host
    assert isinstance(host, Counting)
    before, began = host.sent, time.perf_counter()
    inputs = {"dataset": Input(digest, folder)}
    with workspace.stage(ContainerSpec(image, ["true"]), "bench", inputs, resumable=False):
        return time.perf_counter() - began, host.sent - before


if __name__ == "__main__":
    main()
