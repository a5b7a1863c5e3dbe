import subprocess
import sys
import threading
import time
from pathlib import Path

from mmdet_jetson.locks import hold, hold_if_free, lock_beside


def is_free(path: Path) -> bool:
    with hold_if_free(path) as held:
        return held


def test_a_held_lock_is_not_free(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    assert is_free(path)
    with hold(path):
        assert not is_free(path)
    assert is_free(path)


def test_what_is_held_if_free_is_held(tmp_path: Path) -> None:
    path = tmp_path / "new/x.lock"
    with hold_if_free(path) as first, hold_if_free(path) as second:
        assert (first, second) == (True, False)
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


def test_one_at_a_time(tmp_path: Path) -> None:
    path, together = tmp_path / "x.lock", threading.Barrier(8)
    inside, most = list[int](), list[int]()

    def enter(number: int) -> None:
        together.wait(60)
        with hold(path):
            inside.append(number)
            time.sleep(0.01)
            most.append(len(inside))
            inside.remove(number)

    threads = [threading.Thread(target=enter, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 8


def test_a_lock_stays_where_it_is(tmp_path: Path) -> None:
    lock = lock_beside(tmp_path / "new/job-1")
    with hold(lock):
        inode = lock.stat().st_ino
    with hold(lock):
        assert lock.stat().st_ino == inode
    assert lock == tmp_path / "new/job-1.lock"


def test_a_child_that_inherits_the_lock_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with hold(path) as stream:
        child = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[stream.fileno()]
        )
    assert not is_free(path)
    child.communicate(b"\n")
    assert is_free(path)
