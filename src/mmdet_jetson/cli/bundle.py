"""``invoke bundle``: what a run has made becomes a release, which is one digest."""

import re
from collections.abc import Sequence
from functools import partial

import msgspec
from rich.console import Console

from mmdet_jetson.bundles import making
from mmdet_jetson.bundles.contents import BUNDLE_TAG, Contents, of_bundle, of_run
from mmdet_jetson.bundles.remedies import as_measured, command_for
from mmdet_jetson.bundles.trainings import verdict_of
from mmdet_jetson.cli.part_lines import printable
from mmdet_jetson.cli.request import Request
from mmdet_jetson.cli.verbs import Session, session
from mmdet_jetson.config.pipeline import Project
from mmdet_jetson.contract.report import PASS
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning import pipeline
from mmdet_jetson.planning.inputs import Inputs
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.store import Bundle, Store
from mmdet_jetson.store.naming import is_tag

# What `show` and the rest take for a digest, and tags that keep or look up (docs/releases.md).
_RESERVED = re.compile(r"[0-9a-f]{12,64}|(cache\.|digest\.|sha256-|channel-).*")
_say = partial(Console(emoji=False).print, highlight=False, markup=False, soft_wrap=True)


def bundle(
    request: Request, names: Sequence[str], *, with_dataset: bool = False, complete: bool = False
) -> None:
    """Bind what is in the store under a run's name; nothing is computed.

    ``names`` are further tags. With ``complete`` nothing may be missing.

    Raises:
        UserError: parts do not belong together, or something is missing that must not.
    """
    for name in names:
        _check_name(name)
    with session(request) as now:
        run = of_run(now.store, now.name)
        if not run.parts:
            raise UserError(
                f"there is no run {now.name} in {now.store.root}", now.project.command("pipeline")
            )
        only, left_out = request.targets, list[str]()
        project, steps, chosen = _choose(now, run, only)
        if not only and (left_out := making.stale_beside(chosen, now.project)):
            only = [each for each in chosen.targets if each not in left_out]
            project, steps, chosen = _choose(now, run, only)
        making.check(chosen, now.project)
        project, lacks = as_measured(chosen, project), making.missing(chosen, steps)
        if complete and lacks:
            raise UserError(f"{now.name} has no {lacks[0]}", command_for(lacks[0], project))
        made = making.bind(chosen, lacks, with_dataset=with_dataset)
        tags = [f"{now.name}.{BUNDLE_TAG}", *names]
        for name in names:
            _refuse_to_move(now.store, name, made)
        now.store.tag(made, *tags)
    contents = of_bundle(now.store, made, ", ".join(tags))
    _tell(contents)
    verdict = verdict_of(contents)
    if verdict and verdict != PASS:
        _say(f"warning: the verdict of its report is {printable(verdict)}")
    for target in left_out:
        _say(
            f"warning: it has no {target}, which run {now.name} has of another training, and the "
            "configuration does not build for"
        )
    for part in lacks:
        _say(f"warning: it has no {part}: {command_for(part, project)}")


def _choose(
    now: Session, run: Contents, only: Sequence[str]
) -> tuple[Project, Sequence[Step], Contents]:
    """What a bundle has of a run, and the project and the steps that make all of it."""
    engines = [each for each in run.targets if not only or each in only]
    project = _with_targets(now.project, engines)
    steps = pipeline.plan(project, Inputs(project, now.settings, now.display.bytes_fetched))
    return project, steps, making.choose(run, now.project, only, steps)


def _check_name(name: str) -> None:
    form = "up to 128 letters, digits, dots, dashes and underscores, as v1.2"
    if not is_tag(name):
        raise UserError(f"--name {name}: nothing can be tagged so", form)
    if _RESERVED.fullmatch(name):
        raise UserError(
            f"--name {name}: it could be taken for a digest, or for a tag that is set beside names",
            "no 12 to 64 digits of 0-9 and a-f, and nothing that begins with cache., digest., "
            "sha256- or channel-",
        )


def _refuse_to_move(store: Store, name: str, made: Bundle) -> None:
    """A release keeps its own name, and a run keeps its; that of the newest bundle moves."""
    if of_run(store, name).parts:
        raise UserError(f"--name {name}: that is the name of a run already", "choose another")
    named = store.tags().get(name)
    if named and named.digest != made.digest:
        what = "bundle" if store.bundle(name) else "artifact"
        raise UserError(
            f"--name {name}: that is the name of {what} {named.digest[7:19]} already",
            "choose another",
        )


def _with_targets(project: Project, engines: Sequence[str]) -> Project:
    """The project as if it built for every target that there is an engine for."""
    others = [each for each in engines if each in project.targets]
    targets = tuple(dict.fromkeys((*project.pipeline.targets, *others)))
    return msgspec.structs.replace(
        project, pipeline=msgspec.structs.replace(project.pipeline, targets=targets)
    )


def _tell(made: Contents) -> None:
    bundle, artifacts = made.bundle, {each.digest: each for each in made.parts.values()}
    size = sum(each.size for each in artifacts.values())
    _say(f"bundle {made.name}: {bundle.digest if bundle else ''}")
    _say(f"  {len(artifacts)} parts, {size / 1e6:.1f} MB; engines for {', '.join(made.targets)}")
    _say(f"  what is in it: invoke show {made.name.partition(',')[0]}")
