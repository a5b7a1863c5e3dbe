"""``invoke bundle``: what a run has made becomes a release, which is one digest."""

from collections.abc import Sequence
from functools import partial

import msgspec
from rich.console import Console

from mmdet_jetson.bundles import making
from mmdet_jetson.bundles.contents import BUNDLE_TAG, Contents, of_bundle, of_run
from mmdet_jetson.bundles.remedies import command_for
from mmdet_jetson.cli.verbs import Request, session
from mmdet_jetson.config.pipeline import Project
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning import pipeline
from mmdet_jetson.planning.inputs import Inputs
from mmdet_jetson.store import Bundle, Store, is_cache_tag
from mmdet_jetson.store.naming import is_tag

_say = partial(Console().print, highlight=False, markup=False, soft_wrap=True)


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
        engines = [each for each in run.targets if not request.targets or each in request.targets]
        project = _with_targets(now.project, engines)
        steps = pipeline.plan(project, Inputs(project, now.settings, now.display.bytes_fetched))
        chosen = making.choose(run, now.project, request.targets, steps)
        making.check(chosen, now.project)
        lacks = making.missing(chosen, steps)
        if complete and lacks:
            raise UserError(f"{now.name} has no {lacks[0]}", command_for(lacks[0], project))
        made = making.bind(chosen, lacks, with_dataset=with_dataset)
        tags = [f"{now.name}.{BUNDLE_TAG}", *names]
        for name in names:
            _refuse_to_move(now.store, name, made)
        now.store.tag(made, *tags)
    _tell(of_bundle(now.store, made, ", ".join(tags)))
    for part in lacks:
        _say(f"warning: it has no {part}: {command_for(part, project)}")


def _check_name(name: str) -> None:
    if not is_tag(name) or is_cache_tag(name):
        raise UserError(
            f"--name {name}: nothing can be tagged so",
            "up to 128 letters, digits, dots, dashes and underscores, as v1.2",
        )


def _refuse_to_move(store: Store, name: str, made: Bundle) -> None:
    """A release's own name stays with it; that of the run's newest moves."""
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
