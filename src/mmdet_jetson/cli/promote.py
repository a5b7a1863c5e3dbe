"""``invoke promote`` and ``invoke rollback``: what changes a channel."""

import json
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import msgspec
from rich.console import Console

from mmdet_jetson.bundles.contents import Contents, contents_of
from mmdet_jetson.cli import check_reports, promote_check
from mmdet_jetson.cli.incumbents import measure_incumbent
from mmdet_jetson.cli.part_lines import printable
from mmdet_jetson.cli.sharing import registry_of
from mmdet_jetson.cli.upkeep import existing_store
from mmdet_jetson.cli.verbs import CONFIG, Request, config_file, session
from mmdet_jetson.cli.wrapping import fitted
from mmdet_jetson.config.pipeline import Project, load_project
from mmdet_jetson.config.settings import Settings, read_settings
from mmdet_jetson.config.toml import nearest
from mmdet_jetson.errors import ConfigError, GateFailed, NotProven, UserError
from mmdet_jetson.promotion import promoting, rolling_back
from mmdet_jetson.promotion.channel_file import channel_names, channel_path, read_channel
from mmdet_jetson.promotion.channel_tags import overtaken, refuse_flawed, told
from mmdet_jetson.promotion.checking import CheckedChannel, CheckedRecord
from mmdet_jetson.promotion.evidence import Incumbent, case_of
from mmdet_jetson.promotion.identity import Identity, identity
from mmdet_jetson.promotion.incumbents import incumbent_of
from mmdet_jetson.promotion.judging import judge
from mmdet_jetson.promotion.keeping import judged_before
from mmdet_jetson.promotion.overriding import check_reason, overrides_of
from mmdet_jetson.promotion.policy import POLICY_FILE, Policy, channels_in, load_policy
from mmdet_jetson.promotion.promoting import Proposal, refuse_held
from mmdet_jetson.promotion.records import PROMOTE, RELEASE, Record, is_held
from mmdet_jetson.registry.names import channel_tag
from mmdet_jetson.store import Artifact, Store

_say = partial(Console(emoji=False).print, highlight=False, markup=False, soft_wrap=True)
_warn = partial(
    Console(stderr=True, emoji=False).print, highlight=False, markup=False, soft_wrap=True
)


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
    records = _records(settings, store, wish.to)
    if _is_there(contents, records):
        _tell_there(wish, records, as_json=as_json)
        return
    refuse_held(wish.to, records, release=wish.release)
    incumbent, measured = _incumbent(request, policy, contents, records)
    proposal = _proposed(
        wish, policy, contents, records, incumbent=incumbent, who=who, project=project
    )
    try:
        made = promoting.promote(
            settings, store, replace(proposal, measured=measured), partial(_wait, wish.to)
        )
    except (GateFailed, NotProven):
        _tell(proposal, None, as_json=as_json)
        raise
    _tell(proposal, made, as_json=as_json)
    if not as_json:
        message = f"Promote {_called(made)} to {wish.to}"
        _next(channel_path(settings, wish.to), _push(wish.to, project), message)


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
    records = _records(settings, store, wish.to)
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


def change_back(
    channel: str, *, to: str = "", release: bool = False, reason: str = "", as_json: bool = False
) -> None:
    """Put back what was in a channel before, or what a record had, and hold it; or end the hold.

    Raises:
        UserError: nothing can be put back, or nothing holds it; says why.
    """
    if release and to:
        raise ConfigError("--release ends a hold, and --to would begin one", "leave one out")
    settings = read_settings()
    path, number = channel_path(settings, channel), _number(to) if to else None
    if not path.exists():
        raise UserError(f"there is no channel {channel!r}", _known(settings, channel))
    store = existing_store()
    who, records = identity(os.environ, settings.root), _records(settings, store, channel)
    change = rolling_back.release if release else partial(rolling_back.rollback, to=number)
    made = change(
        settings, store, channel, records, who, reason=reason, on_wait=partial(_wait, channel)
    )
    if as_json:
        _say_json({"channel": channel, "record": msgspec.to_builtins(made)})
        return
    _say(printable(f"{channel} is {_called(made)} now: {told(made)}"))
    for line in _consequences(channel, made):
        _say(f"  {line}")
    verb = "Release" if release else "Roll back"
    _next(path, _push(channel, _usual(settings)), f"{verb} {channel}: {_called(made)}")


def _consequences(channel: str, made: Record) -> Iterator[str]:
    if made.action == RELEASE:
        yield "promotions may go on"
        return
    first, last = made.undoes[0], made.undoes[-1]
    undone = f"{first} to {last}" if last > first else f"{first}"
    yield f"as record {made.restores} had it; taken back: {undone}"
    yield "it is held: nothing is promoted to it until"
    yield f'  invoke rollback {channel} --release --reason "..."'


def _known(settings: Settings, channel: str) -> str:
    known = channel_names(settings)
    return nearest(channel, known) if known else "invoke promote BUNDLE --to CHANNEL begins one"


def _records(settings: Settings, store: Store, channel: str) -> tuple[Record, ...]:
    """The records of a channel that is a chain, having said what came in the way of promotions."""
    path = channel_path(settings, channel)
    records = read_channel(path)
    refuse_flawed(store, path, channel, records)
    for sentence in overtaken(store, channel, records):
        _warn(printable(f"note: {sentence}"))
    return records


def _usual(settings: Settings) -> Project | None:
    """The project that commands are about where no other is named; None where it cannot be read."""
    try:
        return load_project(config_file(CONFIG, settings.root))
    except UserError:
        return None


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
        _say_json(
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
    lines += [printable(f"{proposal.channel} is {_called(made)} now: {told(made)}")] if made else []
    Console(emoji=False).out(fitted(lines), highlight=False)


def _is_there(contents: Contents, records: Sequence[Record]) -> bool:
    """Whether a bundle is what the channel has now."""
    bundle = contents.bundle
    return bool(records and bundle and records[-1].bundle == bundle.digest)


def _there(wish: Wish, records: Sequence[Record]) -> str:
    return f"{wish.bundle} is in {wish.to} already: {told(records[-1])}"


def _tell_there(wish: Wish, records: Sequence[Record], *, as_json: bool) -> None:
    last = records[-1]
    if as_json:
        record = msgspec.to_builtins(last)
        _say_json({"channel": wish.to, "promoted": False, "record": record, "verdict": None})
        return
    _say(printable(f"{_there(wish, records)}; nothing was changed"))
    if is_held(records):
        _say(f'  it is held until: invoke rollback {wish.to} --release --reason "..."')


def _called(record: Record) -> str:
    return record.name or record.bundle[7:19]


def _push(channel: str, project: Project | None) -> str:
    """The command that tells a registry: the configured one, else a place that has to be named."""
    tag = channel_tag(channel)
    try:
        known = project and registry_of(project)
    except UserError:
        known = None
    return project.command(f"push {tag}") if project and known else f"invoke push {tag} --to PLACE"


def _next(path: Path, push: str, message: str) -> None:
    """What makes it known to others: git, which tells whoever was not the first, and the mirror."""
    here = path.is_relative_to(Path.cwd())
    git = "git" if here else f"git -C {shlex.quote(str(path.parent))}"
    file = shlex.quote(str(path.relative_to(Path.cwd()) if here else path.name))
    said = shlex.quote(printable(message))
    _say(f"next: {git} add {file} && {git} commit -m {said} && {git} push")
    _say(f"      {push}")


def _say_json(told: object) -> None:
    Console(emoji=False).out(json.dumps(told, indent=1), highlight=False)


def _wait(channel: str) -> None:
    _warn(f"another command changes a channel now; {channel} waits for it")


def _number(text: str) -> int:
    if not text.isdecimal():
        raise ConfigError(f"--to {text}: not the number of a record", "as 15: invoke history tells")
    return int(text)
