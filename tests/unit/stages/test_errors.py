"""What a library's error says inside of a sentence."""

import pytest

from mmdet_jetson.stages.errors import reason_of


def wrapped(error: Exception, *parts: str) -> Exception:
    """An error as MMEngine passes it on: once for each part that a config builds, inside out."""
    for part in parts:
        outer = type(error)(f"class `{part}` in mmdet/{part.lower()}.py: {error}")
        # What Python notes where one is raised while another is handled.
        outer.__context__ = error
        error = outer
    return error


def test_of_nested_parts_the_innermost_is_told() -> None:
    parts = ("Albu", "CocoDataset", "MultiImageMixDataset", "EpochBasedTrainLoop")
    error = wrapped(RuntimeError("albumentations is not installed"), *parts)
    assert str(error).startswith("class `EpochBasedTrainLoop`")
    assert reason_of(error) == "RuntimeError: Albu: albumentations is not installed"


def test_a_missing_class_is_told_without_the_marks_of_each_level() -> None:
    error = wrapped(KeyError("NoNet is not in the registry. Please check more"), "RTMDet", "Runner")
    assert reason_of(error) == "KeyError: RTMDet: NoNet is not in the registry"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError(""), "ValueError: (no message)"),
        (KeyError("name"), "KeyError: name"),
        (KeyError(), "KeyError: (no message)"),
        (RuntimeError("first line\nsecond line"), "RuntimeError: first line"),
        (RuntimeError("class `X` in x.py: alone"), "RuntimeError: class `X` in x.py: alone"),
    ],
)
def test_other_errors_keep_their_first_line(error: Exception, reason: str) -> None:
    assert reason_of(error).startswith(reason)


def test_a_long_text_is_cut_at_a_word() -> None:
    assert reason_of(RuntimeError("word " * 200)).endswith("word ...")
