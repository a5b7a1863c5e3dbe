"""What git leaves in a channel file where two branches added records: both, between markers."""

import re
from collections.abc import Sequence
from pathlib import Path

from mmdet_jetson.errors import UserError
from mmdet_jetson.processes import ProcessFailed, output_of
from mmdet_jetson.promotion.records import Record

_MARKER = re.compile(r"^(<{7}|\|{7}|={7}|>{7})(?: .*)?$")


def sides(text: str) -> tuple[str, str] | None:
    """The file as each of the two branches has it; None where git left no markers.

    Git leaves lines that both have outside of the markers, so a record may begin before them.
    """
    if not any(marker * 7 in text for marker in "<|=>"):  # nearly always, and soon said
        return None
    lines = [line.rstrip("\r") for line in text.split("\n")]
    if not any(_MARKER.match(line) for line in lines):
        return None
    kept: tuple[list[str], list[str]] = ([], [])
    into: tuple[list[str], ...] = kept
    for line in lines:
        if match := _MARKER.match(line):
            # "|||||||" begins what both come from, which belongs to neither.
            places = {"<": kept[:1], "|": (), "=": kept[1:], ">": kept}
            into = places[match[1][0]]
        else:
            for side in into:
                side.append(line)
    ours, theirs = map("\n".join, kept)
    return ours, theirs


def refusal(where: str, ours: Sequence[Record], theirs: Sequence[Record]) -> UserError:
    """What to say of a file in conflict: which records met, and what to type."""
    same = {each.digest for each in ours} & {each.digest for each in theirs}
    first, second = (
        [each for each in side if each.digest not in same] or [side[-1]] if side else []
        for side in (ours, theirs)
    )
    upstream, then = _way_out(Path(where).parent)
    mine, other = (second, first) if upstream == "--ours" else (first, second)
    return UserError(
        f"{where} is in conflict: {_told(mine)} here, {_told(other)} there, both after the same "
        "record",
        f"keep theirs and promote again: git checkout {upstream} {where} && git add {where}"
        + (f", then {then}" if then else ""),
    )


def _told(records: Sequence[Record]) -> str:
    if not records:
        return "nothing"
    named = ", ".join(
        f"record {each.sequence} ({each.action} of {each.name or each.bundle[7:19]}, {each.who}, "
        f"{each.at})"
        for each in records[:3]
    )
    return named + (f" and {len(records) - 3} more" if len(records) > 3 else "")


def _way_out(folder: Path) -> tuple[str, str]:
    """Which side of git's is the others', and what ends the conflict.

    Where git puts commits of here onto those of others, as a rebase does and a stash that comes
    back, it calls what it puts them onto ours.
    """
    try:
        if exists_in_git(folder, "rebase-merge"):
            # Not --skip, which would drop what else the commit has.
            return "--ours", "git rebase --continue"
        if exists_in_git(folder, "rebase-apply"):
            return "--ours", "git rebase --skip"
        if exists_in_git(folder, "CHERRY_PICK_HEAD"):
            return "--ours", "git cherry-pick --skip"
        merges = any(exists_in_git(folder, each) for each in ("MERGE_HEAD", "SQUASH_MSG"))
    except (ProcessFailed, UnicodeDecodeError):
        merges = True
    return ("--theirs", "git commit") if merges else ("--ours", "")


def exists_in_git(folder: Path, state: str) -> bool:
    """Whether git has a file or folder that tells of something under way, such as a merge.

    Raises:
        ProcessFailed: the folder is in no clone.
        UnicodeDecodeError: where git keeps it is no text.
    """
    found = Path(output_of(["git", "-C", str(folder), "rev-parse", "--git-path", state]))
    return (found if found.is_absolute() else folder / found).exists()
