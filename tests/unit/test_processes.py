import os
import shlex
import signal
import sys
import time
from pathlib import Path

import pytest

from mmdet_jetson.processes import ProcessFailed, output_of, run_logged, tail


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_output_is_stripped() -> None:
    assert output_of(python("print(' 3.8 ')")) == "3.8"


def test_a_failure_carries_code_and_last_words() -> None:
    with pytest.raises(ProcessFailed, match=r"exit code 4: no such lock") as caught:
        output_of(python("import sys; print('no such lock', file=sys.stderr); sys.exit(4)"))
    assert caught.value.code == 4


def test_a_program_that_does_not_exist_is_named() -> None:
    with pytest.raises(ProcessFailed, match="nowhere ended with exit code 127"):
        output_of(["/nowhere"])


def test_a_command_is_shown_as_a_shell_reads_it() -> None:
    failed = ProcessFailed(["/bin/a program", "it's", "$HOME"], 1, "", None)
    assert shlex.split(failed.hint.removeprefix("run it by hand: ")) == list(failed.command)


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (signal.SIGKILL, "SIGKILL"),
        (signal.SIGRTMIN, "SIGRTMIN"),
        (signal.SIGRTMIN + 3, r"SIGRTMIN\+3"),
        (signal.SIGRTMAX, "SIGRTMAX"),
    ],
)
def test_whatever_signal_ends_a_program_is_named(number: int, name: str) -> None:
    with pytest.raises(ProcessFailed, match=f"ended with signal {name}: no output"):
        output_of(python(f"import os; os.kill(os.getpid(), {int(number)})"))


def test_a_signal_without_a_name_is_a_number() -> None:
    assert "ended with signal 99:" in ProcessFailed(["a"], -99, "", None).message


def test_lines_go_to_the_listener_and_errors_to_the_log(tmp_path: Path) -> None:
    lines: list[str] = []
    code = run_logged(
        python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(2)"),
        tmp_path / "log",
        env=dict(os.environ),
        cwd=tmp_path,
        on_line=lines.append,
    )
    assert (code, lines, (tmp_path / "log").read_text()) == (2, ["out\n"], "err\n")


def test_an_interrupt_ends_the_whole_group(tmp_path: Path) -> None:
    """The grandchild would write a file after a second; it never does."""
    child = (
        "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', "
        "'import time; time.sleep(1); open(\"alive\", \"w\")']); print('up', flush=True); time.sleep(9)"
    )

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_logged(
            python(child), tmp_path / "log", env=dict(os.environ), cwd=tmp_path, on_line=interrupt
        )
    time.sleep(1.5)
    assert not (tmp_path / "alive").exists()


def test_tail_reads_the_end_only(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {n}\n" for n in range(100_000)))
    assert tail(log, lines=2) == "line 99998\nline 99999"
    assert tail(tmp_path / "absent") == ""
