"""What operations of the store take, in stores of 10 artifacts to 100,000, and how that grows.

    .venv/bin/python benchmarks/scale/store_growth.py [10 1000 10000 100000] [--repeats 3]
        [--folder FOLDER] [--only WORD]

Every store is made (`made_store`) in FOLDER, where it is not there from an earlier call, with a
whole run of the demo by its real keys in it. Commands run as a user types them, each in a process
of its own; the other rows are what a process pays that runs already. Of several repeats the fastest
counts: seconds, and those of the processor. ``grows`` is the exponent of the seconds of the
processor from the second largest store to the largest one: 1 is in proportion to the number of
artifacts.
"""

import argparse
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmdet_jetson.config.settings import ROOT
from mmdet_jetson.store import Provenance, Store, cache_tag, is_cache_tag

sys.path.insert(0, str(ROOT / "benchmarks"))
from scale.demo_run import CONFIG, add_demo_run
from scale.made_store import make

COMMANDS: Mapping[str, Sequence[str]] = {
    "status": ("status", "--config", CONFIG),
    "runs": ("runs",),
    "show": ("show", "run0.train"),
    "channels": ("channels",),
    "gc --dry-run": ("gc", "--dry-run"),
    "verify": ("verify",),
}
FREQUENT = frozenset({"status", "show", "channels"})
"""Commands that are worth several repeats."""


@dataclass(frozen=True)
class Taken:
    """Seconds by the clock, and of the processor."""

    wall: float
    processor: float


Table = dict[str, dict[int, Taken]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sizes", nargs="*", type=int, default=[10, 1000, 10_000, 100_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--only", default="", help="only what has this in its name")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        table: Table = {}
        for size in asked.sizes:
            root = made(asked.folder or Path(scratch), size)
            measure(root, size, table, asked.repeats, asked.only)
        show(table, asked.sizes)


def made(folder: Path, size: int) -> Path:
    """Make a store, unless it is there."""
    root = folder / str(size)
    if not (root / "whole").exists():
        began = time.perf_counter()
        maker = make(root, size)
        steps = add_demo_run(root)
        (root / "whole").touch()
        print(
            f"made {maker.artifacts + steps:,} artifacts in {time.perf_counter() - began:.0f} s: "
            f"index.json has {(root / 'index.json').stat().st_size / 1e6:.2f} MB",
            file=sys.stderr,
        )
    return root


def measure(root: Path, size: int, table: Table, repeats: int, only: str) -> None:
    """Measure everything about one store."""
    for name, call in in_process(root).items():
        if only in name:
            add(table, name, size, fastest(call, resource.RUSAGE_SELF, repeats))
    for name, words in COMMANDS.items():
        if only in name:
            times = repeats if name in FREQUENT else 1

            def typed(words: Sequence[str] = words) -> None:
                environ = {**os.environ, "MMDET_JETSON_ARTIFACTS": str(root)}
                environ.pop("PYTHONDONTWRITEBYTECODE", None)
                command = [str(Path(sys.executable).with_name("invoke")), *words]
                done = subprocess.run(
                    command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False
                )
                if done.returncode:
                    sys.exit(f"{' '.join(command)}: {done.stdout}{done.stderr}")

            add(table, f"`invoke {name}`", size, fastest(typed, resource.RUSAGE_CHILDREN, times))


def in_process(root: Path) -> dict[str, Callable[[], None]]:
    """What is measured without a process of its own."""
    store = Store(root)
    keys = [tag for tag in store.tags() if is_cache_tag(tag)]
    some = [store.find(keys[len(keys) * part // 20]) for part in range(20)]
    known = [each for each in some if each]
    count = 0

    def put() -> None:
        nonlocal count
        count += 1
        key = f"bench{time.time_ns()}"
        provenance = Provenance(stage="x", step="x", created="2026-11-27T10:00:00Z", key=key)
        with tempfile.TemporaryDirectory() as scratch:
            Path(scratch, "a.json").write_text(f"{key} {count}")
            store.put("engine", Path(scratch), provenance, [cache_tag(key)])

    def find_keys() -> None:
        for tag in keys[:: max(1, len(keys) // 20)][:20]:
            assert store.find(tag)

    def find_digests() -> None:
        for each in known[:20]:
            assert store.find(each.digest)

    def tag() -> None:
        store.tag(known[count % len(known)], "bench")

    return {
        "open, and find one key": lambda: _found(Store(root).find(keys[-1])),
        "find 20 keys": find_keys,
        "find 20 digests": find_digests,
        "put": put,
        "tag": tag,
        "read all artifacts": lambda: _found(Store(root).artifacts()),
    }


def _found(what: object) -> None:
    assert what


def fastest(call: Callable[[], None], who: int, repeats: int) -> Taken:
    """Call something several times; what the fastest took."""
    taken = []
    for _ in range(repeats):
        before, began = _processor(who), time.perf_counter()
        call()
        taken.append(Taken(time.perf_counter() - began, _processor(who) - before))
    return min(taken, key=lambda each: each.wall)


def _processor(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def add(table: Table, name: str, size: int, taken: Taken) -> None:
    table.setdefault(name, {})[size] = taken
    print(f"{size:,} {name}: {taken.wall:.3f} s", file=sys.stderr, flush=True)


def show(table: Table, sizes: Sequence[int]) -> None:
    """Print Markdown."""
    print(
        f"\n| seconds, of them of the processor | {' | '.join(f'{n:,}' for n in sizes)} | grows |"
    )
    print(f"|---|{'---:|' * (len(sizes) + 1)}")
    for name, row in table.items():
        cells = [f"{_s(row[n].wall)}, {_s(row[n].processor)}" for n in sizes]
        print(f"| {name} | {' | '.join(cells)} | {exponent(row, sizes)} |")


def _s(seconds: float) -> str:
    return (
        f"{seconds:.4f}"
        if seconds < 0.1
        else f"{seconds:.2f}"
        if seconds < 10
        else f"{seconds:.0f}"
    )


def exponent(row: Mapping[int, Taken], sizes: Sequence[int]) -> str:
    """How the processor's time grows between the two largest."""
    if len(sizes) < 2 or not row[sizes[-2]].processor:
        return "–"
    less, more = row[sizes[-2]].processor, row[sizes[-1]].processor
    return f"{math.log(more / less) / math.log(sizes[-1] / sizes[-2]):.2f}"


if __name__ == "__main__":
    main()
