"""The incumbent, which is what a channel has now, measured on the candidate's validation pictures.

Its evaluation is a result as any other: found in the store by what it was made from, or made by the
pipeline's own step (`cli.incumbents`), or what a verdict keeps of it (`keeping`).
"""

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from mmdet_jetson.bundles.contents import Contents, of_bundle
from mmdet_jetson.bundles.dataset_summary import content_of
from mmdet_jetson.bundles.overview import mapping, number
from mmdet_jetson.contract import custom_imports
from mmdet_jetson.contract.matches import MATCHES
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning import stages
from mmdet_jetson.planning.target_steps import VALIDATION, WEIGHTS
from mmdet_jetson.promotion.accuracy import Matches, average_precision, read_matches
from mmdet_jetson.promotion.evidence import Incumbent
from mmdet_jetson.promotion.keeping import FOLDER, METRICS, ORIGIN, Origin
from mmdet_jetson.promotion.records import Record
from mmdet_jetson.promotion.verdicts import KIND as VERDICT
from mmdet_jetson.store import Artifact, Store

NEAR = 1e-6
"""How near the AP of the matches has to be to that of the figures beside them."""
ALIKE = 0.002
"""How near two evaluations of the same weights on the same pictures are, on whatever machines."""
Read = Callable[[str], bytes]


def incumbent_of(
    store: Store, contents: Contents, records: Sequence[Record], evaluation: Artifact | None
) -> Incumbent | None:
    """What is in a channel with these records; None for an empty one.

    ``evaluation`` is that of its checkpoint on the candidate's pictures, or a verdict that keeps
    one; without, the store is looked through. Whatever is wrong with it is said in the result.
    """
    if not records:
        return None
    last = records[-1]
    name = last.name or last.bundle[7:19]
    try:
        matches = _measured(store, contents, last, evaluation)
    except UserError as error:
        hint = f" ({error.hint})" if error.hint else ""
        return Incumbent(last.bundle, name, None, f"{error.message}{hint}")
    return Incumbent(last.bundle, name, matches)


def checkpoint_of(store: Store, record: Record) -> Artifact:
    """The checkpoint of the bundle that a record put into its channel.

    Raises:
        UserError: the bundle, or a checkpoint in it, is not in the store; says how to get it.
    """
    name, short = record.name or record.bundle[7:19], record.bundle[7:19]
    bundle = store.bundle(record.bundle)
    if bundle is None:
        raise UserError(
            f"{name}, which record {record.sequence} put into the channel, is not in this store",
            f"invoke pull {short}",
        )
    checkpoint = of_bundle(store, bundle, name).checkpoint
    if checkpoint is None:
        raise UserError(
            f"{name}, which is in the channel, has no checkpoint", f"invoke show {short}"
        )
    return checkpoint


def validation_of(contents: Contents) -> str:
    """The content digest of a candidate's validation pictures and what is annotated in them.

    Raises:
        UserError: it has none.
    """
    dataset = contents.dataset
    digest = content_of(contents.store, dataset, VALIDATION) if dataset else None
    if digest is None:
        raise UserError(
            f"{contents.name} does not say by which pictures it was validated: it has no dataset",
            "invoke bundle, where it was made",
        )
    return digest


def validation_pictures(contents: Contents) -> Artifact | None:
    """A dataset of the store with a candidate's validation pictures, which bundles leave out.

    Raises:
        UserError: as `validation_of`.
    """
    wanted, store = validation_of(contents), contents.store
    made = [each for each in store.artifacts() if each.kind == stages.DATASET.makes]
    whole = (each for each in made if _has(each, *VALIDATION))
    return next((each for each in whole if each.content_of(VALIDATION) == wanted), None)


def find_evaluation(store: Store, checkpoint: Artifact, dataset: Artifact) -> Artifact | None:
    """The newest evaluation of a checkpoint on a dataset's validation pictures, with matches.

    The dataset may be without its pictures.
    """
    pictures = content_of(store, dataset, VALIDATION)
    wanted = Origin(weights_of(checkpoint), pictures) if pictures else None
    fitting = [each for each in store.artifacts() if wanted and _is_about(each, wanted)]
    return max(fitting, key=lambda each: each.provenance.created, default=None)


def weights_of(checkpoint: Artifact) -> str:
    """The content digest of all that an evaluation reads of a checkpoint.

    Raises:
        UserError: it lacks some of it, as only what others made does.
    """
    carried = [custom_imports.FOLDER] if _has(checkpoint, custom_imports.FOLDER) else []
    try:
        return checkpoint.content_of((*WEIGHTS, *carried))
    except KeyError as lacking:
        raise UserError(
            f"checkpoint {checkpoint.digest[7:19]} has no {lacking.args[0]}",
            "bundle again where it was made",
        ) from lacking


def _measured(
    store: Store, contents: Contents, last: Record, evaluation: Artifact | None
) -> Matches:
    checkpoint = checkpoint_of(store, last)
    wanted = Origin(weights_of(checkpoint), validation_of(contents))
    if evaluation and evaluation.kind == VERDICT:
        if not _has(evaluation, FOLDER):
            raise UserError("the verdict keeps no measurement of what was in the channel")
        kept = _kept(store, evaluation, wanted)
        if own := contents.dataset and find_evaluation(store, checkpoint, contents.dataset):
            _refuse_another(kept, _matches(lambda title: store.read(own, title)))
        return kept
    if evaluation is None and contents.dataset:
        evaluation = find_evaluation(store, checkpoint, contents.dataset)
    if evaluation is None:
        raise UserError(
            f"{store.root} has no evaluation of it on them",
            "invoke promote, without --check, makes it",
        )
    if not _is_about(evaluation, wanted):
        raise UserError(
            f"evaluation {evaluation.digest[7:19]} is not about what is in the channel and these "
            "validation pictures"
        )
    return _matches(lambda title: store.read(evaluation, title))


def _kept(store: Store, verdict: Artifact, wanted: Origin) -> Matches:
    """What a verdict keeps, if that is about the weights and the pictures in question."""
    with tempfile.TemporaryDirectory() as scratch:
        store.checkout(verdict, Path(scratch, "verdict"), [FOLDER])
        files = Path(scratch, "verdict", FOLDER)

        def read(title: str) -> bytes:
            try:
                return (files / title).read_bytes()
            except OSError as error:
                raise _damaged(f"{title} in {FOLDER}/ of the verdict", error) from error

        try:
            about = msgspec.json.decode(read(ORIGIN), type=Origin)
        except (msgspec.DecodeError, RecursionError) as error:
            raise _damaged(ORIGIN, error) from error
        if (about.checkpoint, about.dataset) != (wanted.checkpoint, wanted.dataset):
            raise UserError(
                "the verdict keeps a measurement of another incumbent, or on other validation "
                "pictures",
                "promote again: a record of another channel or a newer one came in between",
            )
        return _matches(read)


def _refuse_another(kept: Matches, own: Matches) -> None:
    """Hold what a verdict keeps against another evaluation of the same weights and pictures.

    Machines differ in the last digits of scores, which moves AP less than `ALIKE`.

    Raises:
        UserError: they are two.
    """
    said, found = average_precision(kept), average_precision(own)
    if kept.pictures != own.pictures or abs((said or 0) - (found or 0)) > ALIKE:
        raise UserError(
            f"the verdict keeps a measurement with AP {said or 0:.4f} of what was in the channel, "
            f"and its own evaluation on the same pictures has {found or 0:.4f}",
            "ask whoever promoted it",
        )


def _matches(read: Read) -> Matches:
    """The matches of an evaluation, if they are those that its figures are of."""
    try:
        matches = read_matches(read(MATCHES))
        figures = mapping(mapping(json.loads(read(METRICS))).get("figures"))
    except (ValueError, RecursionError) as error:
        raise _damaged("the incumbent's evaluation", error) from error
    said, found = figures.get("AP"), average_precision(matches)
    if not _near(said, found):
        raise UserError(f"the incumbent's evaluation is damaged: AP {said}, its matches {found}")
    return matches


def _near(said: object, found: float | None) -> bool:
    told = number(said)
    if found is None or told is None:
        return said is None and found is None
    return abs(told - found) <= NEAR


def _damaged(what: str, error: Exception) -> UserError:
    return UserError(f"{what} cannot be read: {error}", "promote again, which measures it")


def _is_about(evaluation: Artifact, wanted: Origin) -> bool:
    """Whether an artifact is the evaluation of these weights on these pictures."""
    made = evaluation.provenance
    is_one = evaluation.kind == stages.EVALUATE_CHECKPOINT.makes and _has(
        evaluation, METRICS, MATCHES
    )
    read = made.inputs.get("checkpoint"), made.inputs.get("dataset")
    return is_one and read == (wanted.checkpoint, wanted.dataset)


def _has(artifact: Artifact, *titles: str) -> bool:
    return artifact.titles.issuperset(titles)
