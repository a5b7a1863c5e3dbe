"""Who times something on this machine, among projects and users."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mmdet_jetson.environments import timing
from mmdet_jetson.environments.timing import Holder, hold_machine, holder, lock_file

US = Holder("ann@pc", "balloon", "profile-pc")
OTHER = """
import sys
from pathlib import Path
from mmdet_jetson.environments import timing
timing.FOLDERS = (Path(sys.argv[1]),)
with timing.hold_machine(timing.Holder("bob@pc", "other", "profile-x"), print, print):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(timing, "FOLDERS", (tmp_path / "absent", tmp_path))
    return tmp_path


def other_process(folder: Path) -> "subprocess.Popen[str]":
    """Somebody of another project, who holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def test_who_waits_is_told_for_whom_and_goes_on_when_that_one_is_killed(folder: Path) -> None:
    process, told, held = other_process(folder), list[str](), threading.Event()

    def wait() -> None:
        with hold_machine(US, told.append, print):
            held.set()

    thread = threading.Thread(target=wait)
    thread.start()
    while not told:
        assert thread.is_alive()
        time.sleep(0.01)
    assert not held.is_set()
    process.kill()
    process.wait(20)
    thread.join(20)
    assert held.is_set()
    (sentence,) = told
    assert re.fullmatch(
        r"waiting: bob@pc has timed profile-x of run other there since 20\d\d-.*\+00:00", sentence
    )


def test_the_file_says_who_has_it_while_somebody_does(folder: Path) -> None:
    with hold_machine(US, pytest.fail, pytest.fail):
        assert json.loads(lock_file().read_text())["who"] == "ann@pc"
    assert lock_file().parent == folder
    assert lock_file().read_text() == ""


def test_every_user_of_the_machine_may_open_it() -> None:
    mask = os.umask(0o077)
    try:
        with hold_machine(US, pytest.fail, pytest.fail):
            pass
    finally:
        os.umask(mask)
    assert lock_file().stat().st_mode & 0o777 == 0o666


def test_where_it_cannot_be_used_that_is_said(folder: Path) -> None:
    (folder / timing.NAME).symlink_to(folder / "elsewhere")  # as somebody may leave in /run/lock
    said = list[str]()
    with hold_machine(US, pytest.fail, said.append):
        pass
    (sentence,) = said
    assert sentence.startswith("warning: nobody is kept from timing beside profile-pc: ")
    assert not (folder / "elsewhere").exists()


def test_we_are_somebody() -> None:
    us = holder("profile-pc", "balloon")
    assert us.who.partition("@")[0]
    assert us.who.partition("@")[2]
    assert (us.step, us.run) == ("profile-pc", "balloon")
    assert str(Holder("a@b", "", "profile-x", "then")) == "a@b has timed profile-x there since then"
