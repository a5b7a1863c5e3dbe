"""What a store, a registry and a cache before it have to bear with 10 to 100,000 artifacts.

    python3 benchmarks/scale/simulate.py [--artifacts 10 1000 100000] [--devices 10 100 1000 10000]
        [--engine-mb 40] [--dataset-mb 5000] [--ci-jobs-an-hour 20] [--uplink-mbit 1000]
        [--cache-mbit 10000] [--cache-gb 500] [--interval 300] [--changed 0.02]
        [--no-cache] [--coalescing] [--seed 0]

Needs nothing but Python. The first table is arithmetic: what was measured at small sizes
(`store_growth.py`, `registry_growth.py`; the constants below are theirs) continued by the growth
that was seen there. The second is a simulation of events: devices look a channel's tag up at
intervals and pull its engine when it has moved; CI jobs begin at random and pull a dataset of which
a part has changed since the last job; all through a pull-through cache, or straight from the
registry. Links are queues: what comes first is moved first, at the link's rate. docs/scale.md says
what is left out.
"""

import argparse
import heapq
import math
import random
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

# Of registry_growth.py and store_growth.py, on 2026-11-27; see docs/scale.md.
INDEX_BYTES = 353
"""Of index.json, for each artifact: its key, and now and then a name."""
TAGS, BLOBS = 1.80, 4.60
"""In a registry, for each artifact, at 1,000: tags of all kinds; and blobs, manifests included."""
TAG_BYTES = 78
"""Of the list of tags, for each."""
DISK_BLOCK = 130_000
"""Bytes that an artifact of a few small files takes on a registry's disk, mostly whole blocks."""
ENTRY_BYTES = 245
"""Of the list of who refers to a manifest, for each: 344 came with 90 more, 99 of that a tag."""
LARGEST_LIST = 4 << 20
"""What our client reads of a manifest or a list; registries need not take more either."""
PUT, PUT_GROWTH = 0.003, 1.0e-6
"""Seconds of the processor for one more artifact: always, and for each that is there."""
COLLECT, COLLECT_POWER = 104.0, 2.0
"""Seconds by the clock of `garbage-collect -m` with 1,000 artifacts, on a busy machine; the power
is rounded up from 1.9, which was seen from 100 artifacts to 300."""
REQUEST = 0.002
"""Seconds of a registry's processor for one request (`pull_through.py`)."""
LOOKS = 2
"""Requests at the registry when a tag is looked up through its cache (`pull_through.py`)."""
HOUR = 3600.0


@dataclass
class Link:
    """A link, or a server: it does one thing after the other."""

    rate: float
    """Bytes a second."""
    free_at: float = 0.0
    busy: float = 0.0
    moved: float = 0.0

    def move(self, now: float, size: float) -> float:
        """When so many bytes have arrived that are asked for now."""
        took = size / self.rate
        self.free_at = max(now, self.free_at) + took
        self.busy += took
        self.moved += size
        return self.free_at


@dataclass
class Cache:
    """Blobs on a disk; the one that was not asked for the longest goes first."""

    room: float
    kept: "OrderedDict[str, float]" = field(default_factory=OrderedDict)
    arriving: dict[str, float] = field(default_factory=dict)
    used: float = 0.0

    def has(self, blob: str) -> bool:
        """Whether it is there."""
        if blob in self.kept:
            self.kept.move_to_end(blob)
        return blob in self.kept

    def keep(self, blob: str, size: float) -> None:
        """Put it there, if there is room at all."""
        if blob in self.kept or size > self.room:
            return
        self.kept[blob] = size
        self.used += size
        while self.used > self.room:
            self.used -= self.kept.popitem(last=False)[1]


@dataclass(frozen=True)
class Site:
    """What is simulated; sizes in bytes, rates in bytes a second, times in seconds."""

    devices: int
    engine: float
    dataset: float
    jobs_an_hour: float
    uplink: float
    cache_link: float
    cache_room: float
    is_cached: bool
    coalesces: bool
    interval: float = 300.0
    """Between two looks of a device."""
    changed: float = 0.02
    """The part of a dataset that has changed since the last job."""
    shards: int = 100
    hours: float = 8.0


@dataclass
class Seen:
    """What came of it."""

    waits: list[float] = field(default_factory=list)
    """From the promotion until a device has its engine."""
    jobs: list[float] = field(default_factory=list)
    """What CI jobs waited for their data."""
    uplink: float = 0.0
    uplink_use: float = 0.0
    requests: float = 0.0
    cached_use: float = 0.0


def simulate(site: Site, seed: int) -> Seen:
    """Let a working day pass, with one promotion an hour after it began."""
    rng = random.Random(seed)
    uplink, near = Link(site.uplink), Link(site.cache_link)
    registry = Link(1 / REQUEST)  # in requests
    cache, seen, promoted, end = Cache(site.cache_room), Seen(), HOUR, site.hours * HOUR

    def pull(now: float, blob: str, size: float) -> float:
        if not site.is_cached:
            registry.move(now, 1)
            return uplink.move(now, size)
        if cache.has(blob):
            ready = cache.arriving.get(blob, now)
            if ready <= now:
                return near.move(now, size)
            if site.coalesces:  # waits for the one that brings it
                return near.move(ready, size)
        registry.move(now, 1)
        arrived = uplink.move(now, size)
        if not cache.has(blob):
            cache.keep(blob, size)
            # Docker's brings a blob twice, for who asks and for itself.
            cache.arriving[blob] = arrived if site.coalesces else uplink.move(now, size)
        return near.move(arrived, size)

    events: list[tuple[float, int, str]] = []
    for number in range(site.devices):
        heapq.heappush(events, (rng.uniform(0, site.interval), number, "device"))
    heapq.heappush(events, (0.0, -1, "job"))
    done, jobs = set[int](), 0
    while events:
        now, number, what = heapq.heappop(events)
        if now > end:
            break
        if what == "device":
            # A tag may have moved, so a cache asks the registry each time.
            answered = registry.move(now, LOOKS)
            if now >= promoted and number not in done:
                done.add(number)
                seen.waits.append(pull(answered, "engine", site.engine) - promoted)
            heapq.heappush(events, (now + site.interval, number, "device"))
            continue
        jobs += 1
        shard = site.dataset / site.shards
        fresh = max(1, round(site.shards * site.changed))
        finished = now
        for index in range(site.shards):
            # So many of them are others than those of the job before.
            turn = (index + jobs * fresh) // site.shards
            finished = max(finished, pull(now, f"shard {index} {turn}", shard))
        seen.jobs.append(finished - now)
        if site.jobs_an_hour:
            after = rng.expovariate(site.jobs_an_hour / HOUR)
            heapq.heappush(events, (now + after, -1, "job"))
    seen.uplink, seen.requests = uplink.moved, registry.moved
    seen.uplink_use, seen.cached_use = uplink.busy / end, near.busy / end
    return seen


def grown(artifacts: int) -> Iterator[tuple[str, str]]:
    """What a store and a registry of so many artifacts have and cost."""
    tags = artifacts * TAGS
    yield "index.json", size_of(artifacts * INDEX_BYTES)
    yield "one more result in the store", f"{PUT + PUT_GROWTH * artifacts:.3f} s of processor"
    yield "tags in the registry", f"{tags:,.0f}"
    yield "its blobs and manifests", f"{artifacts * BLOBS:,.0f}"
    yield "its disk, without large files", size_of(artifacts * DISK_BLOCK)
    yield "a list of all tags", size_of(tags * TAG_BYTES)
    yield "pages of it, of 1,000 tags", f"{max(1, tags / 1000):,.0f}"
    yield "one push about another", f"{size_of(tags * TAG_BYTES)} of tags read"
    yield "its garbage-collect", duration(COLLECT * (artifacts / 1000) ** COLLECT_POWER)


def size_of(count: float) -> str:
    """Bytes for a person."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} B"


def duration(seconds: float) -> str:
    """Seconds for a person."""
    for unit, size in (("days", 86400.0), ("h", HOUR), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def percentile(values: Sequence[float], share: float) -> float:
    """The value that so large a share does not exceed; 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def counted(text: str) -> int:
    """Read a number of things, of which there is one at least."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def at_least_0(text: str) -> float:
    """Read an amount that may be nothing; neither endless nor NaN."""
    if not 0 <= (number := float(text)) < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a finite number of 0 or more")
    return number


def positive(text: str) -> float:
    """Read an amount that there has to be: without an interval the simulation never ends."""
    if not (number := at_least_0(text)):
        raise argparse.ArgumentTypeError(f"{text} is not more than 0")
    return number


def share(text: str) -> float:
    """Read a part of a whole."""
    if (number := at_least_0(text)) > 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return number


def main() -> None:
    """Compute, simulate and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--artifacts", nargs="*", type=counted, default=[10, 1000, 100_000])
    parser.add_argument("--devices", nargs="*", type=counted, default=[10, 100, 1000, 10_000])
    parser.add_argument("--engine-mb", type=positive, default=40)
    parser.add_argument("--dataset-mb", type=at_least_0, default=5000)
    parser.add_argument("--ci-jobs-an-hour", type=at_least_0, default=20)
    parser.add_argument("--uplink-mbit", type=positive, default=1000)
    parser.add_argument("--cache-mbit", type=positive, default=10_000)
    parser.add_argument("--cache-gb", type=at_least_0, default=500)
    parser.add_argument("--interval", type=positive, default=300, help="between looks of a device")
    parser.add_argument("--changed", type=share, default=0.02, help="of a dataset, between jobs")
    parser.add_argument("--no-cache", action="store_true")
    parser.add_argument("--coalescing", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args()

    rows = [dict(grown(count)) for count in told.artifacts]
    print(f"| artifacts | {' | '.join(f'{count:,}' for count in told.artifacts)} |")
    print(f"|---|{'---:|' * len(rows)}")
    for name in rows[0] if rows else ():
        print(f"| {name} | {' | '.join(row[name] for row in rows)} |")
    limit = LARGEST_LIST // ENTRY_BYTES
    print(f"\nOne manifest can have some {limit:,} referrers: their list may have 4 MB.\n")

    print(
        "| devices | half have it after | 99% after | from the registry | its link | requests/s |",
        end="",
    )
    print(" a CI job waits | 99% of them |\n|---:|---:|---:|---:|---:|---:|---:|---:|")
    for devices in told.devices:
        site = Site(
            devices=devices,
            engine=told.engine_mb * 1e6,
            dataset=told.dataset_mb * 1e6,
            jobs_an_hour=told.ci_jobs_an_hour,
            uplink=told.uplink_mbit * 1e6 / 8,
            cache_link=told.cache_mbit * 1e6 / 8,
            cache_room=told.cache_gb * 1e9,
            is_cached=not told.no_cache,
            coalesces=told.coalescing,
            interval=told.interval,
            changed=told.changed,
        )
        seen = simulate(site, told.seed)
        requests = seen.requests / (site.hours * HOUR)
        cells = [
            f"{devices:,}",
            duration(percentile(seen.waits, 0.5)),
            duration(percentile(seen.waits, 0.99)),
            size_of(seen.uplink),
            f"{seen.uplink_use:.0%}",
            f"{requests:.1f}" + (" (too many)" if requests * REQUEST >= 1 else ""),
            duration(percentile(seen.jobs, 0.5)),
            duration(percentile(seen.jobs, 0.99)),
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
