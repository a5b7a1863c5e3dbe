import subprocess
import sys
import threading
from pathlib import Path

from mmdet_jetson.locks import hold, is_free


def test_a_held_lock_is_not_free(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    assert is_free(path)
    with hold(path):
        assert not is_free(path)
    assert is_free(path)


def test_the_second_waits_and_is_told(tmp_path: Path) -> None:
    path, order = tmp_path / "x.lock", list[str]()

    def second() -> None:
        with hold(path, lambda: order.append("waiting")):
            order.append("second")

    with hold(path):
        thread = threading.Thread(target=second)
        thread.start()
        while "waiting" not in order:
            assert thread.is_alive()
        order.append("first done")
    thread.join()
    assert order == ["waiting", "first done", "second"]


def test_a_lock_whose_file_was_deleted_is_taken_anew(tmp_path: Path) -> None:
    path, inside, waiting = tmp_path / "x.lock", list[bool](), threading.Event()

    def second() -> None:
        with hold(path, waiting.set):
            inside.append(path.exists() and not is_free(path))

    with hold(path):
        thread = threading.Thread(target=second)
        thread.start()
        waiting.wait(10)
        path.unlink()
    thread.join()
    assert inside == [True]


def test_a_child_that_inherits_the_lock_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with hold(path) as stream:
        child = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[stream.fileno()]
        )
    assert not is_free(path)
    child.communicate(b"\n")
    assert is_free(path)
