"""What a stage says and leaves, as the runtime that started it hears and finds it."""

import shutil
from pathlib import Path

from mmdet_jetson.contract.job import LOG, Result, parse_progress, read_failure, read_result
from mmdet_jetson.errors import UserError
from mmdet_jetson.processes import ending, tail
from mmdet_jetson.runtimes.protocol import OnProgress

NO_ROOM = 1 << 20  # bytes
KILLED = (-9, 137)  # by signal 9: as Python and as a Docker host spell it


class StageFailed(UserError):
    """A stage ended without a result; its own sentence where it had one."""


def hear(line: str, log: Path, on_progress: OnProgress) -> None:
    """Take one line of a stage's output: progress, or something for the log."""
    progress = parse_progress(line)
    if progress:
        on_progress(progress)
        return
    with log.open("a") as stream:
        stream.write(line)


def outcome(stage: str, code: int, folder: Path) -> Result:
    """Read what a stage that ended left in its job folder.

    Raises:
        StageFailed: there is no result, whatever the exit code.
    """
    result = read_result(folder)
    if result is None:
        raise _failure(stage, code, folder)
    return result


def _failure(stage: str, code: int, folder: Path) -> StageFailed:
    log, stage = folder / LOG, stage.replace("_", "-")  # as it is typed
    failure = read_failure(folder)
    if failure:
        return StageFailed(f"{stage}: {failure.message}", failure.hint)
    if code in KILLED:
        return StageFailed(
            f"{stage}: the process was killed, most often because memory ran out",
            f"lower train.batch_size or train.workers; the log is {log}",
        )
    if shutil.disk_usage(folder).free < NO_ROOM:
        # A stage cannot leave a sentence on a full disk, and libraries word this in many ways.
        return StageFailed(
            f"{stage}: the disk is full: {folder.parent}", "free some space and run again"
        )
    return StageFailed(
        f"{stage}: ended with {ending(code)}; the end of its log:\n{tail(log)}", f"read {log}"
    )
