"""What was made here last, and what failed, for somebody who has nothing but one file."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mmdet_jetson.contract.job import FAILURE, LOG
from mmdet_jetson.errors import UserError
from mmdet_jetson.processes import tail
from mmdet_jetson.store import Artifact, Store

LAST = 6
"""How many of each kind of result are told of, the newest first."""
# The documents of an artifact that are told whole, at most so many bytes; of a log only the end.
SUFFIXES = (".json", ".xml", ".log")
MOST_BYTES = 200_000
LOG_LINES = 100
# Of each picture a line, and no figures of the device.
LEFT_OUT = ("predictions.json", "train.json", "val.json", "train.log")


def last_results(root: Path) -> list[dict[str, object]]:
    """Tell of the newest results in the store at ``root``, with their documents."""
    store = Store(root)
    if not store.exists():
        return []
    names: dict[str, list[str]] = {}
    for tag, descriptor in store.tags().items():
        names.setdefault(descriptor.digest, []).append(tag)
    found = sorted(store.artifacts(), key=lambda each: each.provenance.created, reverse=True)
    told: Counter[str] = Counter()
    results = []
    for artifact in found:
        told[artifact.kind] += 1
        if told[artifact.kind] <= LAST:
            results.append(
                {
                    "names": names.get(artifact.digest, []),
                    "kind": artifact.kind,
                    "digest": artifact.digest,
                    "provenance": artifact.provenance,
                    "documents": dict(_documents(store, artifact)),
                }
            )
    return results


def _documents(store: Store, artifact: Artifact) -> Iterator[tuple[str, object]]:
    for layer in artifact.layers:
        title = layer.title
        wanted = title.endswith(SUFFIXES) and title not in LEFT_OUT
        if not wanted or layer.is_directory or layer.blob.size > MOST_BYTES:
            continue
        try:
            content = store.read(artifact, title).decode(errors="replace")
        except UserError as damaged:
            content = f"damaged: {damaged.message}"
        yield title, _parsed(content) if title.endswith(".json") else _end(content)


def _parsed(content: str) -> object:
    """Give what JSON says; Infinity and NaN, which are none, become words."""
    try:
        return json.loads(content, parse_constant=str)
    except ValueError:
        return content


def _end(content: str) -> str:
    return "\n".join(content.splitlines()[-LOG_LINES:])


def failed_jobs(root: Path) -> dict[str, object]:
    """Tell of the newest runs that ended badly what they said, and the end of their logs."""
    jobs = [each for each in (root / "jobs").glob("*") if each.is_dir()]
    newest = sorted(jobs, key=lambda each: each.stat().st_mtime, reverse=True)[:LAST]
    return {
        job.name: {
            "failure": tail(job / FAILURE),
            "log": tail(job / LOG, lines=LOG_LINES, most_bytes=50_000),
        }
        for job in newest
    }
