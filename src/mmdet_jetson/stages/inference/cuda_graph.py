"""CUDA graphs by the driver itself: pycuda does not know them.

https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__GRAPH.html, CUDA 11.4 and later.
"""

import ctypes
import gc
from contextlib import contextmanager
from typing import Callable, Hashable, Iterator, Optional
from warnings import warn
from weakref import finalize

from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.cuda_api import CannotCapture, Captured, Cuda, Submit
from mmdet_jetson.stages.inference.device import CUDA_DRIVER

# CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: what other threads do meanwhile is not forbidden.
THREAD_LOCAL = 1


def captured(stream: int, submit: Submit, library: str = CUDA_DRIVER) -> "CapturedGraph":
    """Capture what ``submit`` sends to a stream, with the GPU's context on this thread.

    Raises:
        CannotCapture: something in it cannot be captured.
    """
    driver = ctypes.CDLL(library)
    graph, executable = ctypes.c_void_p(), ctypes.c_void_p()
    with _nothing_collected():
        _call(driver.cuStreamBeginCapture_v2, ctypes.c_void_p(stream), THREAD_LOCAL)
        try:
            submit()
        except StageError as error:
            raise CannotCapture(error.message) from error
        finally:
            # A stream that is left capturing would refuse all that follows.
            ended = driver.cuStreamEndCapture(ctypes.c_void_p(stream), ctypes.byref(graph))
    if ended or not graph:
        raise CannotCapture(f"cuStreamEndCapture returns {ended}")
    try:
        instantiate = driver.cuGraphInstantiateWithFlags
        _call(instantiate, ctypes.byref(executable), graph, ctypes.c_ulonglong(0))
    finally:
        driver.cuGraphDestroy(graph)
    return CapturedGraph(driver, executable, stream)


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Keep the garbage collector from giving back another session's memory on this thread.

    The driver refuses that during a capture, and the memory would be lost.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _call(function: Callable[..., int], *arguments: object) -> None:
    status = function(*arguments)
    if status:
        raise CannotCapture(f"{getattr(function, '__name__', 'the CUDA driver')} returns {status}")


class CapturedGraph:
    """A graph that is ready for its stream."""

    def __init__(self, driver: ctypes.CDLL, executable: ctypes.c_void_p, stream: int) -> None:
        self.driver, self.executable, self.stream = driver, executable, stream
        self._give_back = finalize(self, driver.cuGraphExecDestroy, executable)

    def launch(self) -> None:
        """Send it to the stream again.

        Raises:
            CannotCapture: the driver refuses it.
        """
        _call(self.driver.cuGraphLaunch, self.executable, ctypes.c_void_p(self.stream))

    def free(self) -> None:
        """Give it back."""
        self._give_back()


class Replaying:
    """Sends the same work to a stream again and again: from the second time on as a CUDA graph.

    The first time it is done as it is, because TensorRT prepares itself for new shapes then, and
    must not be captured meanwhile.
    """

    def __init__(self, cuda: Cuda) -> None:
        self.cuda, self.works = cuda, True
        self.key: Optional[Hashable] = None
        self.graph: Optional[Captured] = None

    def __call__(self, key: Hashable, submit: Submit) -> None:
        """Do ``submit``, or replay it where ``key`` is that of last time: all it depends on."""
        if key != self.key:
            self.forget()
            self.key = key
        elif self.works and self.graph is None:
            self.graph = self._captured(submit)
        if self.graph is None:
            submit()
        else:
            self.graph.launch()

    def forget(self) -> None:
        """Drop the graph: what it works on is about to change."""
        if self.graph:
            self.graph.free()
        self.key = self.graph = None

    def _captured(self, submit: Submit) -> Optional[Captured]:
        try:
            return self.cuda.capture(submit)
        except CannotCapture as reason:
            self.works = False
            warn(f"the engine runs without a CUDA graph, as {reason}", stacklevel=2)
            return None
