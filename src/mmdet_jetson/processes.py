"""The one door to other programs: every process starts here."""

import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from mmdet_jetson import stopping
from mmdet_jetson.errors import UserError


class ProcessFailed(UserError):
    """A program ended badly; carries the command, its exit code and where its output is."""

    def __init__(self, command: Sequence[str], code: int, output: str, log: Path | None) -> None:
        last = next((line for line in reversed(output.splitlines()) if line.strip()), "no output")
        self.command, self.code, self.output, self.log = command, code, output, log
        super().__init__(
            f"{Path(command[0]).name} ended with {ending(code)}: {last.strip()}",
            f"read {log}" if log else f"run it by hand: {shlex.join(command)}",
        )


def output_of(command: Sequence[str], env: Mapping[str, str] | None = None) -> str:
    """Run a short command and return its standard output, stripped; ``env`` replaces ours.

    Raises:
        ProcessFailed: it could not be started or ended with a code other than 0.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    except OSError as error:
        raise ProcessFailed(command, 127, str(error), None) from error
    if done.returncode:
        raise ProcessFailed(command, done.returncode, done.stderr or done.stdout, None)
    return done.stdout.strip()


def run_logged(
    command: Sequence[str],
    log: Path,
    *,
    env: Mapping[str, str],
    cwd: Path,
    on_line: Callable[[str], None] | None = None,
    keep_open: Sequence[int] = (),
) -> int:
    """Run a long command: errors go to ``log``, each line of its output to ``on_line`` or ``log``.

    The program leads its own process group and holds the read end of a pipe from us on its
    standard input, so that it can tell when we are gone. The group is killed when we are
    interrupted. ``keep_open`` are file descriptors that it inherits. Returns its exit code.
    """
    with log.open("ab") as stream:
        process = subprocess.Popen(
            command,
            env=env,
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if on_line else stream,
            stderr=stream,
            text=True,
            errors="replace",
            start_new_session=True,
            pass_fds=keep_open,
        )
        try:
            with stopping.current().meanwhile(lambda: _kill(process)):
                if on_line and process.stdout:
                    for line in process.stdout:
                        on_line(line)
                return process.wait()
        except BaseException:
            _kill(process)
            process.wait()
            raise
        finally:
            if process.stdin:
                process.stdin.close()


def _kill(process: "subprocess.Popen[str]") -> None:
    """Kill a program and all that it started, be it gone already."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def tail(log: Path, lines: int = 12, most_bytes: int = 8192) -> str:
    """Read the last lines of a log without reading the whole of it."""
    if not log.exists():
        return ""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - most_bytes))
        return "\n".join(stream.read().decode(errors="replace").splitlines()[-lines:])


def ending(code: int) -> str:
    """Say how a program ended: "exit code 1", or "signal SIGSEGV" for -11."""
    return f"exit code {code}" if code >= 0 else f"signal {_signal_name(-code)}"


def _signal_name(number: int) -> str:
    """Name a signal as ``kill -l`` does; Python knows the first and last real-time signal alone."""
    if signal.SIGRTMIN < number < signal.SIGRTMAX:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
