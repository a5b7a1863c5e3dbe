"""Curves of precision over recall, and AP by size."""

from dataclasses import replace
from pathlib import Path

from made_analyses import made_analysis, without_threshold
from made_pages import analysed, page_of, section, subject

from mmdet_jetson.contract.analysis import SizeBand
from mmdet_jetson.stages.reporting.charts import MOST_SERIES
from mmdet_jetson.stages.reporting.precision_section import (
    MEAN,
    mean_precision,
    precision_section,
    size_name,
)


def test_few_classes_are_all_drawn() -> None:
    found = precision_section(analysed(made_analysis()))
    assert found.drawn == ("mug", "ball")
    assert found.chart is not None
    assert MEAN not in found.chart


def test_of_many_classes_the_hardest_are_drawn_beside_the_mean() -> None:
    names = tuple(f"class {at}" for at in range(80))
    found = precision_section(analysed(made_analysis(40, names)))
    assert len(found.drawn) == MOST_SERIES - 1
    hardest = sorted(found.classes, key=lambda each: each.ap50)[: MOST_SERIES - 1]
    assert list(found.drawn) == [each.name for each in hardest]
    assert found.chart is not None
    assert MEAN in found.chart


def test_the_table_reads_the_curve() -> None:
    made = made_analysis()
    curve = made.precision_recall["mug"]
    mug = precision_section(analysed(made)).classes[0]
    assert mug.ap50 == sum(curve) / 101
    assert mug.at == tuple(curve[at] for at in (50, 70, 80, 90, 95))
    both = (curve[50] + made.precision_recall["ball"][50]) / 2
    assert mean_precision(made)[50] == both


def test_sizes_are_said_as_ranges() -> None:
    bands = [SizeBand(0, 16, 1, 0, 0), SizeBand(16, 32, 1, 0, 0), SizeBand(96, None, 1, 0, 0)]
    assert [size_name(each) for each in bands] == ["under 16 px", "16 to 32 px", "over 96 px"]


def test_a_size_without_objects_is_in_the_table_alone(tmp_path: Path) -> None:
    text = section(page_of(subject(made_analysis(), tmp_path)), "precision-recall")
    assert "over 96 px</th><td>0</td><td>–</td><td>–</td>" in text
    assert "over 96 px (" not in text
    assert "32 to 96 px (40)" in text


def test_without_objects_there_is_a_sentence(tmp_path: Path) -> None:
    made = replace(without_threshold(made_analysis()), precision_recall={})
    text = section(page_of(subject(made, tmp_path)), "precision-recall")
    assert "No class has an object on the validation pictures, so there is no curve." in text
