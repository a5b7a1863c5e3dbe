"""CUDA graphs: when they are captured and replayed, and the driver's calls behind that."""

import ctypes
import gc
import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
from tensorrt_engines import FakeCuda

from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.cuda_api import CannotCapture
from mmdet_jetson.stages.inference.cuda_graph import captured
from mmdet_jetson.stages.inference.gpu import GpuSession


class Driver:
    """The calls of libcuda.so.1; each is noted, and one of them may fail."""

    def __init__(self, failing: str = "") -> None:
        self.failing, self.called = failing, list[str]()

    def __getattr__(self, name: str) -> Callable[..., int]:
        def call(*arguments: object) -> int:
            self.called.append(name)
            if name == self.failing:
                return 900
            if name in ("cuStreamEndCapture", "cuGraphInstantiateWithFlags"):
                made = arguments[1 if name == "cuStreamEndCapture" else 0]
                assert isinstance(made, SimpleNamespace)
                made._obj.value = 4711
            return 0

        call.__name__ = name
        return call


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Driver]:
    def install(failing: str = "") -> Driver:
        made = Driver(failing)
        monkeypatch.setattr(ctypes, "CDLL", lambda name: made)
        monkeypatch.setattr(ctypes, "byref", lambda value: SimpleNamespace(_obj=value))
        return made

    return install


def test_what_is_submitted_lies_between_the_begin_and_the_end(
    driver: Callable[..., Driver],
) -> None:
    made = driver()

    graph = captured(7, lambda: made.called.append("work"))
    graph.launch()
    graph.launch()
    graph.free()
    graph.free()

    begun = ["cuStreamBeginCapture_v2", "work", "cuStreamEndCapture"]
    instantiated = ["cuGraphInstantiateWithFlags", "cuGraphDestroy"]
    launched = ["cuGraphLaunch", "cuGraphLaunch", "cuGraphExecDestroy"]
    assert made.called == begun + instantiated + launched


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_collected_while_it_is_captured(
    driver: Callable[..., Driver], fails: bool
) -> None:
    """The driver refuses to free what the collector finds then: on a GPU that memory was lost."""
    driver("cuGraphInstantiateWithFlags" if fails else "")
    found = []

    with pytest.raises(CannotCapture) if fails else nullcontext():
        captured(7, lambda: found.append(gc.isenabled()))

    assert (found, gc.isenabled()) == ([False], True)


@pytest.mark.parametrize(
    "failing", ["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags"]
)
def test_a_refusal_of_the_driver_is_one_clause(driver: Callable[..., Driver], failing: str) -> None:
    driver(failing)

    with pytest.raises(CannotCapture, match=f"^{failing} returns 900$"):
        captured(7, lambda: None)


def test_a_stream_is_not_left_capturing(driver: Callable[..., Driver]) -> None:
    made = driver()

    def fail() -> None:
        raise StageError("TensorRT failed to run the engine")

    with pytest.raises(CannotCapture, match="TensorRT failed"):
        captured(7, fail)

    assert made.called == ["cuStreamBeginCapture_v2", "cuStreamEndCapture"]


class Adding:
    """An engine for `FakeCuda` that adds one; it counts how often it was told to run."""

    inputs, outputs = ["picture"], ["found"]
    size, executed = 0, 0

    def dtype(self, name: str) -> "np.dtype[np.generic]":
        return np.dtype(np.uint8)

    def set_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.size = shape[0]
        return True

    def shape(self, name: str) -> tuple[int, ...]:
        return (self.size,)

    def execute(self, addresses: Mapping[str, int], stream: int) -> bool:
        self.executed += 1
        picture, found = (FakeCuda.blocks[addresses[name]] for name in ("picture", "found"))
        found[: self.size] = picture[: self.size] + 1
        return True


@pytest.fixture(params=[False, True], ids=["copied", "mapped"])
def session(request: pytest.FixtureRequest) -> GpuSession:
    return GpuSession(
        Adding(), FakeCuda(), ["picture"], ["found"], cuda_graph=True, mapped=request.param
    )


def captures(session: GpuSession) -> int:
    assert isinstance(session.cuda, FakeCuda)
    return session.cuda.captured


def found(session: GpuSession, values: list[int]) -> list[int]:
    (values_found,) = session(np.array(values, np.uint8))
    listed: list[int] = values_found.tolist()
    return listed


def test_the_same_shapes_are_captured_once_and_replayed_with_new_values(
    session: GpuSession,
) -> None:
    assert found(session, [1, 2]) == [2, 3]
    assert captures(session) == 0  # TensorRT prepares itself for new shapes
    assert found(session, [5, 6]) == [6, 7]
    assert found(session, [8, 9]) == [9, 10]
    assert captures(session) == 1


def test_other_shapes_and_other_memory_are_never_replayed(session: GpuSession) -> None:
    for values in ([1, 2], [3, 4], [5, 6, 7], [8, 9], [1, 1], [1, 2, 3, 4], [9, 9]):
        assert found(session, values) == [value + 1 for value in values]

    assert captures(session) == 2


def test_what_cannot_be_captured_runs_as_before(
    session: GpuSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(cuda: FakeCuda, submit: Callable[[], None]) -> None:
        raise CannotCapture("cuStreamEndCapture returns 900")

    monkeypatch.setattr(FakeCuda, "capture", refuse)
    found(session, [1, 2])

    with pytest.warns(UserWarning, match="without a CUDA graph, as cuStreamEndCapture returns 900"):
        assert found(session, [3, 4]) == [4, 5]

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is said once
        assert found(session, [5, 6]) == [6, 7]
