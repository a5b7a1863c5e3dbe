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
    upstream = _upstream(where)
    mine, other = (second, first) if upstream == "--ours" else (first, second)
    return UserError(
        f"{where} is in conflict: {_told(mine)} here, {_told(other)} there, both after the same "
        "record",
        f"keep theirs and promote again: git checkout {upstream} {where} && git add {where}, then "
        + ("git rebase --skip" if upstream == "--ours" else "git commit"),
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


def _upstream(where: str) -> str:
    """Which side of git's is the others': in a rebase, what is rebased onto is called ours."""
    folder = str(Path(where).parent)
    try:
        state = output_of(["git", "-C", folder, "rev-parse", "--git-path", "rebase-merge"])
    except ProcessFailed:
        return "--theirs"
    rebasing = Path(state) if Path(state).is_absolute() else Path(folder) / state
    return "--ours" if rebasing.is_dir() else "--theirs"
