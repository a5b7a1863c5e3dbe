"""Several requests at once, and how they end."""

import threading

import pytest

from mmdet_jetson.registry import workers
from mmdet_jetson.registry.workers import Workers


def test_all_that_are_stuck_have_one_grace_together(monkeypatch: pytest.MonkeyPatch) -> None:
    release, pool, now, waited = threading.Event(), Workers(), [0.0], []
    join = threading.Thread.join

    def count(thread: threading.Thread, timeout: float | None = None) -> None:
        if not pool._stop.is_set():
            return join(thread, 0.01)
        waited.append(timeout or 0)
        now[0] += timeout or 0
        return None

    def work(number: int) -> None:
        if number == 0:
            raise ValueError("the first")
        release.wait(30)

    monkeypatch.setattr(workers, "monotonic", lambda: now[0], raising=False)
    monkeypatch.setattr(threading.Thread, "join", count)
    with pytest.raises(ValueError, match="the first"):
        pool.map(work, range(6))
    release.set()
    assert sum(waited) <= workers.GRACE
