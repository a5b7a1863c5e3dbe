"""What a report shows of another run of the store: `--compare RUN`."""

from collections.abc import Sequence
from pathlib import Path

from mmdet_jetson.bundles.contents import (
    CHECKPOINT,
    EVALUATION,
    PROFILE,
    Contents,
    Unknown,
    refuse_damaged,
    runs_in,
)
from mmdet_jetson.bundles.trainings import input_of, side
from mmdet_jetson.config.toml import nearest
from mmdet_jetson.contract.analysis import ANALYSIS
from mmdet_jetson.contract.parameters.report import MOST_COMPARED, ComparedRun
from mmdet_jetson.contract.report import BASE, DOCUMENTED, input_name
from mmdet_jetson.contract.report import CHECKPOINT as TRAINED
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning import stages
from mmdet_jetson.planning.compared import Compared
from mmdet_jetson.planning.given_artifacts import GivenArtifact
from mmdet_jetson.store import Store

READ = {
    CHECKPOINT: ("metrics.json",),
    EVALUATION: ("metrics.json", ANALYSIS),
    PROFILE: ("profile.json",),
}
"""What of each kind is shown; runs of earlier releases have not all of it."""


def read_compared(
    store: Store, named: Sequence[str], own: str, digests: Path
) -> tuple[Compared, ...]:
    """Find the runs that ``--compare`` names, each once.

    Args:
        store: where they are.
        named: runs as `bundles.trainings.side` knows them: a run, RUN~1, a bundle, a digest.
        own: the run that is compared with them.
        digests: a cache of digests of files.

    Raises:
        UserError: there is no such run, a part of it is damaged, it has no evaluation, it is the
            run itself, or they are too many.
    """
    names = list(dict.fromkeys(named))
    if len(names) > MOST_COMPARED:
        raise UserError(
            f"--compare names {len(names)} runs, and a chart tells {MOST_COMPARED} apart beside "
            "its own",
            "leave some out",
        )
    return tuple(_read(store, name, own, digests) for name in names)


def _read(store: Store, name: str, own: str, digests: Path) -> Compared:
    if name == own:
        raise UserError(
            f"--compare {name}: that is the run itself",
            f"{name}~0 is its newest training in the store so far, {name}~1 the one before that: "
            "`invoke runs` lists them",
        )
    try:
        found = side(store, name)
    except Unknown as error:
        hint = error.hint if ":" in name else _runs(store, name)
        raise UserError(f"--compare: {error.message}", hint) from error
    except UserError as error:
        raise UserError(f"--compare: {error.message}", error.hint) from error
    _refuse_damaged(store, name)
    evaluations = found.of_kind(EVALUATION)
    if not evaluations.keys() - {BASE, DOCUMENTED}:
        raise UserError(
            f"--compare {name}: it has no evaluation to show",
            "evaluate it first: invoke evaluate, with its configuration",
        )
    validation = (input_of(each, "dataset") for each in evaluations.values())
    checkpoint = found.checkpoint or evaluations.get(TRAINED)
    run = ComparedRun(
        name=name,
        targets=_targets(found),
        validation=next(filter(None, validation), ""),
        origin=checkpoint.digest if checkpoint else "",
    )
    return Compared(run, {each.name: each.output(*_parts(each)) for each in _shown(found, digests)})


def _runs(store: Store, name: str) -> str:
    """What else may have been meant: there is more with a name in a store than runs."""
    runs = runs_in(store)
    return nearest(name, runs) if runs else "no run is there yet: `invoke runs` lists them"


def _refuse_damaged(store: Store, run: str) -> None:
    """Refuse what is shown of a run and damaged: it would be missing on the page, as if never made.

    Raises:
        UserError: a part is damaged.
    """
    shown = [f"{run}.{stage.verb}" for stage in stages.STAGES if stage.makes in READ]
    for tag in store.tags():
        if any(tag == step or tag.startswith(f"{step}-") for step in shown):
            refuse_damaged(store, tag)


def _targets(found: Contents) -> tuple[str, ...]:
    """The targets whose engine was measured."""
    measured = [*found.of_kind(EVALUATION), *found.of_kind(PROFILE)]
    return tuple(
        name for name in dict.fromkeys(measured) if name not in (BASE, TRAINED, DOCUMENTED)
    )


def _shown(found: Contents, digests: Path) -> list[GivenArtifact]:
    return [
        GivenArtifact(part.kind, part.subject, input_name(*part), artifact, found.store, digests)
        for part, artifact in found.parts.items()
        if part.kind in READ and part.subject != DOCUMENTED
    ]


def _parts(each: GivenArtifact) -> list[str]:
    return [title for title in READ[each.kind] if title in each.artifact.titles]
