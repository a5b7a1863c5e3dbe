import pytest

from mmdet_jetson.stages.annotations.findings import Defect, Findings
from mmdet_jetson.stages.errors import StageError


def with_defects(count: int) -> Findings:
    findings = Findings()
    for number in range(count):
        with findings.at(f"file {number}"):
            raise Defect("is wrong", "mend it")
    return findings


def test_no_defect_raises_nothing() -> None:
    with_defects(0).raise_defects()


def test_one_defect_is_one_sentence_and_its_hint() -> None:
    with pytest.raises(StageError) as caught:
        with_defects(1).raise_defects()
    assert (caught.value.message, caught.value.hint) == ("file 0: is wrong", "mend it")


def test_many_defects_are_counted_and_twenty_are_shown() -> None:
    with pytest.raises(StageError) as caught:
        with_defects(22).raise_defects()
    first, *lines = caught.value.message.split("\n")
    assert first == "the dataset has 22 defects"
    assert lines[0] == "  - file 0: is wrong (mend it)"
    assert lines[20:] == ["  - and 2 more"]
    assert caught.value.hint


def test_another_exception_is_a_bug_and_goes_through() -> None:
    with pytest.raises(KeyError), Findings().at("file"):
        raise KeyError("bug")


def test_warnings_of_one_topic_are_one_sentence() -> None:
    findings = Findings()
    for number in range(5):
        findings.warn("was cut off", f"region {number}")
    findings.warn("was repaired", "region 9")
    assert findings.warnings() == [
        "was cut off: region 0; region 1; region 2; and 2 more",
        "was repaired: region 9",
    ]
