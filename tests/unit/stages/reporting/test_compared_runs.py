"""Other runs beside a report's own: told apart, and warned of where they are not comparable."""

import json
import re
from dataclasses import replace
from pathlib import Path

from made_analyses import made_analysis
from made_pages import Parts, page_of, section, subject

from mmdet_jetson.contract.job import ArtifactSummary
from mmdet_jetson.contract.parameters.report import ComparedRun, compared_input
from mmdet_jetson.contract.records import write_record
from mmdet_jetson.contract.report import EvaluationMetrics, ProfileMetrics, Spread
from mmdet_jetson.stages.reporting.compared import Side, compared_section, read_sides
from mmdet_jetson.stages.reporting.subjects import Subject
from mmdet_jetson.stages.reporting.training import Training

PICTURES, OTHERS = "sha256:" + 64 * "a", "sha256:" + 64 * "b"


def training(epochs: int = 3) -> Training:
    return {
        "best": {"epoch": 2, "AP": 0.5},
        "epochs": epochs,
        "device": "cpu",
        "curves": {
            "train": [{"step": step, "loss": 1 / step} for step in range(1, 5)],
            "val": [{"epoch": epoch, "AP": epoch / 10} for epoch in range(1, 4)],
        },
    }


def metrics(ap: float) -> EvaluationMetrics:
    figures = {"AP": ap, "AP50": 0.8}
    return EvaluationMetrics("engine", "measured", {}, figures, {"mug": ap, "ball": ap / 2}, 13, 40)


def profile(mean: float) -> ProfileMetrics:
    spread = Spread(mean, mean, mean, mean)
    return ProfileMetrics("onnxruntime", "fp32", 100, 1, "ms", {}, spread, None, 13, {}, "measured")


def models(folder: Path, ap: float, mean: float, seed: int) -> tuple[Subject, ...]:
    made = made_analysis(seed=seed)
    checkpoint = replace(subject(made, folder / "checkpoint"), metrics=metrics(ap))
    engine = subject(made, folder / "pc", "pc")
    return checkpoint, replace(engine, metrics=metrics(ap - 0.001), profile=profile(mean))


def side(folder: Path, name: str, validation: str = PICTURES, seed: int = 1) -> Side:
    return Side(name, models(folder / name, 0.45, 12.5, seed), training(), validation)


def test_figures_thresholds_errors_and_times_stand_beside_each_other(tmp_path: Path) -> None:
    own = models(tmp_path / "own", 0.5, 20.0, seed=0)
    text = page_of(*own, compared=[side(tmp_path, "before <b>")])
    shown = section(text, "compared")
    assert re.findall(r'swatch" style="background: var\(--series-(\d)\)"', shown) == ["1", "2"]
    assert "before &lt;b&gt;" in shown
    assert "<b>before" not in text
    for figure in ("0.500", "0.499", "0.450", "0.449", "20.0", "12.5"):
        assert f">{figure}</td>" in shown
    titles = re.findall(r"<figcaption>(.*?)</figcaption>", shown)
    assert titles == [
        "Training loss", "AP while training", "Mean precision over recall",
        "F1 over the score of each run", "AP50 lost of each run", "Latency of each run",
    ]  # fmt: skip
    assert '<td class="difference">+0.0500</td>' in shown
    parts = Parts(text)
    assert len(parts.ids) == len(set(parts.ids))


def test_trainings_are_drawn_where_both_are_known(tmp_path: Path) -> None:
    this = Side("own", (), training(), PICTURES, is_this=True)
    found = compared_section(this, [side(tmp_path, "before")])
    assert found
    assert [each.title for each in found.charts][:2] == ["Training loss", "AP while training"]
    bare = replace(side(tmp_path, "before"), training=None)
    alone = compared_section(this, [bare])
    assert alone
    assert "Training loss" not in [each.title for each in alone.charts]


def test_other_pictures_are_warned_of(tmp_path: Path) -> None:
    this = replace(side(tmp_path, "own"), is_this=True)
    alike = side(tmp_path, "alike")
    other = side(tmp_path, "other", OTHERS)
    unknown = side(tmp_path, "unknown", "")
    found = compared_section(this, [alike, other, unknown])
    assert found
    assert list(found.warnings) == [
        "own and other were evaluated on different validation pictures or labels (13 and 13 "
        "pictures, 13 with one name): a difference of their figures need not be one of the "
        "detectors.",
        "Whether own and unknown were evaluated on the same validation pictures is not known: "
        "their figures may not be comparable.",
    ]


def test_the_very_training_is_said_to_be_that(tmp_path: Path) -> None:
    this = replace(side(tmp_path, "own"), origin="sha256:1", is_this=True)
    again = replace(side(tmp_path, "own~0"), origin="sha256:1")
    found = compared_section(this, [again])
    assert found
    assert found.warnings == ("own~0 is the very training that this report is of.",)


def test_this_run_knows_its_pictures_by_its_provenance(tmp_path: Path) -> None:
    artifact = ArtifactSummary(
        "evaluate-checkpoint", "evaluation", "sha256:1", "2026", "train", "c", 1.0, 1, (),
        {"dataset": PICTURES},
    )  # fmt: skip
    own = models(tmp_path / "own", 0.5, 20.0, seed=0)
    alike = page_of(*own, compared=[side(tmp_path, "before")], artifacts=[artifact])
    assert "Mind:" not in alike
    assert "Mind:" in page_of(
        *own, compared=[side(tmp_path, "other", OTHERS)], artifacts=[artifact]
    )


def test_an_old_run_without_an_analysis_is_still_compared(tmp_path: Path) -> None:
    own = models(tmp_path / "own", 0.5, 20.0, seed=0)
    old = replace(own[0], analysis=None, metrics=metrics(0.4))
    shown = section(page_of(*own, compared=[Side("old", (old,), None, PICTURES)]), "compared")
    assert "<td>0.400</td>" in shown
    assert "Mean precision over recall" not in shown


def test_runs_are_read_from_their_own_inputs(tmp_path: Path) -> None:
    inputs: dict[str, Path] = {}
    for number, ap in enumerate((0.4, 0.3)):
        folder = tmp_path / f"evaluation-{number}"
        folder.mkdir()
        write_record(folder / "metrics.json", metrics(ap))
        inputs[compared_input(number, "evaluation-checkpoint")] = folder
        checkpoint = tmp_path / f"checkpoint-{number}"
        checkpoint.mkdir()
        (checkpoint / "metrics.json").write_text(json.dumps(training(5 + number)))
        inputs[compared_input(number, "checkpoint")] = checkpoint
    runs = [ComparedRun(name, ("pc",), PICTURES, "") for name in ("one", "two")]
    one, two = read_sides({**inputs, "evaluation-checkpoint": tmp_path}, runs)
    assert [each.name for each in one.subjects] == ["checkpoint", "pc"]
    assert (one.subjects[0].figure("AP"), two.subjects[0].figure("AP")) == (0.4, 0.3)
    assert one.training
    assert two.training
    assert (one.training["epochs"], two.training["epochs"]) == (5, 6)
    assert one.subjects[1].metrics is None
