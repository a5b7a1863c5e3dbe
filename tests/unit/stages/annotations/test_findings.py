import pytest

from mmdet_jetson.stages.annotations.findings import Defect, Findings, LeftOut
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


def raised(*defects: tuple[str, str, str]) -> StageError:
    findings = Findings()
    for defect in defects:
        findings.defect(*defect)
    with pytest.raises(StageError) as caught:
        findings.raise_defects()
    return caught.value


def test_defects_of_one_kind_are_one_sentence_with_their_number() -> None:
    error = raised(*((f"{n}.jpg", "the picture is missing", "put it there") for n in range(300)))
    assert "\n" not in error.message
    names = "; ".join(f"{n}.jpg" for n in range(10))
    assert error.message == f"300 times: the picture is missing: {names}; and 290 more"
    assert error.hint == "put it there"


def test_those_that_differ_in_numbers_or_names_are_one_kind_and_keep_both() -> None:
    error = raised(
        ("a", 'the class "x" is 1.5', 'rename "x"'), ("b", 'the class "yz" is -2', 'rename "yz"')
    )
    assert error.message == '2 of a kind: a: the class "x" is 1.5; b: the class "yz" is -2'
    assert error.hint == 'rename "x"'


def test_a_name_behind_many_of_another_is_still_told() -> None:
    many = [(f"{n}.jpg", 'unknown class "cup"', "add it") for n in range(300)]
    error = raised(*many, ("z.jpg", 'unknown class "glass"', "add it"))
    assert error.message == (
        '301 of a kind: 0.jpg: unknown class "cup" (300 times); z.jpg: unknown class "glass"'
    )


def test_what_is_left_out_is_a_warning() -> None:
    findings = Findings()
    for number in range(5):
        with findings.at(f"region {number}"):
            raise LeftOut("it has no area", "draw it again")
    findings.raise_defects()
    assert findings.warnings() == [
        "left out, as it has no area, 5 times: region 0; region 1; region 2; and 2 more"
    ]


def test_tally_counts_by_name() -> None:
    findings = Findings()
    for name in ("cup", "glass", "cup"):
        findings.tally("left out", name, f"the {name}")
    assert findings.warnings() == ["left out: 3 in all (cup 2, glass 1), such as the cup"]


def test_several_kinds_are_a_line_each() -> None:
    missing = [(f"{n}.jpg", "is missing", "add it") for n in range(9)]
    error = raised(("z", "is empty", "fill it"), *missing, ("y", "is empty", "fill it"))
    assert error.message.split("\n") == [
        "the dataset has 11 defects",
        "  - 2 times: is empty: z; y (fill it)",
        "  - 9 times: is missing: 0.jpg; 1.jpg; 2.jpg; 3.jpg; 4.jpg; and 4 more (add it)",
    ]
    assert error.hint


def test_twenty_kinds_are_shown_and_the_others_counted() -> None:
    error = raised(*((f"file {n}", f"is {chr(97 + n)}", "mend it") for n in range(22)))
    first, *lines = error.message.split("\n")
    assert first == "the dataset has 22 defects"
    assert lines[0] == "  - file 0: is a (mend it)"
    assert lines[20:] == ["  - and defects of 2 more kinds: is u; is v"]


def test_another_exception_is_a_bug_and_goes_through() -> None:
    with pytest.raises(KeyError), Findings().at("file"):
        raise KeyError("bug")


def test_warnings_of_one_topic_are_one_sentence() -> None:
    findings = Findings()
    for number in range(5):
        findings.warn("was cut off", f"region {number}")
    findings.warn("was repaired", "region 9")
    assert findings.warnings() == [
        "was cut off, 5 times: region 0; region 1; region 2; and 2 more",
        "was repaired: region 9",
    ]
