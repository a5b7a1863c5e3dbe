"""Looking after the store and the machine: what the menu offers beside the pipeline."""

from datetime import datetime, timedelta, timezone
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mmdet_jetson import doctor
from mmdet_jetson.config import nearest
from mmdet_jetson.errors import UserError
from mmdet_jetson.jobs import sweep
from mmdet_jetson.runtimes.host import HostRuntime
from mmdet_jetson.settings import read_settings
from mmdet_jetson.store import Store
from mmdet_jetson.where import Where, shelf_of


def checkout(tag: str, into: str) -> None:
    """Copy an artifact's files out of the store into a folder that does not exist yet."""
    store = Store(read_settings().artifacts)
    artifact = store.find(tag)
    if artifact is None:
        names = [name for name in store.tags() if not name.startswith("cache.")]
        raise UserError(f"no artifact is tagged {tag!r}", nearest(tag, names))
    folder = Path(into)
    if folder.exists():
        raise UserError(f"{into} exists already", "name a folder that does not")
    store.checkout(artifact, folder)
    Console().print(f"{artifact.kind} {artifact.digest[:19]} is in {folder}", soft_wrap=True)


def verify(mend: bool) -> None:
    """Read everything in the store again; fail when a digest does not hold."""
    store = Store(read_settings().artifacts)
    console = Console(stderr=True)
    with console.status("reading the store") as status:
        found = store.verify(
            lambda done, total: status.update(f"read {done / 1e6:.0f} of {total / 1e6:.0f} MB"),
            mend=mend,
        )
    for problem in found.problems:
        Console().print(f"{problem.where}: {problem.what}", markup=False, soft_wrap=True)
    summary_line = f"{found.blobs} blobs, {found.size / 1e6:.1f} MB"
    if found.problems:
        mended = "damaged blobs were removed; run again" if mend else "invoke verify --mend"
        raise UserError(f"{len(found.problems)} problems in {summary_line}", mended)
    Console().print(f"clean: {summary_line}", highlight=False)


def collect_garbage(days: float, dry_run: bool, where: Where) -> None:
    """Drop cached results that are old and that no run name holds, and what killed runs left.

    On an engine, that is the uploaded inputs too.
    """
    settings = read_settings()
    store = Store(settings.artifacts)
    held = {named.digest for tag, named in store.tags().items() if not tag.startswith("cache.")}
    now = datetime.now(timezone.utc)

    def keep(tag: str) -> bool:
        artifact = store.find(tag)
        if artifact is None or not tag.startswith("cache."):
            return True
        age = now - datetime.fromisoformat(artifact.provenance.created)
        return artifact.digest in held or age < timedelta(days=days)

    freed = store.gc(keep, dry_run=dry_run)
    jobs = 0 if dry_run else sweep(store.root / "jobs", 0)
    if where.runtime == "docker" and not dry_run:
        shelf = shelf_of(where.engine, settings, store, Console(stderr=True).print)
        Console().print(f"removed {shelf.forget_inputs()} uploaded inputs", highlight=False)
    verb = "would free" if dry_run else "freed"
    Console().print(
        f"{verb} {freed.size / 1e6:.1f} MB: {len(freed.tags)} cached results,"
        f" {freed.blobs} blobs, {jobs} abandoned jobs",
        highlight=False,
    )


def show_doctor() -> None:
    """Tabulate what was looked at; fail when something is missing that a demo needs."""
    settings = read_settings()
    findings = doctor.examine(settings, HostRuntime(settings))
    table = Table(show_header=False, box=None)
    for finding in findings:
        mark = "[green]✓[/]" if finding.good else "[red]✗[/]" if finding.needed else "[yellow]–[/]"
        mend = "" if finding.good or not finding.mend else f"\n[dim]{escape(finding.mend)}[/]"
        table.add_row(mark, finding.what, escape(finding.detail) + mend)
    Console().print(table)
    missing = [finding for finding in findings if finding.needed and not finding.good]
    if missing:
        raise UserError(f"missing: {missing[0].what}: {missing[0].detail}", missing[0].mend)
