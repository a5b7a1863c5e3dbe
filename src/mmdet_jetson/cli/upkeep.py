"""Looking after the store and the machine: the commands beside the pipeline."""

from collections.abc import Callable
from functools import partial

from rich.console import Console
from rich.markup import escape

from mmdet_jetson.cli import device_report, doctor
from mmdet_jetson.cli.progress import Display
from mmdet_jetson.cli.thresholds import place_thresholds
from mmdet_jetson.config.settings import Settings, read_settings
from mmdet_jetson.config.toml import nearest
from mmdet_jetson.containers.objects import DockerHostError
from mmdet_jetson.errors import UserError
from mmdet_jetson.files import folder_to_write
from mmdet_jetson.planning.stages import ENGINE
from mmdet_jetson.promotion.channel_file import channel_names, channel_path, read_channel
from mmdet_jetson.promotion.channel_tags import hold_named
from mmdet_jetson.registry.names import is_name
from mmdet_jetson.running.jobs import DAYS_KEPT, sweep
from mmdet_jetson.runtimes.host import HostRuntime
from mmdet_jetson.runtimes.selection import RuntimeOptions
from mmdet_jetson.store import Artifact, Store, is_cache_tag
from mmdet_jetson.store.artifact import age_in_days


def checkout(tag: str, into: str) -> None:
    """Copy the files of a tag's or digest's artifact into a folder that does not exist yet.

    Beside an engine the thresholds are put that its evaluation names, which came after it.
    """
    store, artifact = named(tag)
    folder = folder_to_write(into, store.root, new=True)
    store.checkout(artifact, folder)
    lines = [f"{artifact.kind} {artifact.digest[:19]} is in {into}"]
    if artifact.kind == ENGINE.makes:
        lines.append(place_thresholds(store, artifact, folder))
    Console().print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def named(tag: str, verb: str = "") -> tuple[Store, Artifact]:
    """Find the artifact of a tag or digest, in the store.

    ``verb`` is the command that makes what is looked for, where that is known.

    Raises:
        UserError: there is none, or it is damaged; says which.
    """
    store = existing_store()
    artifact = store.find(tag)
    if artifact is None:
        raise _not_found(store, tag, verb)
    return store, artifact


def existing_store() -> Store:
    """Open the store in use.

    Raises:
        UserError: there is none.
    """
    store = Store(read_settings().artifacts)
    if not store.exists():
        raise UserError(
            f"there is no store at {store.root}",
            "`invoke demo` makes one; MMDET_JETSON_ARTIFACTS says where",
        )
    return store


def _not_found(store: Store, name: str, verb: str = "") -> UserError:
    if flaw := store.damage(name):
        return UserError(f"{name} is damaged: {flaw}", "run again, or `invoke verify --mend`")
    if store.bundle(name):
        return UserError(f"{name} is a bundle", f"name one of its parts: invoke show {name}")
    names = [tag for tag in store.tags() if is_name(tag)]
    hint = nearest(name, names) if names else "nothing has a name yet: run `invoke demo`"
    if verb:
        names = [tag for tag in names if f".{verb}-" in tag]
        made = f"invoke {verb} --target {name.partition(f'.{verb}-')[2] or 'TARGET'} makes one"
        hint = f"{made}; {nearest(name, names)}" if names else made
    return UserError(f"no artifact is tagged {name!r}", hint)


def collect_garbage(days: str, dry_run: bool, options: RuntimeOptions) -> None:
    """Drop cached results that no run name holds, and what bad ends of runs left, if old enough.

    Whatever a channel's file names stays, as far as it is here.

    On a Docker host, that is images older than a day that are not current and, where the options
    name a Docker host or the Docker runtime, the uploaded inputs too.
    """
    kept_days = _days(days)
    options.check()
    settings = read_settings()
    store = existing_store()
    # First what can fail: a Docker host that does not answer.
    if options.uses_docker:
        _drop_inputs(options, settings, store, dry_run=dry_run)
    lines = _outdated_images(options, settings, dry_run=dry_run)
    if not dry_run:
        for channel in channel_names(settings):
            hold_named(store, channel, read_channel(channel_path(settings, channel)))
    freed = store.gc(_keeper(store, kept_days), dry_run=dry_run)
    if dry_run:
        lines += [_told(store, tag) for tag in freed.tags]
    jobs = sweep(store.root / "jobs", kept_days, dry_run=dry_run)
    lines += [f"unfinished job {job.name}: {job.size / 1e6:.1f} MB" for job in jobs]
    size = freed.size + sum(job.size for job in jobs)
    lines.append(
        f"{'would free' if dry_run else 'freed'} {size / 1e6:.1f} MB: {len(freed.tags)} cached"
        f" results, {freed.blobs} blobs, {len(jobs)} unfinished jobs"
    )
    Console().print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def _keeper(store: Store, days: float) -> Callable[[str], bool]:
    """What tells of a tag whether it stays: it is a name, young, or of something in use."""
    from mmdet_jetson.containers import image_tests  # noqa: PLC0415 - imports Docker's SDK

    held = {named.digest for tag, named in store.tags().items() if not is_cache_tag(tag)}
    named_bundles = [each for each in store.bundles() if each.digest in held]
    held |= {part.digest for bundle in named_bundles for part in bundle.parts}
    held |= image_tests.in_use(store)

    def keep(tag: str) -> bool:
        named = store.tags().get(tag)
        if named is None or not is_cache_tag(tag) or named.digest in held:
            return True
        artifact = store.find(tag)
        if artifact is None:
            return True
        age = age_in_days(artifact.provenance)  # what has none may go: a run makes it again
        return age is not None and age < days

    return keep


def _told(store: Store, tag: str) -> str:
    """Name a cached result: nobody knows it by its tag."""
    artifact = store.find(tag)
    if artifact is None:
        return f"damaged result {tag}"
    made = artifact.provenance
    return f"cached result {made.step} of {made.created[:10]}: {artifact.digest[:19]}"


def _drop_inputs(
    options: RuntimeOptions, settings: Settings, store: Store, *, dry_run: bool
) -> None:
    """Remove the inputs that this store uploaded to a Docker host, and say which or how many."""
    from mmdet_jetson.containers import workspace  # noqa: PLC0415 - imports Docker's SDK

    say = partial(Console().print, highlight=False, markup=False, soft_wrap=True)
    if dry_run:
        for volume in workspace.look(options.docker_host, settings, store).unused_inputs():
            say(f"uploaded input {volume}")
        return
    display = Display(Console(stderr=True))
    ours = workspace.open_workspace(options.docker_host, settings, store, display.say)
    say(f"removed {ours.forget_inputs()} uploaded inputs")


def _outdated_images(options: RuntimeOptions, settings: Settings, *, dry_run: bool) -> list[str]:
    """Remove images that are not current any more, and say so; nothing without a host."""
    from mmdet_jetson.containers import docker_host, outdated  # noqa: PLC0415 - Docker's SDK

    try:
        host = docker_host.connect(options.docker_host, settings)
        found = outdated.outdated(host, settings)
    except DockerHostError:
        if options.uses_docker:
            raise
        return []
    lines = [f"outdated image {reference}" for reference in found]
    if found and not dry_run:
        lines.append(f"removed {outdated.remove(host, found)} of them from {host.facts.name}")
    return lines


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = -1
    if not days >= 0:  # refuses "nan" too
        hint = f"a number from 0 on: --days {DAYS_KEPT}"
        raise UserError(f"--days {text}: not a number of days", hint)
    return days


def show_doctor(report: str | None = None) -> None:
    """Tabulate what was looked at; fail when something is missing that a demo needs.

    ``report`` is a file that is written first, with all that somebody at a distance needs.
    """
    settings = read_settings()
    if report is not None:
        device_report.check_file(report, settings.artifacts)
    runtime = HostRuntime(settings)
    findings = doctor.examine(settings, runtime)
    if report:
        device_report.write_report(report, settings, runtime, findings)
    # No table: it would cut the paths, which people copy.
    console, width = Console(), max(len(finding.what) for finding in findings)
    say = partial(console.print, highlight=False, soft_wrap=True)
    for finding in findings:
        mark = "[green]✓[/]" if finding.good else "[red]✗[/]" if finding.needed else "[yellow]–[/]"
        say(f"{mark} {finding.what:{width}}  {escape(finding.detail)}")
        if finding.mend and not finding.good:
            say(f"[dim]{' ' * (width + 4)}{escape(finding.mend)}[/]")
    if report:
        say(f"written: {report}", markup=False)
    missing = [finding for finding in findings if finding.needed and not finding.good]
    if missing:
        raise UserError(f"missing: {missing[0].what}: {missing[0].detail}", missing[0].mend)
