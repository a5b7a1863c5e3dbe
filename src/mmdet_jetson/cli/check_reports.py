"""What ``promote --check`` found: for a terminal, as Markdown for a job's summary, and as JUnit."""

import re
from collections.abc import Iterable, Iterator, Sequence
from xml.etree import ElementTree as Xml

from mmdet_jetson.cli.part_lines import printable
from mmdet_jetson.contract.report import PASS
from mmdet_jetson.promotion.checking import CheckedChannel, CheckedRecord
from mmdet_jetson.promotion.verdicts import Judged, combined

# What Markdown, or the HTML that it may hold, would read as more than text.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~@&$])")
# What XML 1.0 cannot hold, besides what `printable` takes out already.
_NO_XML = re.compile(r"[\ud800-\udfff\ufffe\uffff]")
OVERRIDDEN = "overridden"


def outcome_of(channels: Iterable[CheckedChannel]) -> str:
    """What all channels together amount to; a project without any has nothing that is wrong."""
    outcomes = [each.outcome for each in channels]
    return combined(outcomes) if outcomes else PASS


def headed(outcome: str, records: Sequence[CheckedRecord]) -> str:
    """An outcome of records for a heading: no pass, where gates were overridden for it."""
    covered = [gate for each in records for gate in each.covered]
    if outcome != PASS or not covered:
        return outcome
    count = "1 gate was" if len(covered) == 1 else f"{len(covered)} gates were"
    return f"{combined([each.outcome for each in covered])}, {count} {OVERRIDDEN}"


def text(channels: Sequence[CheckedChannel]) -> Iterator[str]:
    """Lines for a terminal."""
    for channel in channels:
        yield f"{channel.channel}: {_summed_up(channel)}: {headed(channel.outcome, channel.added)}"
        yield from (f"  {each.outcome:<13} {printable(each.sentence)}" for each in channel.findings)
        for each in channel.added:
            yield f"  {_title(each)}: {headed(each.outcome, [each])}"
            yield from (f"    {_word(each, gate):<13} {gate_line(gate)}" for gate in _gates(each))
            yield from (f"    {it.outcome:<13} {printable(it.sentence)}" for it in each.findings)
            yield from (f"    {'':<13} {printable(line)}" for line in _said(each))


def gate_line(gate: Judged) -> str:
    """A gate and what it says, in a line."""
    return printable(f"{gate.name}: {gate.sentence}")


def markdown(channels: Sequence[CheckedChannel]) -> str:
    """A table for each record, for the summary of a job."""
    added = [each for channel in channels for each in channel.added]
    lines = [f"## Promotion: {headed(outcome_of(channels), added)}", ""]
    for channel in channels:
        lines += [f"**{_plain(channel.channel)}**: {_plain(_summed_up(channel))}", ""]
        lines += [f"- **{each.outcome}**: {_plain(each.sentence)}" for each in channel.findings]
        lines += [""] if channel.findings else []
        for each in channel.added:
            lines += [*_record(channel.channel, each), ""]
    return "\n".join(lines)


def _record(channel: str, checked: CheckedRecord) -> Iterator[str]:
    yield f"### {_plain(f'{channel}, {_title(checked)}')}: {headed(checked.outcome, [checked])}"
    yield ""
    rows = [["", each.outcome, "", "", each.sentence] for each in checked.findings]
    first = sorted(_gates(checked), key=lambda gate: gate.outcome == PASS)  # what blocks is on top
    rows += [_row(gate.name, _word(checked, gate), gate) for gate in first]
    if rows:
        yield "| gate | | measured | limit | |"
        yield "|---|---|---|---|---|"
    for name, word, *rest in rows:
        shown = word if word == PASS else f"**{word}**"
        yield f"| {' | '.join([_plain(name), shown, *map(_plain, rest)])} |"
    yield ""
    yield from (f"- {_plain(line)}" for line in _said(checked))


def _row(name: str, word: str, gate: Judged) -> list[str]:
    return [name, word, _measured(gate), _number(gate.limit, gate.unit), gate.sentence]


def _measured(gate: Judged) -> str:
    said = _number(gate.measured, gate.unit)
    if gate.low is None and gate.high is None:
        return said
    low, high = (_number(each, "") or "?" for each in (gate.low, gate.high))
    return f"{said} ({low} to {high})".strip()


def _number(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.4g} {unit}".strip()


def junit(channels: Sequence[CheckedChannel]) -> bytes:
    """A test suite for each channel and each record, with a test case for each gate."""
    root = Xml.Element("testsuites", name="promotion")
    for channel in channels:
        whole = _suite(root, channel.channel)
        _case(whole, "chain", [(each.outcome, each.sentence) for each in channel.findings])
        for each in channel.added:
            suite = _suite(root, f"{channel.channel}, {_title(each)}")
            if each.findings or not _gates(each):
                _case(suite, "record", [(it.outcome, it.sentence) for it in each.findings])
            for gate in _gates(each):
                _judged(suite, each, gate)
    for suite in root:
        suite.set("tests", str(len(suite)))
        suite.set("failures", str(len(suite.findall("testcase/failure"))))
    Xml.indent(root)
    content: bytes = Xml.tostring(root, encoding="utf-8", xml_declaration=True)
    return content + b"\n"


def _suite(root: Xml.Element, name: str) -> Xml.Element:
    return Xml.SubElement(root, "testsuite", name=_xml(name))


def _class_of(suite: Xml.Element) -> str:
    """What groups cases in a list of tests: ``staging.record 17``."""
    return ".".join(suite.get("name", "").split(", ")[:2])


def _judged(suite: Xml.Element, checked: CheckedRecord, gate: Judged) -> None:
    override = checked.overridden.get(gate.name)
    failed = [] if gate.outcome == PASS or override else [(gate.outcome, gate.sentence)]
    case = _case(suite, gate.name, failed)
    if not failed:
        said = gate.sentence
        if override and gate.outcome != PASS:
            said = f"{gate.outcome}, overridden by {override.who}: {override.because}. {said}"
        Xml.SubElement(case, "system-out").text = _xml(said)


def _case(suite: Xml.Element, name: str, failed: Sequence[tuple[str, str]]) -> Xml.Element:
    """A test case, which has failed where there is anything to say of it."""
    case = Xml.SubElement(suite, "testcase", classname=_class_of(suite), name=_xml(name))
    if failed:
        worst = combined([outcome for outcome, _ in failed])
        sentences = " ".join(sentence for _, sentence in failed)
        failure = Xml.SubElement(case, "failure", type=worst, message=_xml(sentences))
        failure.text = _xml("\n".join(f"{outcome}: {sentence}" for outcome, sentence in failed))
    return case


def _gates(checked: CheckedRecord) -> Sequence[Judged]:
    return checked.verdict.gates if checked.verdict else ()


def _word(checked: CheckedRecord, gate: Judged) -> str:
    return OVERRIDDEN if checked.is_overridden(gate) else gate.outcome


def _summed_up(channel: CheckedChannel) -> str:
    count = len(channel.added)
    new = f"{count} new record{'' if count == 1 else 's'}" if count else "nothing new"
    return f"{new} since {channel.base}" if channel.base else new


def _title(checked: CheckedRecord) -> str:
    record = checked.record
    named = f"{record.name} ({record.bundle[7:19]})" if record.name else record.bundle[7:19]
    return printable(f"record {record.sequence}, {record.action} of {named}")


def _said(checked: CheckedRecord) -> Iterator[str]:
    """Who, why, and what else is to be known of a record."""
    record = checked.record
    if record.who:
        yield f"by {record.who}{f', {record.run}' if record.run else ''}"
    if record.reason:
        yield f"reason: {record.reason}"
    for each in record.overrides:
        yield f"{each.gate} ({each.outcome}) overridden by {each.who}: {each.because}"
    if record.judged > 1:
        yield f"its validation pictures have judged {record.judged} bundles, this one included"
    yield from checked.notes


def _plain(said: str) -> str:
    """Text in Markdown, whatever it holds."""
    return _SPECIAL.sub(r"\\\1", printable(said))


def _xml(said: str) -> str:
    """Text that XML can hold."""
    return _NO_XML.sub("?", "\n".join(printable(line) for line in said.split("\n")))
