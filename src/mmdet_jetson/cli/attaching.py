"""``invoke attach`` and ``invoke cancel``: what becomes of a submission, from any shell."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import msgspec
from rich.console import Console

from mmdet_jetson.cli import pack, verbs
from mmdet_jetson.cli.request import Request
from mmdet_jetson.config.settings import read_settings
from mmdet_jetson.config.toml import nearest
from mmdet_jetson.errors import UserError
from mmdet_jetson.slurm import queue
from mmdet_jetson.slurm.cluster import Cluster, SlurmError
from mmdet_jetson.slurm.records import Folder, folders

Told = Mapping[str, str]
ENDINGS: Mapping[str, Callable[[Request, Told], None]] = {
    "pipeline": lambda request, told: verbs.run_pipeline(request, told["command"]),
    "verb": lambda request, told: verbs.run_verb(
        told["verb"], request, again=bool(told.get("again"))
    ),
    "build-jetson-engine": lambda request, told: verbs.build_jetson_engine(told["target"], request),
    "pack": lambda request, told: pack.pack(told["into"], request),
}
"""How a command goes on once its artifacts are made, by the name in its submission."""
MOST_LISTED = 10


def attach(id: str = "") -> None:
    """Follow a submission, by default the newest, to the end that its command has.

    Raises:
        UserError: there is none; or as the command itself.
    """
    folder = _chosen(id)
    if not id:
        _list_others(folder)
    submission = folder.submission()
    request = msgspec.convert(submission.request, Request)
    ENDINGS[submission.ending.command](replace(request, attach=folder.id), submission.ending.told)


def cancel(id: str = "") -> None:
    """Cancel the jobs of a submission, by default the newest; what is made stays.

    A client that was killed while it submitted left jobs that only the next submission follows:
    those go, too.

    Raises:
        UserError: there is no such submission, or Slurm does not answer.
    """
    folder = _chosen(id)
    cluster = Cluster()
    cluster.check()
    jobs = queue.cancel({folder.id, *_unfinished(folder)}, cluster)
    told = ", ".join(f"{step} {job}" for step, job in jobs)
    sentence = f"cancelled {told}" if jobs else "none of its jobs waits or runs"
    Console().print(f"submission {folder.id}: {sentence}", highlight=False, soft_wrap=True)


def _chosen(id: str) -> Folder:
    settings = read_settings()
    found = {folder.id: folder for folder in folders(settings.artifacts)}
    if not found:
        raise UserError(
            f"the store at {settings.artifacts} has no submissions",
            "invoke pipeline --runtime slurm makes one; MMDET_JETSON_ARTIFACTS names the store",
        )
    if id and id not in found:
        raise UserError(f"there is no submission {id!r}", nearest(id, list(found)[-MOST_LISTED:]))
    return found[id] if id else list(found.values())[-1]


def _unfinished(folder: Folder) -> set[str]:
    """The submissions whose jobs this one follows, and that were never completed themselves."""
    paths = [Path(planned.folder) for planned in folder.planned_steps() if planned.folder]
    borrowed = [Folder(path) for path in paths if path.exists()]
    return {each.id for each in borrowed if not each.is_complete}


def _list_others(newest: Folder) -> None:
    """Say which other submissions have jobs that wait or run."""
    live: dict[str, list[str]] = {}
    with suppress(SlurmError):  # what has ended can be shown without it
        for (name, step), state in queue.Queue(Cluster(), print).live().items():
            live.setdefault(name, []).append(f"{step} {state.state.lower()}")
    others = {name: jobs for name, jobs in live.items() if name != newest.id}
    for name in sorted(others):
        line = f"also there: {name}: {', '.join(others[name])}; invoke attach --id {name}"
        Console(stderr=True).print(line, highlight=False, markup=False, soft_wrap=True)
