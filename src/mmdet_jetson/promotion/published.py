"""What git has of a channel file: its authority on which records there are."""

from collections.abc import Sequence
from pathlib import Path

from mmdet_jetson.processes import ProcessFailed, output_of
from mmdet_jetson.promotion.channel_file import parse
from mmdet_jetson.promotion.conflicts import exists_in_git
from mmdet_jetson.promotion.records import Record

_MERGING = ("MERGE_HEAD", "rebase-merge", "rebase-apply")


def published(path: Path) -> tuple[Record, ...] | None:
    """The records that others have seen: at the merge base with what this branch comes from.

    Without such, those of the last commit, none where that has no such file: what was never
    committed nobody has seen. None without git, and while it merges or rebases, since what it has
    of this side is then just what gives way.

    Raises:
        UserError: git's state of the file cannot be read.
    """
    folder = _folder(path)
    git = ["git", "-C", str(folder)]
    for base in (["merge-base", "HEAD", "@{upstream}"], ["merge-base", "HEAD", "origin/HEAD"]):
        try:
            return _at(git, output_of([*git, *base]), path)
        except (ProcessFailed, UnicodeDecodeError):
            continue
    try:
        output_of([*git, "rev-parse", "--verify", "--quiet", "HEAD"])
        if any(exists_in_git(folder, state) for state in _MERGING):
            return None
    except (ProcessFailed, UnicodeDecodeError):
        return None
    try:
        return _at(git, "HEAD", path)
    except ProcessFailed:
        return ()
    except UnicodeDecodeError:
        return None


def _at(git: Sequence[str], commit: str, path: Path) -> tuple[Record, ...]:
    content = output_of([*git, "show", f"{commit}:./{path.absolute().relative_to(git[2])}"])
    return parse(content.encode(), f"{path} at {commit[:10]}", f"git log -p -- {path}")


def is_known_to_git(path: Path) -> bool:
    """Whether git can tell of a file, be it only that two states of it are being merged."""
    try:
        output_of(["git", "-C", str(_folder(path)), "rev-parse", "--verify", "--quiet", "HEAD"])
    except (ProcessFailed, UnicodeDecodeError):
        return False
    return True


def _folder(path: Path) -> Path:
    """That of the channels may not be there yet, or may have gone with its only file."""
    return next(each for each in path.absolute().parents if each.is_dir())
