"""Syntax trees of several threads."""

import argparse
import ast
import gc
import inspect
import threading
import time
from collections.abc import Iterator

import pytest

from mmdet_jetson.planning import python_source
from mmdet_jetson.planning.python_source import parse

SOURCE = inspect.getsource(argparse)


@pytest.fixture
def restless() -> Iterator[None]:
    """Garbage is collected all the time, and lets other threads go on each time."""
    before = gc.get_threshold()

    def yield_to_others(*_: object) -> None:
        time.sleep(0)

    gc.callbacks.append(yield_to_others)
    gc.set_threshold(20)
    yield
    gc.set_threshold(*before)
    gc.callbacks.remove(yield_to_others)


@pytest.mark.usefixtures("restless")
def test_threads_leave_each_other_s_trees_alone() -> None:
    alone, found = ast.dump(ast.parse(SOURCE)), []
    threads = [
        threading.Thread(target=lambda: found.append(ast.dump(parse(SOURCE)))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [alone] * len(threads)


def test_an_error_names_the_file() -> None:
    with pytest.raises(SyntaxError, match=r"unknown\.py, line 1"):
        parse("def", "unknown.py")
    assert not python_source._ONE.locked()
