"""What was made here last, and what failed, for somebody who has nothing but one file."""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from xml.etree import ElementTree

from mmdet_jetson.contract.job import FAILURE, LOG
from mmdet_jetson.errors import UserError
from mmdet_jetson.processes import tail
from mmdet_jetson.store import Artifact, Store

LAST = 6
"""How many of each kind of result are told of, the newest first."""
# The documents of an artifact that are told whole, at most so many bytes; of a log only the end.
DOCUMENTS = (
    "passport.json", "graph.json", "layers.json", "deploy.json", "builder.log", "metrics.json",
    "proof.json", "profile.json", "verdict.json", "junit.xml",
)  # fmt: skip
MOST_BYTES = 200_000
LOG_LINES = 100
DATASET = "dataset"  # what it says is of files of the user, and nothing of the device


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
        if artifact.kind == DATASET:
            continue
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
        if title not in DOCUMENTS or layer.is_directory or layer.blob.size > MOST_BYTES:
            continue
        try:
            content = store.read(artifact, title).decode(errors="replace")
        except UserError as damaged:
            content = f"damaged: {damaged.message}"
        yield title, _told(title, content)


def _told(title: str, content: str) -> object:
    if title.endswith(".json"):
        return _parsed(content)
    return tests_of(content) if title.endswith(".xml") else _end(content)


def tests_of(content: str) -> object:
    """Tell each test's outcome, and why where it did not pass, of a file as JUnit writes it."""
    try:
        root = ElementTree.fromstring(content)  # noqa: S314 - Expat itself ends what only grows
    except ElementTree.ParseError as error:
        return f"no results of tests: {error}"
    return {
        f"{case.get('classname')}::{case.get('name')}": [
            f"{each.tag}: {each.get('message', '')}"
            for each in case
            if each.tag in ("failure", "error", "skipped")
        ]
        or "passed"
        for case in root.iter("testcase")
    }


def _parsed(content: str) -> object:
    """Give what JSON says; Infinity and NaN, which are none, become words."""
    try:
        return json.loads(content, parse_constant=str)
    except ValueError:
        return content


def _end(content: str) -> str:
    return "\n".join(content.splitlines()[-LOG_LINES:])


def failed_jobs(root: Path) -> dict[str, object]:
    """Tell of the newest runs that ended badly what they said, and the end of their logs.

    One that somebody ended before it said a word is none, and of a dataset the files are not told.
    """
    jobs = [each for each in (root / "jobs").glob("*") if each.is_dir()]
    newest = sorted(jobs, key=lambda each: each.stat().st_mtime, reverse=True)
    found = {
        job.name: {
            "failure": tail(job / FAILURE),
            "log": tail(job / LOG, lines=LOG_LINES, most_bytes=50_000),
        }
        for job in newest
        if not job.name.startswith(f"{DATASET}-")
    }
    return dict(islice(((job, said) for job, said in found.items() if any(said.values())), LAST))
