"""``invoke promote --check``: what a change to channel files adds, judged anew; nothing changes."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import msgspec
from rich.console import Console

from mmdet_jetson.cli import check_reports
from mmdet_jetson.cli.part_lines import printable
from mmdet_jetson.cli.request import Request, config_file
from mmdet_jetson.cli.sharing import options_of, registry_of
from mmdet_jetson.cli.transfer import Bars
from mmdet_jetson.config.pipeline import Project, load_project
from mmdet_jetson.config.settings import Settings, read_settings
from mmdet_jetson.config.toml import nearest
from mmdet_jetson.contract.report import FAIL, PASS
from mmdet_jetson.errors import ConfigError, GateFailed, NotProven, UserError
from mmdet_jetson.promotion.channel_file import (
    chain_flaws,
    channel_names,
    channel_path,
    read_channel,
)
from mmdet_jetson.promotion.checking import (
    Check,
    CheckedChannel,
    Finding,
    added_to,
    check_channel,
)
from mmdet_jetson.promotion.earlier import differs, earlier
from mmdet_jetson.promotion.policy import POLICY_FILE, load_policy
from mmdet_jetson.promotion.records import PROMOTE, Record
from mmdet_jetson.registry.places import open_place
from mmdet_jetson.registry.pull import pull
from mmdet_jetson.store import Store

_say = partial(Console(emoji=False).print, highlight=False, markup=False, soft_wrap=True)
_warn = partial(
    Console(stderr=True, emoji=False).print, highlight=False, markup=False, soft_wrap=True
)


def refuse_unchecked(**options: str) -> None:
    """Refuse what a promotion would not heed, as nobody would miss a file that was not written.

    Args:
        options: what was typed of the options that are for ``--check``, by name.

    Raises:
        ConfigError: some were.
    """
    if typed := [f"--{name}" for name, value in options.items() if value]:
        verb = "is" if len(typed) == 1 else "are"
        raise ConfigError(f"{' and '.join(typed)} {verb} for --check", "add --check, or leave out")


def check_channels(
    request: Request,
    *,
    base: str = "",
    to: str = "",
    junit: str = "",
    summary: str = "",
    as_json: bool = False,
) -> None:
    """Compare channel files with what git has at ``base``, and judge what was added to them.

    All that have a file now or had one then, or ``to`` alone. Bundles and verdicts that are not in
    the store are fetched from the registry of the configuration, if there is one.

    Raises:
        GateFailed: something added fails, or a chain does not hold.
        NotProven: something added cannot be judged, or not enough.
        UserError: there is nothing to compare.
    """
    settings = read_settings()
    project = project_of(request, settings)
    store, before = Store(settings.artifacts), earlier(settings, base)
    known = sorted({*channel_names(settings), *before.channels})
    if to and to not in known:
        raise UserError(f"there is no channel {to!r}", nearest(to, known))
    now = datetime.now(timezone.utc)
    found, path = [], project.folder / POLICY_FILE
    other_policy = differs(path, before.called)
    for name in [to] if to else known:
        policy = partial(load_policy, path, name)
        check = Check(name, before.called, policy, now, project, other_policy)
        then = before.channels.get(name, ())
        found.append(_checked(settings, project, store, then, check))
    tell(found, junit=junit, summary=summary, as_json=as_json)


def project_of(request: Request, settings: Settings) -> Project:
    """The project of a command, with the options that its remedies carry.

    Raises:
        ConfigError: its configuration is wrong.
    """
    project = load_project(config_file(request.config, settings.root), request.overrides)
    return msgspec.structs.replace(project, typed=request.typed)


def _checked(
    settings: Settings, project: Project, store: Store, before: Sequence[Record], check: Check
) -> CheckedChannel:
    try:
        records = read_channel(channel_path(settings, check.channel))
    except UserError as error:
        hint = f" ({error.hint})" if error.hint else ""
        finding = Finding(FAIL, f"{error.message}{hint}.")
        return CheckedChannel(check.channel, check.base, (finding,))
    if not chain_flaws(records, before):
        _bring(settings, project, store, records, added_to(records, before))
    return check_channel(store, records, before, check)


def _bring(
    settings: Settings,
    project: Project,
    store: Store,
    records: Sequence[Record],
    added: Sequence[Record],
) -> None:
    """Fetch what added records need and the store lacks; what cannot be had is a warning."""
    wanted: list[str] = []
    for each in (each for each in added if each.action == PROMOTE):
        there = [other.bundle for other in records if other.sequence == each.sequence - 1]
        wanted += [bundle for bundle in (each.bundle, *there) if not store.bundle(bundle)]
        wanted += [each.verdict] if each.verdict and not store.find(each.verdict) else []
    where = registry_of(project) if wanted and not settings.offline else None
    if where is None:
        return
    for digest in dict.fromkeys(wanted):
        if store.bundle(digest) or store.find(digest):  # as what came along with a bundle
            continue
        try:
            options = options_of(project, settings)
            with open_place(where, settings, writing=False, options=options) as place, Bars() as it:
                pull(place, [digest], store, evidence=True, watch=it)
        except UserError as error:
            _warn(printable(f"warning: {error.message}"))


def tell(
    found: Sequence[CheckedChannel], *, junit: str = "", summary: str = "", as_json: bool = False
) -> None:
    """Print what was found, write it where it was asked for, and fail where it does not pass.

    Raises:
        GateFailed, NotProven: it does not.
        UserError: a file cannot be written.
    """
    for option, path, content in (
        ("junit", junit, check_reports.junit(found)),
        ("summary", summary, check_reports.markdown(found).encode()),
    ):
        if path:
            _write(option, Path(path), content)
    if as_json:
        Console(emoji=False).out(json.dumps(_document(found), indent=1), highlight=False)
    else:
        for line in check_reports.text(found) if found else ["there is no channel yet"]:
            _say(line)
    outcome = check_reports.outcome_of(found)
    if outcome != PASS:
        raise (GateFailed if outcome == FAIL else NotProven)(*_answer(found, outcome))


def _write(option: str, path: Path, content: bytes) -> None:
    """Write a file where it was asked for: a job's summary may be any kind of file."""
    try:
        path.write_bytes(content)
    except OSError as error:
        message = f"--{option} {path} cannot be written: {error.strerror}"
        raise UserError(message, "name a file in a folder that is there") from error


def _answer(found: Sequence[CheckedChannel], outcome: str) -> tuple[str, str]:
    """The first reason why it does not pass, and what to do."""
    for channel in found:
        sentences = [each.sentence for each in channel.findings if each.outcome == outcome]
        for each in channel.added:
            sentences += [it.sentence for it in each.findings if it.outcome == outcome]
            gates = each.verdict.gates if each.verdict else ()
            sentences += [
                check_reports.gate_line(gate)
                for gate in gates
                if gate.outcome == outcome and not each.is_overridden(gate)
            ]
        if sentences:
            said = printable(sentences[0]).rstrip(".")
            return f"{channel.channel}: {outcome}: {said}", "the lines above have all of it"
    return outcome, ""


def _document(found: Sequence[CheckedChannel]) -> Mapping[str, object]:
    """Everything, for programs."""
    channels = [
        {
            "channel": channel.channel,
            "base": channel.base,
            "outcome": channel.outcome,
            "findings": msgspec.to_builtins(channel.findings),
            "added": [
                {
                    "outcome": each.outcome,
                    "judged": each.verdict.outcome if each.verdict else None,
                    "overridden": [gate.name for gate in each.covered],
                    "record": msgspec.to_builtins(each.record),
                    "verdict": msgspec.to_builtins(each.verdict),
                    "findings": msgspec.to_builtins(each.findings),
                    "notes": list(each.notes),
                }
                for each in channel.added
            ],
        }
        for channel in found
    ]
    return {"outcome": check_reports.outcome_of(found), "channels": channels}
