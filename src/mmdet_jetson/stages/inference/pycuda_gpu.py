"""CUDA by pycuda, which compiles kernels with nvcc."""

import shutil
from contextlib import contextmanager
from threading import RLock
from typing import Dict, Iterator, List, Protocol, Tuple

import numpy as np

from mmdet_jetson.stages.inference.cuda_api import (
    CannotCapture,
    CannotCompile,
    Captured,
    Kernel,
    Submit,
    no_gpu,
)
from mmdet_jetson.stages.inference.cuda_graph import captured

# Where JetPack puts nvcc without adding it to the PATH.
TOOLKIT = "/usr/local/cuda/bin"
# Where pycuda gives a primary context up, it leaves it on the thread.
_contexts: List[object] = []


class Block(Protocol):
    """As ``pycuda.driver.DeviceAllocation``."""

    def __int__(self) -> int:
        """Give its address."""

    def free(self) -> None:
        """Give it back."""


class PyCuda:
    """By pycuda, in the GPU's primary context, which other libraries of the process share."""

    def __init__(self) -> None:
        from pycuda import driver  # noqa: PLC0415

        self.driver, self.lock = driver, RLock()
        try:
            driver.init()
            device = driver.Device(0)
            self.context = device.retain_primary_context()
        except driver.Error as error:
            raise no_gpu(error) from error
        _contexts.append(self.context)
        self.integrated = bool(device.get_attribute(driver.device_attribute.INTEGRATED))
        with self.active():
            self.queue = driver.Stream()
            self.start, self.stop = driver.Event(), driver.Event()
        self.stream: int = self.queue.handle
        # Memory by its address, and compiled code, which lives as long as this.
        self.blocks: Dict[int, Block] = {}
        self.modules: List[object] = []

    @contextmanager
    def active(self) -> Iterator[None]:
        """Give this thread the GPU's context, and keep other threads out.

        pycuda aborts a process that ends while it still has one.

        Raises:
            StageError: CUDA fails within.
        """
        with self.lock:
            self.context.push()
            try:
                yield
            except self.driver.Error as error:
                raise no_gpu(error) from error
            finally:
                self.context.pop()

    def pinned(self, size: int) -> np.ndarray:
        """Allocate page-locked memory on the host."""
        memory: np.ndarray = self.driver.pagelocked_empty(size, np.uint8)
        return memory

    def allocate(self, size: int) -> int:
        """Allocate bytes on the GPU."""
        block = self.driver.mem_alloc(size)
        self.blocks[int(block)] = block
        return int(block)

    def mapped(self, size: int) -> Tuple[np.ndarray, int]:
        """Allocate page-locked memory that the GPU works on itself."""
        flags = self.driver.host_alloc_flags.DEVICEMAP
        memory: np.ndarray = self.driver.pagelocked_empty(size, np.uint8, mem_flags=flags)
        return memory, int(memory.base.get_device_pointer())  # type: ignore[union-attr]

    def free(self, host: np.ndarray, device: int) -> None:
        """Give back memory.

        What pycuda frees by itself it does not free on another thread than the one it came from.
        """
        host.base.free()  # type: ignore[union-attr]
        block = self.blocks.pop(device, None)
        if block:
            block.free()

    def upload(self, device: int, host: np.ndarray) -> None:
        """Copy to the GPU."""
        self.driver.memcpy_htod_async(device, host, self.queue)

    def download(self, host: np.ndarray, device: int) -> None:
        """Copy from the GPU."""
        self.driver.memcpy_dtoh_async(host, device, self.queue)

    def start_timer(self) -> None:
        """Take the time when the stream gets here."""
        self.start.record(self.queue)

    def stop_timer(self) -> None:
        """Take the time when the stream gets here."""
        self.stop.record(self.queue)

    def synchronize(self) -> None:
        """Wait for the stream."""
        self.queue.synchronize()

    def elapsed_milliseconds(self) -> float:
        """Give the time between start and stop."""
        return float(self.stop.time_since(self.start))

    def compile(self, source: str, name: str, arguments: str) -> Kernel:
        """Compile a kernel with nvcc; pycuda keeps what it compiled for the next time."""
        from pycuda import compiler  # noqa: PLC0415

        nvcc = shutil.which("nvcc") or shutil.which("nvcc", path=TOOLKIT)
        if nvcc is None:
            raise CannotCompile(f"nvcc is neither on the PATH nor in {TOOLKIT}")
        try:
            module = compiler.SourceModule(source, nvcc=nvcc)
        except (OSError, self.driver.Error) as error:
            # nvcc and pycuda write several lines.
            reason = " ".join(str(error).split())
            raise CannotCompile(f"nvcc does not compile: {reason}") from error
        self.modules.append(module)
        function = module.get_function(name).prepare(arguments)

        def launch(grid: Tuple[int, int], block: Tuple[int, int, int], *values: int) -> None:
            function.prepared_async_call(grid, block, self.queue, *values)

        return launch

    def capture(self, submit: Submit) -> Captured:
        """Make a CUDA graph of what goes to the stream."""
        try:
            return captured(self.stream, submit)
        except self.driver.Error as error:
            raise CannotCapture(str(error)) from error
