"""What a check found, as lines, as Markdown and as JUnit, whatever stands in it."""

from xml.etree import ElementTree as Xml

import msgspec
import pytest
from small_chains import WHO, following

from mmdet_jetson.cli import check_reports
from mmdet_jetson.contract.report import FAIL, INCONCLUSIVE, PASS
from mmdet_jetson.promotion.checking import CheckedChannel, CheckedRecord, Finding
from mmdet_jetson.promotion.records import ROLLBACK, Override
from mmdet_jetson.promotion.verdicts import Judged, Verdict

LATENCY = Judged(
    gate="latency", subject="orin-jp62", outcome=FAIL, sentence="p99 is over its budget.",
    measured=31.25, low=30.5, limit=25, unit="ms",
)  # fmt: skip
SIZE = Judged(gate="size", outcome=PASS, sentence="It is small.")
FEW = Judged(gate="accuracy", outcome=INCONCLUSIVE, sentence="13 pictures are too few.")


def verdict(*gates: Judged) -> Verdict:
    return Verdict(
        bundle="", channel="staging", policy={}, policy_digest="", incumbent="", validation="",
        judged_before=39, gates=gates,
    )  # fmt: skip


def checked(*gates: Judged, findings: tuple[Finding, ...] = (), **changes: object) -> CheckedRecord:
    plain = following([], "v1.2", judged=40, run="https://ci.example.com/7")
    record = msgspec.structs.replace(plain, **changes)
    return CheckedRecord(record, verdict(*gates), findings, ("no longer supported: L4T 32",))


def channel(*added: CheckedRecord, findings: tuple[Finding, ...] = ()) -> list[CheckedChannel]:
    return [CheckedChannel("staging", "origin/main", findings, added)]


def override(gate: Judged) -> Override:
    return Override(gate=gate.name, outcome=gate.outcome, who=WHO, because="a customer waits")


def parsed(found: list[CheckedChannel]) -> Xml.Element:
    return Xml.fromstring(check_reports.junit(found))


def test_a_terminal_shows_every_gate_and_who() -> None:
    lines = list(check_reports.text(channel(checked(SIZE, LATENCY))))

    assert lines[0] == "staging: 1 new record since origin/main: fail"
    assert lines[1].startswith("  record 1, promote of v1.2 (")
    assert lines[2:4] == [
        "    pass          size: It is small.",
        "    fail          latency:orin-jp62: p99 is over its budget.",
    ]
    said = [line.strip() for line in lines[4:]]
    assert said == [
        f"by {WHO}, https://ci.example.com/7",
        "reason: v1.2 is better",
        "its validation pictures have judged 40 bundles, this one included",
        "no longer supported: L4T 32",
    ]


def test_a_summary_has_a_row_for_each_gate() -> None:
    rows = check_reports.markdown(channel(checked(SIZE, LATENCY))).splitlines()

    assert rows[0] == "## Promotion: fail"
    assert "| gate | | measured | limit | |" in rows
    assert (
        r"| latency:orin-jp62 | **fail** | 31.25 ms (30.5 to ?) | 25 ms | p99 is over its budget. |"
        in rows
    )
    assert "| size | pass |  |  | It is small. |" in rows
    assert any("have judged 40 bundles" in row for row in rows)
    (first, second) = (row for row in rows if row.startswith(("| size", "| latency")))
    assert first.startswith("| latency")
    assert second.startswith("| size")


def test_junit_has_a_case_for_each_gate() -> None:
    root = parsed(channel(checked(SIZE, LATENCY, FEW)))

    whole, record = root.findall("testsuite")
    assert (whole.get("name"), whole.get("tests"), whole.get("failures")) == ("staging", "1", "0")
    assert (record.get("tests"), record.get("failures")) == ("3", "2")
    failed = {
        case.get("name"): failure.get("type")
        for case in record for failure in case.findall("failure")
    }  # fmt: skip
    assert failed == {"latency:orin-jp62": FAIL, "accuracy": INCONCLUSIVE}
    assert record[0].findtext("system-out") == "It is small."
    assert {case.get("classname") for case in record} == {"staging.record 1"}


def test_what_is_overridden_is_said_everywhere_and_fails_nowhere() -> None:
    found = channel(checked(SIZE, LATENCY, overrides=(override(LATENCY),)))

    assert check_reports.outcome_of(found) == PASS
    lines = list(check_reports.text(found))
    assert lines[0] == "staging: 1 new record since origin/main: fail, 1 gate was overridden"
    assert lines[1].endswith("): fail, 1 gate was overridden")
    assert "    overridden    latency:orin-jp62: p99 is over its budget." in list(
        check_reports.text(found)
    )
    said = check_reports.markdown(found)
    assert "| **overridden** |" in said
    assert "## Promotion: fail, 1 gate was overridden\n" in said
    assert "): fail, 1 gate was overridden\n" in said
    assert "overridden by Ada" in said
    assert "a customer waits" in said
    (_, record) = parsed(found)
    assert record.get("failures") == "0"
    case = next(each for each in record if each.get("name") == LATENCY.name)
    assert "fail, overridden by Ada" in str(case.findtext("system-out"))


def test_what_fails_beside_an_override_is_headed_as_a_failure() -> None:
    covered = (override(LATENCY), override(FEW))
    lines = list(check_reports.text(channel(checked(LATENCY, FEW, overrides=covered))))
    assert lines[0].endswith(": fail, 2 gates were overridden")
    found = channel(checked(LATENCY, FEW, overrides=covered[1:]))
    assert next(iter(check_reports.text(found))).endswith(": fail")
    found = channel(checked(SIZE, FEW, overrides=covered[1:]))
    assert next(iter(check_reports.text(found))).endswith(": inconclusive, 1 gate was overridden")


@pytest.mark.parametrize("outcome", [FAIL, INCONCLUSIVE])
def test_what_is_wrong_besides_gates_fails_a_case(outcome: str) -> None:
    finding = Finding(outcome, "The verdict is of another bundle.")

    for found in (channel(findings=(finding,)), channel(checked(SIZE, findings=(finding,)))):
        assert check_reports.outcome_of(found) == outcome
        assert "of another bundle" in "".join(check_reports.text(found))
        assert f"**{outcome}**" in check_reports.markdown(found)
        failures = parsed(found).findall(".//failure")
        assert [each.get("type") for each in failures] == [outcome]


def test_a_rollback_is_a_case_that_passes() -> None:
    record = CheckedRecord(following([], "v1", action=ROLLBACK), notes=("it restores record 3",))
    found = channel(record)

    assert check_reports.outcome_of(found) == PASS
    assert [suite.get("tests") for suite in parsed(found)] == ["1", "1"]
    assert "it restores record 3" in check_reports.markdown(found)


def test_nothing_new_passes() -> None:
    assert list(check_reports.text(channel())) == ["staging: nothing new since origin/main: pass"]
    assert check_reports.outcome_of([]) == PASS
    assert parsed([]).tag == "testsuites"


NASTY = "a|b\n</td><img src=x>`![x](http://e)` \x1b[31m\x00\ufffe\u202e]]>&"


def test_nothing_that_stands_in_a_record_is_more_than_text() -> None:
    gate = msgspec.structs.replace(LATENCY, gate=NASTY, sentence=NASTY)
    nasty = override(msgspec.structs.replace(gate, gate="x"))
    names = {"name": NASTY, "reason": NASTY, "who": NASTY, "overrides": (nasty,)}
    found = channel(checked(gate, findings=(Finding(FAIL, NASTY),), **names))

    lines = list(check_reports.text(found))
    assert not any(each in "".join(lines) for each in ("\n", "\x1b", "\x00", "\u202e"))
    said = check_reports.markdown(found)
    assert "<img" not in said.replace(r"\<img", "")
    assert "![x]" not in said
    tables = [line for line in said.splitlines() if line.startswith("|")]
    assert {line.replace(r"\|", "").count("|") for line in tables} == {6}
    assert parsed(found).findall(".//failure")
