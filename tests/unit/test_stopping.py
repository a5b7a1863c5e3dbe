import os
import sys
import threading
import time
from pathlib import Path

import pytest

from mmdet_jetson import stopping
from mmdet_jetson.locks import hold
from mmdet_jetson.processes import run_logged
from mmdet_jetson.stopping import Stopping


def ended_by(run: object, stop_when: object) -> list[BaseException]:
    """Run something in a thread, stop it once that holds, and give what it ended with."""
    found: list[BaseException] = []
    told = Stopping()

    def guarded() -> None:
        try:
            run()  # type: ignore[operator]
        except BaseException as error:
            found.append(error)

    thread = told.thread(guarded, "stopped")
    thread.start()
    while not stop_when():  # type: ignore[operator]
        assert thread.is_alive()
        time.sleep(0.01)
    told.stop()
    thread.join(20)
    assert not thread.is_alive()
    return found


def test_a_thread_that_waits_for_a_program_ends_with_it(tmp_path: Path) -> None:
    child = (
        "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', "
        "'import time; time.sleep(2); open(\"alive\", \"w\")']); print('up', flush=True); time.sleep(60)"
    )
    lines = list[str]()
    began = time.monotonic()
    (error,) = ended_by(
        lambda: run_logged(
            [sys.executable, "-c", child],
            tmp_path / "log",
            env=dict(os.environ),
            cwd=tmp_path,
            on_line=lines.append,
        ),
        lambda: lines,
    )
    assert isinstance(error, KeyboardInterrupt)
    assert time.monotonic() - began < 20
    time.sleep(2.5)
    assert not (tmp_path / "alive").exists()


def test_a_thread_that_waits_for_a_lock_does_not_wait_on(tmp_path: Path) -> None:
    path, waits = tmp_path / "x.lock", threading.Event()

    def wait() -> None:
        with hold(path, waits.set):
            raise AssertionError("nobody gave it back")

    with hold(path):
        (error,) = ended_by(wait, waits.is_set)
    assert isinstance(error, KeyboardInterrupt)


def test_what_comes_in_parts_ends_between_two() -> None:
    seen = list[int]()

    def read() -> None:
        for part in stopping.checked(iter(range(10**9))):
            seen.append(part)

    (error,) = ended_by(read, lambda: len(seen) > 3)
    assert isinstance(error, KeyboardInterrupt)


def test_nothing_begins_after_it() -> None:
    told = Stopping()
    told.stop()
    with pytest.raises(KeyboardInterrupt), told.meanwhile(lambda: None):
        raise AssertionError("it began")


def test_the_main_thread_is_left_alone() -> None:
    assert not stopping.can_be_stopped()
    stopping.current().check()
    assert list(stopping.checked([1, 2])) == [1, 2]
