"""What is in a channel, measured on the candidate's pictures: found, made, kept and read again."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import small_releases
from fakes import FakeRuntime, everywhere
from rich.console import Console
from small_artifacts import PROVENANCE
from small_matches import matches, saved
from small_releases import SmallRun, as_json

from mmdet_jetson.bundles import making
from mmdet_jetson.bundles.contents import Contents, of_bundle, of_run
from mmdet_jetson.cli.incumbents import measure_incumbent
from mmdet_jetson.cli.progress import Display
from mmdet_jetson.cli.verbs import Session
from mmdet_jetson.config.settings import Settings
from mmdet_jetson.contract.job import Result
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning.keys import Ingredients, ingredients
from mmdet_jetson.planning.pipeline import evaluate_again
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.promotion.accuracy import average_precision
from mmdet_jetson.promotion.incumbents import incumbent_of
from mmdet_jetson.promotion.keeping import FOLDER, embed
from mmdet_jetson.promotion.records import PROMOTE, Record
from mmdet_jetson.promotion.verdicts import KIND
from mmdet_jetson.runtimes.protocol import StageRun
from mmdet_jetson.store import Artifact

MATCHES = saved(matches(4, [3], objects=1))
AP = 0.7524752475247525
"""76 of 101 recall levels: three objects of four were found, none of it wrong."""
FORGED = matches(4, objects=1)
"""Better than what was measured."""
OTHER_VAL = b'{"images": [], "annotations": [], "info": "today\'s"}'


class Evaluates(FakeRuntime):
    """Evaluates whatever it is handed; ``matches`` and ``said`` are what it leaves."""

    matches, said = MATCHES, AP

    def run(self, stage: StageRun) -> Result:
        self.runs.append(stage.step.name)
        if self.fails:
            raise UserError("evaluate-checkpoint: broke", "look at the log")
        files = _FILES[stage.step.stage.module](self)
        for title, content in files.items():
            place = stage.folder / "output" / title
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        return Result(metrics={})


_FILES: Mapping[str, Callable[[Evaluates], Mapping[str, bytes]]] = {
    "evaluate_checkpoint": lambda it: {
        "metrics.json": as_json({"figures": {"AP": it.said}}),
        "matches.npz": it.matches,
        "predictions.json": b"[]",
    },
    "dataset": lambda _: {"val.json": OTHER_VAL, "val/more/b.jpg": b"another picture"},
}


def bundled(run: SmallRun, name: str) -> Contents:
    chosen = making.choose(of_run(run.store, run.name), run.project, (), run.steps)
    made = making.bind(chosen, ())
    run.store.tag(made, name)
    return of_bundle(run.store, made, name)


@pytest.fixture
def run(whole_run: SmallRun, tmp_path: Path) -> SmallRun:
    """A run whose newest training is the second, on other validation pictures than the first.

    The first is the bundle ``v1``, the second ``v2``.
    """
    run = small_releases.copy_of(whole_run, tmp_path)
    bundled(run, "v1")
    run.salt = "second"
    for step in run.steps:
        run.make(step.name, {"val.json": OTHER_VAL} if step.name == "dataset" else None)
    bundled(run, "v2")
    return run


@pytest.fixture
def runtime() -> Evaluates:
    return Evaluates()


def contents(run: SmallRun, name: str) -> Contents:
    bundle = run.store.bundle(name)
    assert bundle
    return of_bundle(run.store, bundle, name)


def record(run: SmallRun, name: str) -> Record:
    bundle = run.store.bundle(name)
    return Record(
        sequence=7, action=PROMOTE, bundle=bundle.digest if bundle else f"sha256:{'0' * 64}",
        name=name, who="A <a@b>", at="2026-11-01T00:00:00+00:00",
    )  # fmt: skip


@pytest.fixture
def now(run: SmallRun, settings: Settings, runtime: Evaluates) -> Session:
    shown = Display(Console(quiet=True))
    return Session(
        run.project, settings, tuple(run.steps), run.store, everywhere(runtime), shown, None
    )


def ingredients_of(step: Step, made: dict[str, Artifact]) -> Ingredients:
    return ingredients(step, environment="here", evidence="measured", artifacts=made)


def test_its_key_is_the_pipeline_s_own_where_it_reads_the_same(run: SmallRun) -> None:
    again = evaluate_again(run.project, run.made["train"])

    own = ingredients_of(run.step("evaluate-checkpoint"), run.made)
    assert ingredients_of(again, run.made).key == own.key
    older = contents(run, "v1").checkpoint
    assert older
    assert ingredients_of(again, {**run.made, "train": older}).key != own.key


def test_own_modules_of_a_checkpoint_are_read_along(run: SmallRun) -> None:
    carries = run.make("train", {"custom_imports/mine.py": b"1"}, tags=())

    (read,) = [
        each for name, each in evaluate_again(run.project, carries).inputs.items()
        if name == "checkpoint"
    ]  # fmt: skip

    assert "custom_imports" in read.parts  # type: ignore[union-attr]


def test_an_empty_channel_has_no_incumbent(run: SmallRun, now: Session) -> None:
    assert measure_incumbent(now, contents(run, "v2"), []) == (None, None)
    assert incumbent_of(run.store, contents(run, "v2"), [], None) is None


def test_it_is_measured_once_on_the_candidate_s_pictures(
    run: SmallRun, now: Session, runtime: Evaluates
) -> None:
    candidate, records = contents(run, "v2"), [record(run, "v1")]
    names = {tag: each.digest for tag, each in run.store.tags().items() if tag[:6] != "cache."}

    incumbent, evaluation = measure_incumbent(now, candidate, records)

    assert incumbent
    assert evaluation
    assert (incumbent.name, incumbent.bundle) == ("v1", records[0].bundle)
    assert incumbent.matches
    assert incumbent.matches.pictures == tuple(f"0000{each}.jpg" for each in range(4))
    old = contents(run, "v1").checkpoint
    assert old
    assert evaluation.subject
    assert evaluation.subject.digest == old.digest
    assert evaluation.provenance.inputs["checkpoint"] == old.content_of(("best.pth", "config.py"))
    assert evaluation.provenance.inputs["dataset"] == run.made["dataset"].content_of(
        ("val", "val.json")
    )
    assert runtime.runs == ["evaluate-checkpoint"]
    assert measure_incumbent(now, candidate, records)[1] == evaluation
    assert runtime.runs == ["evaluate-checkpoint"]
    again = incumbent_of(run.store, candidate, records, None)
    assert again
    assert again.matches
    now_named = {tag: each.digest for tag, each in run.store.tags().items() if tag[:6] != "cache."}
    assert now_named == names


def test_nothing_is_computed_where_only_what_is_known_is_asked_for(
    run: SmallRun, runtime: Evaluates
) -> None:
    incumbent = incumbent_of(run.store, contents(run, "v2"), [record(run, "v1")], None)

    assert incumbent
    assert incumbent.matches is None
    assert incumbent.why_not.endswith(
        "has no evaluation of it on them (invoke promote, without --check, makes it)"
    )
    assert runtime.runs == []


def test_an_evaluation_without_matches_is_none(run: SmallRun, now: Session) -> None:
    """The second training's own evaluation is of the same pictures, and says nothing by picture."""
    records = [record(run, "v2")]

    known = incumbent_of(run.store, contents(run, "v2"), records, None)
    assert known
    assert known.matches is None
    assert measure_incumbent(now, contents(run, "v2"), records)[1]


def test_a_bundle_that_is_not_here_is_said_with_its_command(run: SmallRun, now: Session) -> None:
    incumbent, evaluation = measure_incumbent(now, contents(run, "v2"), [record(run, "v0")])

    assert evaluation is None
    assert incumbent
    assert incumbent.why_not.endswith(
        "v0, which record 7 put into the channel, is not in this store (invoke pull 000000000000)"
    )


def test_what_cannot_be_measured_ends_nothing(
    run: SmallRun, now: Session, runtime: Evaluates
) -> None:
    runtime.fails = True

    incumbent, evaluation = measure_incumbent(now, contents(run, "v2"), [record(run, "v1")])

    assert evaluation is None
    assert incumbent
    assert incumbent.matches is None
    assert "evaluate-checkpoint: broke (look at the log)" in incumbent.why_not


def without_pictures(run: SmallRun) -> None:
    """Take the datasets with pictures out of the store; summaries of bundles stay."""
    tags = [
        tag for tag in run.store.tags()
        if (found := run.store.find(tag)) and found.kind == "dataset"
    ]  # fmt: skip
    run.store.untag(*tags)
    run.store.gc(lambda _: True)


def test_pictures_that_are_not_here_are_made_again(
    run: SmallRun, now: Session, runtime: Evaluates
) -> None:
    without_pictures(run)

    incumbent, _ = measure_incumbent(now, contents(run, "v2"), [record(run, "v1")])

    assert incumbent
    assert incumbent.matches
    assert runtime.runs == ["dataset", "evaluate-checkpoint"]


def test_other_pictures_are_no_replacement(run: SmallRun, now: Session, runtime: Evaluates) -> None:
    without_pictures(run)

    incumbent, evaluation = measure_incumbent(now, contents(run, "v1"), [record(run, "v2")])

    assert evaluation is None
    assert incumbent
    assert "the validation pictures of v1 are not in" in incumbent.why_not
    assert runtime.runs == ["dataset"]


@pytest.mark.parametrize(
    ("left", "why"),
    [
        ((MATCHES, 0.9), "the incumbent's evaluation is damaged: AP 0.9"),
        ((MATCHES, AP + 2e-6), "is damaged"),
        ((MATCHES, None), "is damaged"),
        ((b"PK", AP), "cannot be read"),
    ],
    ids=["other", "near", "none", "torn"],
)
def test_matches_that_are_not_those_of_the_figures_are_damaged(
    run: SmallRun, now: Session, runtime: Evaluates, left: tuple[bytes, float], why: str
) -> None:
    runtime.matches, runtime.said = left

    incumbent, _ = measure_incumbent(now, contents(run, "v2"), [record(run, "v1")])

    assert incumbent
    assert incumbent.matches is None
    assert why in incumbent.why_not


def test_an_evaluation_of_something_else_is_none(run: SmallRun, now: Session) -> None:
    candidate = contents(run, "v2")
    _, other = measure_incumbent(now, candidate, [record(run, "v2")])

    incumbent = incumbent_of(run.store, candidate, [record(run, "v1")], other)

    assert other
    assert incumbent
    assert incumbent.matches is None
    assert f"evaluation {other.digest[7:19]} is not about" in incumbent.why_not


def kept(run: SmallRun, evaluation: Artifact, folder: Path, **changes: bytes) -> Artifact:
    """A verdict that keeps an evaluation, with files of it changed."""
    folder.mkdir()
    embed(run.store, evaluation, folder)
    for title, content in changes.items():
        (folder / FOLDER / title.replace("_", ".")).write_bytes(content)
    (folder / "verdict.json").write_bytes(b"{}")
    return run.store.put(KIND, folder, PROVENANCE, ["kept"])


def test_a_verdict_keeps_what_was_measured(run: SmallRun, now: Session, tmp_path: Path) -> None:
    candidate, records = contents(run, "v2"), [record(run, "v1")]
    incumbent, evaluation = measure_incumbent(now, candidate, records)
    assert evaluation

    verdict = kept(run, evaluation, tmp_path / "verdict")

    assert {layer.title for layer in verdict.layers} == {"verdict.json", FOLDER}
    again = incumbent_of(run.store, candidate, records, verdict)
    assert again
    assert incumbent
    assert again.why_not == ""
    assert again.matches
    assert again.matches.pictures == incumbent.matches.pictures  # type: ignore[union-attr]
    other = incumbent_of(run.store, candidate, [record(run, "v2")], verdict)
    assert other
    assert "keeps a measurement of another incumbent" in other.why_not


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"origin_json": b"{}"}, "origin.json cannot be read"),
        ({"origin_json": b'{"checkpoint": "sha256:1", "dataset": "sha256:2"}'}, "of another"),
        ({"matches_npz": saved(matches(4, [2, 3], objects=1))}, "is damaged"),
        ({"metrics_json": b"["}, "cannot be read"),
        (
            {
                "matches_npz": saved(FORGED),
                "metrics_json": as_json({"figures": {"AP": average_precision(FORGED)}}),
            },
            "its own evaluation on the same pictures has",
        ),
    ],
    ids=["no-origin", "another", "matches", "metrics", "forged"],
)
def test_a_verdict_that_keeps_something_else_is_found(
    run: SmallRun, now: Session, tmp_path: Path, changes: dict[str, bytes], why: str
) -> None:
    candidate, records = contents(run, "v2"), [record(run, "v1")]
    _, evaluation = measure_incumbent(now, candidate, records)
    assert evaluation

    verdict = kept(run, evaluation, tmp_path / "verdict", **changes)

    incumbent = incumbent_of(run.store, candidate, records, verdict)
    assert incumbent
    assert incumbent.matches is None
    assert why in incumbent.why_not


def test_a_verdict_that_keeps_nothing_says_so(run: SmallRun, tmp_path: Path) -> None:
    folder = tmp_path / "verdict"
    folder.mkdir()
    (folder / "verdict.json").write_bytes(b"{}")
    verdict = run.store.put(KIND, folder, PROVENANCE, ["kept"])

    incumbent = incumbent_of(run.store, contents(run, "v2"), [record(run, "v1")], verdict)

    assert incumbent
    assert "keeps no measurement" in incumbent.why_not
