"""`thresholds.json` beside a checked-out engine, and the line at the end of a run."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from fakes import dataset_step
from in_process import Commands, commands_of
from small_artifacts import PROVENANCE

from mmdet_jetson.cli.thresholds import deploy_line, evaluation_of, tell_thresholds
from mmdet_jetson.contract.analysis import (
    ANALYSIS,
    THRESHOLDS,
    Analysis,
    OperatingPoint,
    PictureResult,
    ScoreCurve,
    Thresholds,
)
from mmdet_jetson.contract.parameters.evaluate import (
    DrawingParameters,
    EvaluateEngineParameters,
)
from mmdet_jetson.contract.records import read_record, write_record
from mmdet_jetson.planning import stages
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.store import Artifact, Store

POINT = OperatingPoint(0.4125, 0.75, 0.5, 0.6)
MISSING = "no thresholds.json: the store has no evaluation of this engine that names a threshold"


def analysis_at(point: OperatingPoint | None) -> Analysis:
    curve = ScoreCurve(2, (), point)
    return Analysis(
        classes=("mug",),
        wished_precision=None,
        deploy=point,
        threshold=0.3 if point is None else point.threshold,
        together=curve,
        per_class={"mug": curve},
        precision_recall={},
        confusion=((1, 1), (0, 0)),
        sizes=(),
        errors=None,
        pictures=(PictureResult("a.jpg", 2, 1, 0, 1, 0, 0.5),) * 80,
        worst=(),
    )


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store with the engine ``mugs.engine-pc``."""
    monkeypatch.setenv("MMDET_JETSON_ARTIFACTS", str(tmp_path / "artifacts"))
    store = Store(tmp_path / "artifacts")
    put(store, tmp_path, "engine", {"engine.onnx": "an engine"})
    return store


@pytest.fixture
def commands(capsys: pytest.CaptureFixture[str]) -> Commands:
    return commands_of(capsys)


def put(
    store: Store,
    folder: Path,
    kind: str,
    files: Mapping[str, str],
    subject: Artifact | None = None,
    *,
    created: str = PROVENANCE.created,
) -> Artifact:
    place = folder / f"{kind}-{len(store.artifacts()) if store.exists() else 0}"
    place.mkdir()
    for name, text in files.items():
        (place / name).write_text(text)
    made = msgspec.structs.replace(PROVENANCE, created=created)
    tags = [f"mugs.{kind}-pc"] if subject is None else []
    return store.put(kind, place, made, tags, subject.descriptor if subject else None)


def evaluated(
    store: Store, folder: Path, point: OperatingPoint | None = POINT, created: str = "2026-01-01T00:00:00Z"
) -> Artifact:  # fmt: skip
    write_record(folder / ANALYSIS, analysis_at(point))
    files = {ANALYSIS: (folder / ANALYSIS).read_text(), "metrics.json": "{}"}
    return put(store, folder, "evaluation", files, engine_of(store), created=created)


def engine_of(store: Store) -> Artifact:
    engine = store.find("mugs.engine-pc")
    assert engine is not None
    return engine


def test_the_threshold_lies_beside_a_checked_out_engine(
    store: Store, tmp_path: Path, commands: Commands
) -> None:
    evaluation = evaluated(store, tmp_path)
    code, said = commands("checkout", "mugs.engine-pc", str(tmp_path / "out"))
    assert code == 0
    named = evaluation.digest[7:19]
    assert (
        f"thresholds.json: 0.4125, the best F1 over 80 validation pictures (evaluation {named})"
    ) in said
    thresholds = read_record(tmp_path / "out" / THRESHOLDS, Thresholds)
    assert thresholds.deploy == POINT
    assert thresholds.per_class == {"mug": POINT}
    assert thresholds.evaluation == evaluation.digest


def test_the_newest_evaluation_counts(store: Store, tmp_path: Path) -> None:
    newest = evaluated(store, tmp_path, created="2026-03-01T00:00:00Z")
    evaluated(store, tmp_path, created="2026-02-01T00:00:00Z")
    found = evaluation_of(store, engine_of(store))
    assert found is not None
    assert found.digest == newest.digest


def test_one_that_a_run_has_named_comes_before_a_newer_one(store: Store, tmp_path: Path) -> None:
    """As after `--set evaluate.precision=0.9`, and a run without it, which finds its old result."""
    named = evaluated(store, tmp_path, created="2026-02-01T00:00:00Z")
    store.tag(named, "mugs.evaluate-pc")
    newer = evaluated(store, tmp_path, created="2026-03-01T00:00:00Z")
    store.tag(newer, "cache.123")
    found = evaluation_of(store, engine_of(store))
    assert found is not None
    assert found.digest == named.digest


def test_an_evaluation_of_before_and_one_of_another_engine_do_not(
    store: Store, tmp_path: Path, commands: Commands
) -> None:
    put(store, tmp_path, "evaluation", {"metrics.json": "{}"}, engine_of(store))
    other = put(store, tmp_path, "engine", {"engine.onnx": "another"})
    code, said = commands("checkout", other.digest, str(tmp_path / "other"))
    assert code == 0
    assert MISSING in said
    assert not (tmp_path / "other" / THRESHOLDS).exists()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "analysis.json is not JSON"),
        ('{"a": 1}', "Analysis has no 'a'"),
    ],
)
def test_an_analysis_of_another_release_stops_no_checkout(
    text: str, reason: str, store: Store, tmp_path: Path, commands: Commands
) -> None:
    put(store, tmp_path, "evaluation", {ANALYSIS: text}, engine_of(store))
    code, said = commands("checkout", "mugs.engine-pc", str(tmp_path / "out"))
    assert code == 0
    assert "no thresholds.json: the analysis of evaluation" in said
    assert reason in said


def test_where_nothing_is_right_there_is_no_threshold(
    store: Store, tmp_path: Path, commands: Commands
) -> None:
    evaluated(store, tmp_path, point=None)
    _, said = commands("checkout", "mugs.engine-pc", str(tmp_path / "out"))
    assert "no thresholds.json: no detection is right in evaluation" in said


def test_only_engines_have_one(store: Store, tmp_path: Path, commands: Commands) -> None:
    evaluation = evaluated(store, tmp_path)
    _, said = commands("checkout", evaluation.digest, str(tmp_path / "out"))
    assert THRESHOLDS not in said


@pytest.mark.parametrize(
    ("point", "line"),
    [
        (
            POINT,
            "threshold of engine pc: 0.4125 (precision 0.750, recall 0.500), the best F1 over 80 "
            "validation pictures\n",
        ),
        (None, "threshold of engine pc: none, no detection is right\n"),
    ],
)
def test_a_run_ends_with_the_threshold(
    point: OperatingPoint | None,
    line: str,
    store: Store,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    step = Step(
        stage=stages.EVALUATE_ENGINE,
        subject="pc",
        parameters=EvaluateEngineParameters(DrawingParameters(1, 0.3)),
    )
    tell_thresholds(store, {step.name: evaluated(store, tmp_path, point)}, [dataset_step(), step])
    assert capsys.readouterr().out == line


def test_an_evaluation_of_before_says_nothing(store: Store, tmp_path: Path) -> None:
    old = put(store, tmp_path, "evaluation", {"metrics.json": "{}"}, engine_of(store))
    assert not deploy_line(store, old, "pc")
