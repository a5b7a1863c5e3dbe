"""What running an engine needs of CUDA, whichever package gives it."""

import re
from typing import Callable, ContextManager, Protocol, Tuple

import numpy as np

from mmdet_jetson.contract.nvidia import closed_to_user, how_to_open
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.device import gpu_architecture

# Called with the grid (x, y), the block (x, y, z) and the arguments, it goes to the stream.
# Arguments are addresses on the GPU and 32-bit integers.
Kernel = Callable[..., None]
Submit = Callable[[], None]
# As pycuda and as cuda-python says it.
OUT_OF_MEMORY = re.compile("out.of.memory", re.IGNORECASE)


class CannotCompile(Exception):
    """A kernel cannot be compiled on this machine; the message is a clause that says why."""


class CannotCapture(Exception):
    """Work for the stream cannot become a CUDA graph; the message is a clause that says why."""


class Captured(Protocol):
    """Work that was captured as a CUDA graph."""

    def launch(self) -> None:
        """Send it to the stream again."""

    def free(self) -> None:
        """Give it back."""


class Cuda(Protocol):
    """The first GPU, with one stream that all work goes to.

    Everything but ``active`` is called within ``active``, on whichever thread. ``integrated`` says
    whether the GPU has the host's own memory, as a Jetson's does.
    """

    stream: int
    integrated: bool

    def active(self) -> ContextManager[None]:
        """Give this thread the GPU's context, and keep other threads out of this object.

        CUDA's contexts belong to threads: one that calls an engine need not be the one that opened
        it, and may have a context of another library's.
        """

    def pinned(self, size: int) -> np.ndarray:
        """Allocate page-locked memory on the host: uint8 [size]."""

    def allocate(self, size: int) -> int:
        """Allocate bytes on the GPU and return their address."""

    def mapped(self, size: int) -> Tuple[np.ndarray, int]:
        """Allocate page-locked memory that the GPU works on itself, and give its address there."""

    def free(self, host: np.ndarray, device: int) -> None:
        """Give back what `pinned` and `allocate` gave, or `mapped`; nothing may use it any more."""

    def upload(self, device: int, host: np.ndarray) -> None:
        """Copy to the GPU."""

    def download(self, host: np.ndarray, device: int) -> None:
        """Copy from the GPU."""

    def start_timer(self) -> None:
        """Take the time when the stream gets here."""

    def stop_timer(self) -> None:
        """Take the time when the stream gets here."""

    def synchronize(self) -> None:
        """Wait for the stream."""

    def elapsed_milliseconds(self) -> float:
        """Give the time between the timer's start and stop, after `synchronize`."""

    def compile(self, source: str, name: str, arguments: str) -> Kernel:
        """Compile a kernel in CUDA C.

        ``arguments`` has a letter an argument: P for an address, i for an integer.

        Raises:
            CannotCompile: there is no compiler, or it fails.
        """

    def capture(self, submit: Submit) -> Captured:
        """Make a CUDA graph of what ``submit`` sends to the stream, which is not done meanwhile.

        Raises:
            CannotCapture: something in it cannot be captured.
        """


def no_gpu(reason: object) -> StageError:
    """Say that CUDA does not work here, and name the device files that this user may not open.

    Where the driver answers, those are none that it needs: not every JetPack needs all.
    """
    closed = closed_to_user() if gpu_architecture() is None else ()
    if closed:
        return StageError(
            f"the GPU cannot be used: this user may not open {', '.join(closed)} ({reason})",
            f"{how_to_open(closed)}; a container needs those groups by the host's numbers: "
            "docker run --group-add NUMBER",
        )
    if OUT_OF_MEMORY.search(str(reason)):
        return StageError(
            f"the GPU's memory does not suffice: {reason}",
            "end other programs that use it; a target's largest_picture says how much an engine "
            "takes",
        )
    return StageError(
        f"the GPU cannot be used: {reason}",
        "engines run on a device with an NVIDIA GPU and its driver; in a container they need "
        "the nvidia runtime",
    )
