"""Sessions on a real GPU, around an engine of one kernel."""

import threading

import numpy as np
import pytest
from kernel_engine import KernelEngine, expected
from on_gpu import noise

from mmdet_jetson.stages.inference.cuda import Cuda
from mmdet_jetson.stages.inference.gpu import GpuSession

SIDES = [(64, 64), (1, 1), (640, 640), (33, 70), (1080, 1920), (64, 64)]


@pytest.fixture
def session(cuda: Cuda) -> GpuSession:
    return GpuSession(KernelEngine(cuda), cuda)


def inputs(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    picture = noise(width, height).transpose(2, 0, 1)[None].astype(np.float32)
    return picture, np.array([[1, 2, width, height]], np.float32)


def test_pictures_of_any_size_are_computed_right(session: GpuSession) -> None:
    for side in SIDES:
        (found,) = session(*inputs(*side))
        assert np.array_equal(found, expected(*inputs(*side))), side
        assert session.milliseconds > 0


def test_what_it_gave_stays_when_it_runs_again(session: GpuSession) -> None:
    (first,) = session(*inputs(64, 64))
    kept = first.copy()
    session(*inputs(640, 640))
    session(*(2 * each for each in inputs(64, 64)))

    assert np.array_equal(first, kept)


def test_threads_call_it_at_the_same_time(session: GpuSession) -> None:
    wrong: list[str] = []

    def work(side: tuple[int, int]) -> None:
        try:
            for _ in range(50):
                (found,) = session(*inputs(*side))
                if not np.array_equal(found, expected(*inputs(*side))):
                    wrong.append(f"{side}: other values")
        except Exception as error:
            wrong.append(f"{side}: {error!r}")

    threads = [threading.Thread(target=work, args=(side,)) for side in SIDES[:4]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []
