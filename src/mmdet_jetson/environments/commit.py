"""The commit of this clone, and what others say that it knows."""

import re

from mmdet_jetson.config.settings import ROOT
from mmdet_jetson.processes import ProcessFailed, output_of

_COMMIT = re.compile(r"[0-9a-f]{40}")


def git_commit() -> str:
    """The commit that is checked out, with ``+`` when the tree differs from it; "" outside git."""
    try:
        commit = output_of(["git", "-C", str(ROOT), "rev-parse", "HEAD"])
        changed = output_of(["git", "-C", str(ROOT), "status", "--porcelain"])
    except ProcessFailed:
        return ""
    return commit + ("+" if changed else "")


def commits_between(was: str, now: str) -> list[str] | None:
    """The commits of ``now`` that ``was`` has not, as "abbreviation subject", the newest first.

    None where this clone does not know both.
    """
    if not (_COMMIT.fullmatch(was) and _COMMIT.fullmatch(now)):
        return None
    said = _git("log", "--no-show-signature", "--format=%h %s", f"{was}..{now}", "--")
    return None if said is None else said.splitlines()


def file_at(commit: str, path: str) -> bytes | None:
    """A text file as it was in a commit; None where this clone does not know it."""
    if not _COMMIT.fullmatch(commit):
        return None
    said = _git("show", f"{commit}:{path}")
    return None if said is None else f"{said}\n".encode()


def _git(*words: str) -> str | None:
    try:
        return output_of(["git", "-C", str(ROOT), *words])
    except (ProcessFailed, UnicodeDecodeError):
        return None
