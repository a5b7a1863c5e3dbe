"""Channel files as git has them at some commit: what a change is compared with."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mmdet_jetson.config.settings import Settings
from mmdet_jetson.errors import UserError
from mmdet_jetson.processes import ProcessFailed, output_of
from mmdet_jetson.promotion.channel_file import channel_folder, is_channel_name, parse
from mmdet_jetson.promotion.records import Record

UPSTREAM = "origin/HEAD"


@dataclass(frozen=True)
class Earlier:
    """The channels at a commit; ``called`` is what a sentence calls that commit."""

    called: str
    channels: Mapping[str, tuple[Record, ...]]


def earlier(settings: Settings, base: str = "") -> Earlier:
    """Read every channel at ``base``: by default where this branch left origin's, else at HEAD.

    Raises:
        UserError: git, the commit or the folder is not there, or a channel cannot be read there.
    """
    folder = channel_folder(settings).resolve()
    there = next(each for each in (folder, *folder.parents) if each.is_dir())
    try:
        top = Path(output_of(["git", "-C", str(there), "rev-parse", "--show-toplevel"])).resolve()
    except ProcessFailed as error:
        raise UserError(
            f"{folder} is in no clone of git, so nothing tells what was in it before: "
            f"{error.message}",
            "git init there, or set MMDET_JETSON_CHANNELS to a folder in a clone",
        ) from error
    commit = _commit(top, base) if base else _default(top)
    inside = folder.relative_to(top).as_posix()
    found = _git(top, "ls-tree", "--name-only", "-z", commit, f"{inside}/")
    paths = [Path(each) for each in found.split("\0") if each.endswith(".toml")]
    channels = {
        path.stem: _records(top, commit, path.as_posix(), base or commit[:10])
        for path in paths
        if is_channel_name(path.stem)
    }
    return Earlier(base or commit[:10], channels)


def differs(path: Path, base: str) -> bool:
    """Whether a file is another than git has at a commit; not known of one that is in no clone."""
    git = ["git", "-C", str(path.parent)]
    try:
        commit = output_of(
            [*git, "rev-parse", "--verify", "--end-of-options", f"{base}^{{commit}}"]
        )
    except ProcessFailed:
        return False
    try:
        output_of([*git, "diff", "--quiet", commit, "--", path.name])
    except ProcessFailed:
        return True
    return False


def _default(top: Path) -> str:
    """Where this branch left origin's main branch; in a clone that has none, its own commit."""
    try:
        return output_of(["git", "-C", str(top), "merge-base", "HEAD", UPSTREAM])
    except ProcessFailed:
        return _commit(top, "HEAD")


def _commit(top: Path, named: str) -> str:
    command = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{named}^{{commit}}"]
    try:
        return output_of(["git", "-C", str(top), *command])
    except ProcessFailed as error:
        raise UserError(
            f"git knows no commit {named!r} in {top}",
            "git fetch origin; a clone of CI has to be a whole one (fetch-depth: 0, GIT_DEPTH: 0)",
        ) from error


def _records(top: Path, commit: str, path: str, called: str) -> tuple[Record, ...]:
    content = _git(top, "show", f"{commit}:{path}").encode()
    return parse(content, f"{path} at {called}", f"git log -p -- {path}")


def _git(top: Path, *words: str) -> str:
    try:
        return output_of(["git", "-C", str(top), *words])
    except UnicodeDecodeError as error:
        raise UserError(f"what git has there is no text: {error}", "git log -- channels") from error
