"""``invoke promote``: a bundle is judged for a channel, and let in where it passes."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial

import msgspec
from rich.console import Console

from mmdet_jetson.bundles.contents import Contents, contents_of
from mmdet_jetson.cli import check_reports, promote_check
from mmdet_jetson.cli.changing import (
    called,
    push_of,
    records_of,
    say,
    say_json,
    tell_next,
    wait_for,
)
from mmdet_jetson.cli.incumbents import measure_incumbent
from mmdet_jetson.cli.part_lines import printable
from mmdet_jetson.cli.request import Request
from mmdet_jetson.cli.upkeep import existing_store
from mmdet_jetson.cli.verbs import session
from mmdet_jetson.cli.wrapping import fitted
from mmdet_jetson.config.pipeline import Project
from mmdet_jetson.config.settings import Settings, read_settings
from mmdet_jetson.config.toml import nearest
from mmdet_jetson.errors import ConfigError, GateFailed, NotProven, UserError
from mmdet_jetson.promotion import promoting
from mmdet_jetson.promotion.channel_file import channel_path
from mmdet_jetson.promotion.channel_tags import told
from mmdet_jetson.promotion.checking import CheckedChannel, CheckedRecord
from mmdet_jetson.promotion.evidence import Incumbent, case_of
from mmdet_jetson.promotion.identity import Identity, identity
from mmdet_jetson.promotion.incumbents import incumbent_of
from mmdet_jetson.promotion.judging import judge
from mmdet_jetson.promotion.keeping import judged_before
from mmdet_jetson.promotion.overriding import check_reason, overrides_of
from mmdet_jetson.promotion.policy import POLICY_FILE, Policy, channels_in, load_policy
from mmdet_jetson.promotion.promoting import Proposal, refuse_held
from mmdet_jetson.promotion.records import PROMOTE, Record, is_held
from mmdet_jetson.promotion.standing import standing_of
from mmdet_jetson.promotion.verifying import shelf_of
from mmdet_jetson.store import Artifact, Store


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What somebody wants of a promotion: which bundle, where to, and what else was typed."""

    bundle: str
    to: str
    reason: str = ""
    overrides: Sequence[str] = ()
    because: str = ""
    release: bool = False


def promote(request: Request, wish: Wish, *, as_json: bool = False) -> None:
    """Judge a bundle by the policy of a channel, and let it in where it passes.

    Raises:
        GateFailed, NotProven: it does not pass; its verdict is kept, and nothing else has changed.
        UserError: the channel is held, is no chain, or has moved on meanwhile.
    """
    check_reason(wish.overrides, wish.because)
    settings, store = read_settings(), existing_store()
    project = promote_check.project_of(request, settings)
    policy = _policy(project, settings, wish.to)
    who = identity(os.environ, settings.root)
    contents = _bundle(store, wish.bundle)
    records = records_of(settings, store, wish.to)
    if _is_there(contents, records):
        _tell_there(wish, records, store, as_json=as_json)
        return
    refuse_held(wish.to, records, release=wish.release)
    incumbent, measured = _incumbent(request, policy, contents, records)
    proposal = _proposed(
        wish, policy, contents, records, incumbent=incumbent, who=who, project=project
    )
    try:
        made = promoting.promote(
            settings, store, replace(proposal, measured=measured), partial(wait_for, wish.to)
        )
    except (GateFailed, NotProven):
        _tell(proposal, None, as_json=as_json)
        raise
    _tell(proposal, made, as_json=as_json)
    if not as_json:
        message = f"Promote {called(made)} to {wish.to}"
        tell_next(channel_path(settings, wish.to), push_of(wish.to, project), message)


def check_bundle(
    request: Request, wish: Wish, *, junit: str = "", summary: str = "", as_json: bool = False
) -> None:
    """Judge a bundle as `promote` would, by what was measured before; nothing changes.

    Raises:
        GateFailed, NotProven: it does not pass.
        UserError: as `promote`.
    """
    check_reason(wish.overrides, wish.because)
    settings, store = read_settings(), existing_store()
    project = promote_check.project_of(request, settings)
    policy, contents = _policy(project, settings, wish.to), _bundle(store, wish.bundle)
    records = records_of(settings, store, wish.to)
    is_there = _is_there(contents, records)
    if not is_there:
        refuse_held(wish.to, records, release=wish.release)
    incumbent = incumbent_of(store, contents, records, None)
    who = identity(os.environ, settings.root) if wish.overrides else Identity("")
    proposal = _proposed(
        wish, policy, contents, records, incumbent=incumbent, who=who, project=project
    )
    notes = [f"{_there(wish, records)}; promoting it changes nothing"] if is_there else []
    checked = _checked(proposal, None, notes)
    promote_check.tell([checked], junit=junit, summary=summary, as_json=as_json)


def _policy(project: Project, settings: Settings, channel: str) -> Policy:
    path = project.folder / POLICY_FILE
    if not channel:
        raise ConfigError("--to: which channel?", nearest(channel, channels_in(path)))
    channel_path(settings, channel)  # refuses what is no name
    return load_policy(path, channel)


def _bundle(store: Store, name: str) -> Contents:
    contents = contents_of(store, name)
    if contents.bundle is None:
        raise UserError(
            f"{name} is no bundle, and only bundles are promoted",
            "invoke bundle makes one of a run, and says what it is called",
        )
    return contents


def _incumbent(
    request: Request, policy: Policy, contents: Contents, records: Sequence[Record]
) -> tuple[Incumbent | None, Artifact | None]:
    """What is in the channel; measured on the candidate's pictures where the policy compares."""
    if not (policy.incumbent and records):
        return incumbent_of(contents.store, contents, records, None), None
    with session(request) as now:
        return measure_incumbent(now, contents, records)


def _proposed(
    wish: Wish,
    policy: Policy,
    contents: Contents,
    records: Sequence[Record],
    *,
    incumbent: Incumbent | None,
    who: Identity,
    project: Project,
) -> Proposal:
    now, store = datetime.now(timezone.utc), contents.store
    case = case_of(store, contents, policy, wish.to, incumbent, now, project)
    digest = contents.bundle.digest if contents.bundle else ""
    verdict = judge(case, 0)
    count = judged_before(store, records, verdict.validation, digest)
    verdict = msgspec.structs.replace(verdict, judged_before=count)
    return Proposal(
        contents=contents,
        channel=wish.to,
        policy=policy,
        verdict=verdict,
        seen=records,
        identity=who,
        reason=wish.reason,
        overrides=overrides_of(verdict, policy, wish.overrides, who.who, wish.because),
        release=wish.release,
    )


def _checked(proposal: Proposal, made: Record | None, notes: Sequence[str] = ()) -> CheckedChannel:
    record = made or Record(
        sequence=len(proposal.seen) + 1,
        action=PROMOTE,
        bundle=proposal.bundle.digest,
        name=proposal.contents.name,
        judged=proposal.verdict.judged_before + 1,
        overrides=proposal.overrides,
        who=proposal.identity.who,
        reason=proposal.reason,
        at="",
    )
    checked = CheckedRecord(record, proposal.verdict, notes=(*proposal.verdict.named, *notes))
    return CheckedChannel(proposal.channel, "", (), (checked,))


def _tell(proposal: Proposal, made: Record | None, *, as_json: bool) -> None:
    """Show all gates, and whether the bundle is in the channel now."""
    if as_json:
        verdict = proposal.verdict
        say_json(
            {
                "channel": proposal.channel,
                "promoted": made is not None,
                "outcome": verdict.outcome,
                "record": msgspec.to_builtins(made),
                "verdict": msgspec.to_builtins(verdict),
            }
        )
        return
    _, *lines = check_reports.text([_checked(proposal, made)])
    lines += [printable(f"{proposal.channel} is {called(made)} now: {told(made)}")] if made else []
    Console(emoji=False).out(fitted(lines), highlight=False)


def _is_there(contents: Contents, records: Sequence[Record]) -> bool:
    """Whether a bundle is what the channel has now."""
    bundle = contents.bundle
    return bool(records and bundle and records[-1].bundle == bundle.digest)


def _there(wish: Wish, records: Sequence[Record]) -> str:
    return f"{wish.bundle} is in {wish.to} already: {told(records[-1])}"


def _tell_there(wish: Wish, records: Sequence[Record], store: Store, *, as_json: bool) -> None:
    """Say so; its outcome is that of the verdict that let it in, None where that is not here."""
    last = records[-1]
    if as_json:
        say_json(
            {
                "channel": wish.to,
                "promoted": False,
                "outcome": standing_of(wish.to, records, shelf_of(store)).outcome or None,
                "record": msgspec.to_builtins(last),
                "verdict": None,
            }
        )
        return
    say(printable(f"{_there(wish, records)}; nothing was changed"))
    if is_held(records):
        say(f'  it is held until: invoke rollback {wish.to} --release --reason "..."')
