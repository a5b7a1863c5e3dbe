"""Verdicts in the store: artifacts that refer to the bundle they are about.

Nothing in one is of the time or the place of judging, so the same verdict is the same artifact on
every machine, and whoever judges anew compares one digest. What was measured of the incumbent lies
in the folder ``incumbent/``, and in ``origin.json`` of what.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from mmdet_jetson.bundles.making import CREATED
from mmdet_jetson.contract.matches import MATCHES
from mmdet_jetson.errors import UserError
from mmdet_jetson.promotion.records import Record
from mmdet_jetson.promotion.verdicts import KIND, Verdict, encode
from mmdet_jetson.store import Artifact, Bundle, Provenance, Store
from mmdet_jetson.store.artifact import moment_of

VERDICT = "verdict.json"
FOLDER, ORIGIN, METRICS = "incumbent", "origin.json", "metrics.json"
UNKNOWN_TIME = "1970-01-01T00:00:00+00:00"


class Origin(msgspec.Struct, frozen=True):
    """What an evaluation is about: content digests of the weights and the validation pictures."""

    checkpoint: str
    dataset: str


def keep(
    store: Store, verdict: Verdict, bundle: Bundle, incumbent_evaluation: Artifact | None
) -> Artifact:
    """Store a verdict, and beside it what was measured of the incumbent; it has no name.

    It lives as long as its bundle.

    Raises:
        UserError: the bundle or the evaluation is no longer in the store, or the disk is full.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "verdict")
        folder.mkdir()
        (folder / VERDICT).write_bytes(encode(verdict))
        if incumbent_evaluation:
            embed(store, incumbent_evaluation, folder)
        return store.put(KIND, folder, _provenance(verdict, bundle), (), bundle.descriptor)


def read_verdict(store: Store, digest: str) -> Verdict | None:
    """The verdict of a digest; None where this store has no such verdict.

    Raises:
        UserError: it is damaged, or another version wrote it.
    """
    artifact = store.find(digest)
    if artifact is None or artifact.kind != KIND:
        return None
    return verdict_of(store, artifact)


def verdict_of(store: Store, artifact: Artifact) -> Verdict:
    """What a verdict's artifact says.

    Raises:
        UserError: it is damaged, or another version wrote it.
    """
    try:
        return msgspec.json.decode(store.read(artifact, VERDICT), type=Verdict)
    except (msgspec.DecodeError, RecursionError, KeyError) as error:
        raise UserError(
            f"verdict {artifact.digest[7:19]} cannot be read: {error}",
            "another version may have made it",
        ) from error


def verdicts_in(store: Store) -> Iterator[Artifact]:
    """Every verdict of a store, of whatever channel, in the order of the index."""
    return (each for each in store.artifacts() if each.kind == KIND)


def judged_before(store: Store, records: Sequence[Record], validation: str, bundle: str) -> int:
    """How many other bundles these validation pictures have judged, as far as is known here.

    Known are the verdicts of this store, refused ones among them, and what the channel's records
    say, which were counted where they were made.
    """
    inputs = [each.provenance.inputs for each in verdicts_in(store)]
    seen = {each["bundle"] for each in inputs if each.get("validation") == validation}
    told = [each for each in records if each.validation == validation]
    seen |= {each.bundle for each in told}
    counted = max((each.judged for each in told), default=0)
    if len(seen | {bundle}) >= counted:
        return len(seen - {bundle})
    # Others have counted more than is known here. Whether this bundle was among them, only a
    # record of it tells: better one too many than one too few.
    return counted - any(each.bundle == bundle for each in told)


def least_judged(records: Sequence[Record], validation: str, bundle: str) -> int:
    """How many bundles its pictures have judged at least, this one included, by the records."""
    told = [each for each in records if each.validation == validation]
    bundles = {each.bundle for each in told} | {bundle}
    return max(len(bundles), max((each.judged for each in told), default=0))


def embed(store: Store, evaluation: Artifact, folder: Path) -> None:
    """Write what a verdict keeps of an incumbent's evaluation into ``folder``/incumbent.

    Raises:
        UserError: a file of it is damaged.
    """
    into = folder / FOLDER
    into.mkdir(parents=True)
    for title in (METRICS, MATCHES):
        if title in evaluation.titles:
            (into / title).write_bytes(store.read(evaluation, title))
    read = evaluation.provenance.inputs
    about = Origin(read.get("checkpoint", ""), read.get("dataset", ""))
    (into / ORIGIN).write_bytes(msgspec.json.encode(about, order="sorted"))


def _provenance(verdict: Verdict, bundle: Bundle) -> Provenance:
    """Where a verdict comes from: its time is that of the newest part that it judges."""
    inputs = {
        "bundle": verdict.bundle,
        "incumbent": verdict.incumbent,
        "policy": verdict.policy_digest,
        "validation": verdict.validation,
    }
    return Provenance(
        stage="promote",
        step=f"promote-{verdict.channel}",
        created=_time_of(bundle),
        inputs={name: digest for name, digest in inputs.items() if digest},
        metrics={"outcome": verdict.outcome, "judged_before": verdict.judged_before},
    )


def _time_of(bundle: Bundle) -> str:
    """When the newest part was made, as the bundle says; a fixed time where it says nothing."""
    said = bundle.annotations.get(CREATED, "")
    return said if moment_of(said) else UNKNOWN_TIME
