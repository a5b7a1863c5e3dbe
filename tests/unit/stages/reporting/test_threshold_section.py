"""The sentence that names a threshold, and the curves and tables behind it."""

from dataclasses import replace
from pathlib import Path

import pytest
from made_analyses import made_analysis, without_threshold
from made_pages import analysed, page_of, section, subject

from mmdet_jetson.contract.analysis import Analysis, OperatingPoint, ScoreCurve
from mmdet_jetson.stages.reporting.page_text import exact
from mmdet_jetson.stages.reporting.threshold_section import (
    MOST_CLASS_CHARTS,
    threshold_section,
)

POINT = OperatingPoint(0.6125, 0.912, 0.88, 0.896)


def shown(tmp_path: Path, analysis: Analysis, name: str = "checkpoint") -> str:
    checkpoint = subject(None if name != "checkpoint" else analysis, tmp_path / "checkpoint")
    engines = [] if name == "checkpoint" else [subject(analysis, tmp_path / name, name)]
    return section(page_of(checkpoint, *engines), "threshold")


def best_f1(curve: ScoreCurve) -> float:
    assert curve.best_f1
    assert curve.best_f1.f1 is not None
    return curve.best_f1.f1


def test_the_sentence_has_the_threshold_and_what_it_does(tmp_path: Path) -> None:
    analysis = replace(made_analysis(80), deploy=POINT)
    text = shown(tmp_path, analysis, "orin")
    assert "Deploy the engine orin with a score threshold of <b>0.6125</b>: 91.2% of what" in text
    assert "finds 88.0% of the objects (recall); F1 is 0.896." in text
    assert "No other threshold has a better F1 over 80 validation pictures." in text


def test_the_reason_is_the_wish_where_there_is_one() -> None:
    kept = analysed(made_analysis(80, wished=0.9))
    assert threshold_section(kept, [kept]).reason == (
        "No other threshold with the wished precision of 0.9 or more finds more objects over "
        "80 validation pictures."
    )


def test_a_wish_that_nothing_reaches_is_said() -> None:
    made = made_analysis(80, wished=0.9)
    lost = analysed(replace(made, together=replace(made.together, wished=None)))
    assert threshold_section(lost, [lost]).reason.startswith(
        "No threshold reaches the wished precision of 0.9 over 80 validation pictures, so this"
    )


@pytest.mark.parametrize(
    ("objects", "why"),
    [(0, "there is nothing to detect"), (7, "nothing is detected that is right")],
)
def test_without_a_threshold_it_says_why(tmp_path: Path, objects: int, why: str) -> None:
    made = without_threshold(made_analysis(13))
    made = replace(made, together=replace(made.together, objects=objects))
    text = shown(tmp_path, made)
    assert f"No score threshold can be named: {why} on 13 validation pictures." in text
    assert "Deploy" not in text


def test_few_objects_are_a_doubt() -> None:
    few, many = analysed(made_analysis(13)), analysed(made_analysis(80))
    assert threshold_section(few, [few]).doubt.startswith("There are only 39 objects to judge by")
    assert "2.6 points of a hundred" in threshold_section(few, [few]).doubt
    assert threshold_section(many, [many]).doubt == ""


def test_every_class_is_in_the_table_and_the_hardest_have_a_chart(tmp_path: Path) -> None:
    names = tuple(f"class {at}" for at in range(20))
    kept = analysed(made_analysis(40, names))
    found = threshold_section(kept, [kept])
    assert [each.name for each in found.classes] == list(names)
    drawn = [best_f1(each.curve) for each in found.charts]
    rest = [best_f1(each.curve) for each in found.classes if not each.chart]
    assert len(drawn) == MOST_CLASS_CHARTS
    assert drawn == sorted(drawn)
    assert max(drawn) <= min(rest)
    text = shown(tmp_path, made_analysis(40, names))
    assert "The 12 classes with the lowest best F1; the table has all 20." in text
    assert text.count("<svg") == 1 + MOST_CLASS_CHARTS


def test_one_class_needs_no_table_of_classes(tmp_path: Path) -> None:
    text = shown(tmp_path, made_analysis(13, ("mug",)))
    assert 'id="class-thresholds"' not in text
    assert text.count("<svg") == 1


def test_the_curve_marks_what_is_deployed() -> None:
    kept = analysed(replace(made_analysis(80), deploy=POINT))
    chart = threshold_section(kept, [kept]).chart
    assert chart is not None
    assert "deploy 0.61" in chart
    for words in ("score threshold (0 to 1)", "share (0 to 1)", "precision from", "F1 from"):
        assert words in chart


def test_models_stand_beside_each_other(tmp_path: Path) -> None:
    one, other = made_analysis(80, seed=1), made_analysis(80, seed=2)
    engine = subject(replace(other, deploy=POINT), tmp_path / "pc", "pc")
    text = section(page_of(subject(one, tmp_path / "checkpoint"), engine), "threshold")
    assert "Threshold of each model" in text
    assert '<td data-label="Threshold to deploy">0.6125</td>' in text


@pytest.mark.parametrize(
    ("threshold", "text"),
    [(0.5, "0.50"), (0.6125, "0.6125"), (0.12345678, "0.1234568"), (1.0, "1.00"), (None, "–")],
)
def test_a_threshold_keeps_its_digits(threshold: float | None, text: str) -> None:
    assert exact(threshold) == text
