"""Errors by type with what to do about each, and which classes are confused."""

from dataclasses import replace
from pathlib import Path

from made_analyses import made_analysis, without_threshold
from made_pages import analysed, page_of, section, subject

from mmdet_jetson.contract.analysis import ERROR_TYPES
from mmdet_jetson.stages.reporting.errors_section import (
    MEANINGS,
    MOST_CELLS_A_SIDE,
    MOST_PAIRS,
    errors_section,
)

CONFUSION = ((8, 3, 1), (0, 5, 2), (4, 0, 0))


def test_every_type_says_what_it_is_and_what_to_do(tmp_path: Path) -> None:
    text = section(page_of(subject(made_analysis(), tmp_path)), "errors")
    assert set(MEANINGS) == set(ERROR_TYPES)
    for meaning, _ in MEANINGS.values():
        assert meaning in text


def test_the_answer_is_the_type_that_costs_most(tmp_path: Path) -> None:
    made = made_analysis()
    text = section(page_of(subject(made, tmp_path)), "errors")
    assert "errors of type <b>missed</b>: without them it would be 0.900 instead of 0.810." in text
    assert made.errors
    none = replace(made.errors, ap50_lost=dict.fromkeys(ERROR_TYPES, 0.0))
    text = section(page_of(subject(replace(made, errors=none), tmp_path / "none")), "errors")
    assert "The checkpoint loses no AP50 to any type of error." in text


def test_without_a_split_there_is_a_sentence(tmp_path: Path) -> None:
    text = section(page_of(subject(without_threshold(made_analysis()), tmp_path)), "errors")
    assert "Errors were not split by type" in text


def test_the_matrix_counts_and_shares(tmp_path: Path) -> None:
    made = replace(made_analysis(), confusion=CONFUSION)
    found = errors_section(analysed(made))
    assert [name for name, _ in found.rows] == ["mug", "ball", "background"]
    assert found.names == ("mug", "ball", "not found")
    cell = found.rows[0][1][1]
    assert (cell.count, cell.share, cell.right) == (3, 0.25, False)
    text = section(page_of(subject(made, tmp_path)), "errors")
    assert '<td class="right" style="--share: 0.67">8 <small>67%</small></td>' in text
    assert '<td class="wrong" style="--share: 0.29">2 <small>29%</small></td>' in text
    assert text.count('<td class="soft">–</td>') == 1


def test_pairs_are_those_off_the_diagonal() -> None:
    found = errors_section(analysed(replace(made_analysis(), confusion=CONFUSION)))
    told = [(each.truth, each.detected, each.count) for each in found.pairs]
    assert told == [
        ("background", "mug", 4), ("mug", "ball", 3), ("ball", "not found", 2),
        ("mug", "not found", 1),
    ]  # fmt: skip


def test_many_classes_are_a_list_and_a_picture(tmp_path: Path) -> None:
    names = tuple(f"class {at}" for at in range(MOST_CELLS_A_SIDE + 1))
    made = made_analysis(2000, names)
    found = errors_section(analysed(made))
    assert found.rows == ()
    assert found.grid is not None
    assert len(found.pairs) == MOST_PAIRS
    assert found.more_pairs > 0
    text = section(page_of(subject(made, tmp_path)), "errors")
    assert 'class="confusion"' not in text
    assert "more pairs are rarer" in text


def test_the_picture_of_eighty_classes_is_light() -> None:
    names = tuple(f"class {at}" for at in range(80))
    grid = errors_section(analysed(made_analysis(5000, names))).grid
    assert grid is not None
    assert len(grid) < 200_000
