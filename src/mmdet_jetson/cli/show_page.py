"""``invoke show --page``: what `showing` has found out of a release, as a page."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from functools import partial

from mmdet_jetson.bundles.contents import EVALUATION, REPORT, Contents, PartName
from mmdet_jetson.bundles.overview import Facts, mapping, number
from mmdet_jetson.cli.history import read_history, verdict_in
from mmdet_jetson.cli.part_lines import lines, printable, size_of
from mmdet_jetson.config.settings import Settings
from mmdet_jetson.errors import UserError
from mmdet_jetson.promotion.bundle_page import BundlePage, PartView, render_bundle, stays_of
from mmdet_jetson.promotion.channel_file import channel_names
from mmdet_jetson.promotion.history import History, short
from mmdet_jetson.promotion.release_figures import measured_of


def page_of(
    contents: Contents,
    seen: Mapping[PartName, Facts],
    told: Facts,
    settings: Settings,
) -> str:
    """The page of what was asked for; ``told`` is what ``--json`` says of it."""
    now = datetime.now(timezone.utc)
    histories, unread = _histories(settings) if contents.bundle else ([], [])
    digest = contents.bundle.digest if contents.bundle else ""
    measured, unknown = measured_of(contents)
    subjects, classes = _classes(seen)
    report = seen.get(PartName(REPORT))
    size = number(told["size"])
    page = BundlePage(
        name=contents.name,
        what=str(told["what"]),
        digest=digest,
        names=[each for each in _texts(told["names"]) if each != contents.name],
        targets=contents.targets,
        size=size_of(int(size or 0)),
        created=str(told["created"]),
        verdict=str(mapping(report["found"]).get("verdict")) if report else "",
        contradictions=[str(each["sentence"]) for each in _objects(told["contradictions"])],
        missing=[
            (f"{each['kind']} {each['subject']}".strip(), str(each["command"]))
            for each in _objects(told["missing"])
        ],
        parts=[_part(part, facts) for part, facts in seen.items()],
        measured=measured,
        unknown=unknown,
        class_subjects=subjects,
        classes=classes,
        stays=stays_of(histories, digest, partial(verdict_in, contents.store), now),
        unread=unread,
    )
    return render_bundle(page, now, printable)


def _histories(settings: Settings) -> tuple[list[History], list[str]]:
    """Every channel that can be read, and why the others cannot."""
    found, unread = [], []
    for name in channel_names(settings):
        try:
            found.append(read_history(settings, name))
        except UserError as error:
            unread.append(error.message)
    return found, unread


def _part(part: PartName, facts: Facts) -> PartView:
    return PartView(
        str(part),
        short(str(facts["digest"])),
        size_of(int(number(facts["size"]) or 0)),
        str(facts["created"]),
        str(facts["evidence"]),
        list(lines(part.kind, mapping(facts["found"]))),
    )


def _classes(
    seen: Mapping[PartName, Facts],
) -> tuple[list[str], list[tuple[str, list[float | None]]]]:
    """AP by class of everything that was evaluated, where there are classes to tell apart."""
    by_subject = {
        part.subject: mapping(mapping(facts["found"]).get("per_class"))
        for part, facts in seen.items()
        if part.kind == EVALUATION
    }
    names = dict.fromkeys(name for figures in by_subject.values() for name in figures)
    if len(names) < 2:
        return [], []
    rows = [(name, [number(each.get(name)) for each in by_subject.values()]) for name in names]
    return list(by_subject), rows


def _texts(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, Sequence) else []


def _objects(value: object) -> Iterator[Mapping[str, object]]:
    return map(mapping, value) if isinstance(value, list) else iter(())
