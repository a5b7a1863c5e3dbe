"""What was trained in a store, when, with what, and how well: one entry a training.

A model that was taken as it came has one, too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mmdet_jetson.bundles import contents
from mmdet_jetson.bundles.contents import Contents
from mmdet_jetson.bundles.dataset_summary import SPLITS
from mmdet_jetson.bundles.overview import number
from mmdet_jetson.bundles.trainings import Shelf, input_of, is_taken, run_of, verdict_of
from mmdet_jetson.contract.report import CHECKPOINT, DOCUMENTED
from mmdet_jetson.store import Artifact, Store
from mmdet_jetson.store.artifact import moment_of


@dataclass(frozen=True)
class Entry:
    """A training. ``name`` is what to type for it, ``runs`` what it has as its own names now.

    ``run`` is the one that made it, as its report says; "" where there is none. ``data`` and
    ``weights`` are digests of what it was trained with and started from, the latter "" for none.
    ``pictures`` are counted by split. ``ap`` and ``ap50`` are the checkpoint's, of its evaluation
    if ``evaluated``, else of the training's own validation. ``engines`` has AP by target.
    """

    name: str
    digest: str
    runs: tuple[str, ...]
    run: str
    created: str
    config: str
    epochs: int | None
    planned_epochs: int | None
    batch_size: int | None
    seed: int | None
    device: str
    seconds: float
    data: str
    pictures: Mapping[str, int]
    weights: str
    commit: str
    evaluated: bool
    ap: float | None
    ap50: float | None
    engines: Mapping[str, float | None]
    verdict: str
    taken: bool = False
    """Whether it was trained elsewhere: ``weights`` is then the digest of its file."""

    @property
    def best_engine(self) -> tuple[str, float] | None:
        """The target whose engine detects best, and its AP."""
        known = [(ap, target) for target, ap in self.engines.items() if ap is not None]
        return max(known)[::-1] if known else None


def when(created: str) -> datetime | None:
    """A time as it is here; None for what is none, as an artifact from elsewhere may have."""
    made = moment_of(created)
    return made.astimezone() if made else None


def ledger(store: Store) -> list[Entry]:
    """Every training of a store, the newest first; no file of an artifact is read."""
    shelf = Shelf(store)
    return [_entry(shelf, each) for each in shelf.trainings]


def _entry(shelf: Shelf, checkpoint: Artifact) -> Entry:
    found = shelf.of_training(checkpoint)
    made, told = checkpoint.provenance, checkpoint.provenance.parameters
    evaluation = found.get(contents.EVALUATION, CHECKPOINT)
    figures = (evaluation or checkpoint).provenance.metrics
    return Entry(
        name=found.name,
        digest=checkpoint.digest,
        runs=tuple(shelf.runs.get(checkpoint.digest, ())),
        run=run_of(found),
        created=made.created,
        config=str(told.get("config") or ""),
        epochs=_whole(made.metrics.get("epochs")),
        planned_epochs=_whole(told.get("epochs")),
        batch_size=_whole(told.get("batch_size")),
        seed=_whole(told.get("seed")),
        device=str(made.facts.get("device", "")),
        seconds=made.seconds,
        data=input_of(checkpoint, "dataset"),
        pictures=_pictures(found.dataset),
        weights=input_of(checkpoint, "weights") or input_of(checkpoint, "checkpoint"),
        commit=made.commit,
        evaluated=evaluation is not None,
        ap=number(figures.get("AP")),
        ap50=number(figures.get("AP50")),
        engines=_engines(found),
        verdict=verdict_of(found),
        taken=is_taken(checkpoint),
    )


def _pictures(dataset: Artifact | None) -> dict[str, int]:
    """How many pictures each split has, as the dataset's stage has told."""
    told = dataset.provenance.metrics if dataset else {}
    splits = {name: told.get(name) for name in SPLITS}
    counts = {n: each.get("pictures") for n, each in splits.items() if isinstance(each, Mapping)}
    return {name: count for name, count in counts.items() if isinstance(count, int)}


def _engines(found: Contents) -> dict[str, float | None]:
    targets = found.of_kind(contents.ENGINE)
    evaluated = found.of_kind(contents.EVALUATION)
    return {
        target: number(evaluated[target].provenance.metrics.get("AP"))
        if target in evaluated
        else None
        for target in targets
        if target != DOCUMENTED
    }


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
