"""How long a promotion, a rollback and a collection take, and what reading a long history costs.

    .venv/bin/python benchmarks/promotion.py [MB] [RECORDS]

A bundle of one file of so many MB (default: 100) is promoted into a channel that has so many
records (default: 1,000). Gates are left out: what those cost is `promotion_gates.py`'s to tell. The
whole commands are timed, too, of which most is Python that starts.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from mmdet_jetson.config.settings import ROOT
from mmdet_jetson.promotion import channel_text
from mmdet_jetson.promotion.channel_file import chain_flaws, read_channel

sys.path.insert(0, str(ROOT / "tests/unit"))

from small_chains import chain_of
from small_channels import CHANNEL, Clone

ROUNDS = 9


def main() -> None:
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    print("| what | median | slowest | processor |\n|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as name:
        promote(Clone(Path(name, "empty")), size, f"promote {size} MB into an empty channel")
    with tempfile.TemporaryDirectory() as name:
        clone = Clone(Path(name, "long"))
        clone.path.parent.mkdir(parents=True)
        records = chain_of(*map(str, range(count)))
        clone.path.write_text("".join(map(channel_text.text_of, records)))
        row(f"read and follow {count} records", lambda: chain_flaws(read_channel(clone.path)))
        promote(clone, size, f"promote {size} MB behind {count} records")
        row("whole command: history", lambda: command(clone, "history", CHANNEL))
        row("whole command: --list", lambda: command(clone, "--list"))


def promote(clone: Clone, size: int, what: str) -> None:
    """Promote two bundles in turns, and see that nothing of them is written again."""
    for name in ("one", "two"):
        clone.bundle(name, size=size * 1_000_000 // len(name))
    before = blobs(clone)
    proposals = iter(range(10**6))
    row(what, lambda: clone.promote(("one", "two")[next(proposals) % 2]))
    row("the same, rolled back", lambda: clone.rollback(clone.records[-2].sequence))
    after = blobs(clone)
    assert {path: after[path] for path in before} == before, "a blob was written again"
    added = sum(size for path, (_, size) in after.items() if path not in before)
    print(f"| blobs written by {2 * ROUNDS} of these | {added / 1e3:.0f} kB | | |")


def blobs(clone: Clone) -> dict[Path, tuple[int, int]]:
    """Each blob's inode and size."""
    found = (clone.store.root / "blobs/sha256").iterdir()
    return {path: (path.stat().st_ino, path.stat().st_size) for path in found}


def row(what: str, act: Callable[[], object]) -> None:
    """Time an act several times. On a busy machine, the processor's time tells more."""
    times, used = list[float](), list[float]()
    for _ in range(ROUNDS):
        began, before = time.perf_counter(), sum(os.times()[:4])
        act()
        times.append(time.perf_counter() - began)
        used.append(sum(os.times()[:4]) - before)
    median, processor = statistics.median(times), statistics.median(used)
    print(f"| {what} | {median:.3f} s | {max(times):.3f} s | {processor:.2f} s |", flush=True)


def command(clone: Clone, *words: str) -> None:
    """Run a command as it is typed; one that this version has not got takes its time, too."""
    environ = {
        "MMDET_JETSON_ARTIFACTS": str(clone.store.root),
        "MMDET_JETSON_CHANNELS": str(clone.path.parent),
    }
    subprocess.run(
        [sys.executable, "-m", "invoke", *words],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        check=False,
    )


if __name__ == "__main__":
    main()
