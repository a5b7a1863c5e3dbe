"""Sessions on a real GPU, around an engine of one kernel."""

import gc
import threading
from typing import List, Tuple

import numpy as np
import pytest
from kernel_engine import KernelEngine, expected
from on_gpu import HOST, kind_of_memory, noise

from mmdet_jetson.stages.inference.cuda_api import Cuda
from mmdet_jetson.stages.inference.gpu import GpuSession

SIDES = [(64, 64), (1, 1), (640, 640), (33, 70), (1080, 1920), (64, 64)]


MODES = {
    "plain": (False, False),
    "CUDA graph": (True, False),
    "mapped": (False, True),
    "mapped, CUDA graph": (True, True),
}


@pytest.fixture(params=MODES)
def session(request: pytest.FixtureRequest, idle_cuda: Cuda) -> GpuSession:
    engine, names = KernelEngine(idle_cuda), (["picture", "mapping"], ["dets"])
    cuda_graph, mapped = MODES[request.param]
    return GpuSession(engine, idle_cuda, *names, cuda_graph=cuda_graph, mapped=mapped)


def inputs(height: int, width: int) -> Tuple[np.ndarray, np.ndarray]:
    picture = noise(width, height).transpose(2, 0, 1)[None].astype(np.float32)
    return picture, np.array([[1, 2, width, height]], np.float32)


def test_pictures_of_any_size_are_computed_right(session: GpuSession) -> None:
    for side in SIDES:
        (found,) = session(*inputs(*side))
        assert np.array_equal(found, expected(*inputs(*side))), side
        assert session.milliseconds > 0


def test_other_values_of_the_same_shapes_are_computed_right(session: GpuSession) -> None:
    """From the second time on a CUDA graph does it."""
    picture, mapping = inputs(640, 640)
    for factor in range(1, 6):
        (found,) = session(factor * picture, factor * mapping)
        assert np.array_equal(found, expected(factor * picture, factor * mapping)), factor
        assert session.milliseconds > 0
    captured = session.replaying and session.replaying.graph
    assert bool(captured) == (session.replaying is not None)


def test_what_it_gave_stays_when_it_runs_again(session: GpuSession) -> None:
    (first,) = session(*inputs(64, 64))
    kept = first.copy()
    session(*inputs(640, 640))
    session(*(2 * each for each in inputs(64, 64)))

    assert np.array_equal(first, kept)


def test_threads_call_it_at_the_same_time(session: GpuSession) -> None:
    wrong: List[str] = []

    def work(side: Tuple[int, int]) -> None:
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


def test_what_a_session_held_is_free_when_it_is_gone(session: GpuSession) -> None:
    buffers = session.buffers
    session(*inputs(64, 64))
    held = [buffer.memory.ctypes.data for buffer in buffers.values()]
    assert set(map(kind_of_memory, held)) == {HOST}

    session.buffers = {}
    buffers.clear()
    gc.collect()

    assert set(map(kind_of_memory, held)) == {0}
