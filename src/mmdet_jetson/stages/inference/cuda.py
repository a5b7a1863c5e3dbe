"""GPU memory, a stream and a timer, by pycuda or by cuda-python, whichever is installed."""

import atexit
import ctypes
import shutil
from types import BuiltinFunctionType
from typing import Callable, Dict, List, Protocol, SupportsFloat, SupportsInt, Tuple

import numpy as np

from mmdet_jetson.stages.errors import StageError

# Where JetPack puts nvcc without adding it to the PATH.
TOOLKIT = "/usr/local/cuda/bin"

# Called with the grid (x, y), the block (x, y, z) and the arguments, it goes to the stream.
# Arguments are addresses on the GPU and 32-bit integers.
Kernel = Callable[..., None]


class CannotCompile(Exception):
    """A kernel cannot be compiled on this machine; the message is a clause that says why."""


class Cuda(Protocol):
    """What running an engine needs of CUDA; all work goes to one stream."""

    stream: int

    def pinned(self, size: int) -> np.ndarray:
        """Allocate page-locked memory on the host: uint8 [size]."""

    def allocate(self, size: int) -> int:
        """Allocate bytes on the GPU and return their address; they live as long as this object."""

    def free(self, host: np.ndarray, device: int) -> None:
        """Give back what `pinned` and `allocate` gave; nothing may use either any more."""

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


def open_cuda() -> Cuda:
    """Open the first GPU.

    Raises:
        StageError: neither package is installed, or there is no GPU.
    """
    try:
        return PyCuda()
    except ImportError:
        pass
    try:
        return CudaPython()
    except ImportError as error:
        raise StageError(
            "running an engine needs the Python package pycuda or cuda-python, and neither is "
            "installed",
            "pip install pycuda, which needs the CUDA toolkit, or pip install cuda-python",
        ) from error


class PyCuda:
    """By pycuda, in the GPU's primary context, which other libraries of the process share."""

    def __init__(self) -> None:
        from pycuda import driver  # noqa: PLC0415

        driver.init()
        try:
            self.context = driver.Device(0).retain_primary_context()
        except driver.Error as error:
            raise no_gpu(error) from error
        self.context.push()
        # pycuda aborts a process that ends with a context in use.
        atexit.register(self.context.pop)
        self.driver = driver
        self.queue = driver.Stream()
        self.stream: int = self.queue.handle
        self.start, self.stop = driver.Event(), driver.Event()
        # What is freed when nothing refers to it: memory by its address, and compiled code.
        self.blocks: Dict[int, object] = {}
        self.modules: List[object] = []

    def pinned(self, size: int) -> np.ndarray:
        """Allocate page-locked memory on the host."""
        memory: np.ndarray = self.driver.pagelocked_empty(size, np.uint8)
        return memory

    def allocate(self, size: int) -> int:
        """Allocate bytes on the GPU."""
        block = self.driver.mem_alloc(size)
        self.blocks[int(block)] = block
        return int(block)

    def free(self, host: np.ndarray, device: int) -> None:
        """Give back memory; the host's goes with the last array that shows it."""
        del self.blocks[device]

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


class CudaValue(SupportsInt, SupportsFloat, Protocol):
    """What the CUDA runtime returns: a stream, an event, an address, a time or a status."""


class CudaPython:
    """By cuda-python's bindings of the CUDA runtime; the process frees what is not given back."""

    def __init__(self) -> None:
        try:
            from cuda.bindings import runtime  # noqa: PLC0415
        except ImportError:
            from cuda import cudart as runtime  # noqa: PLC0415 - cuda-python before 12.8
        self.runtime = runtime
        self.stream: int = int(self._call(runtime.cudaStreamCreate))
        self.start = self._call(runtime.cudaEventCreate)
        self.stop = self._call(runtime.cudaEventCreate)

    def pinned(self, size: int) -> np.ndarray:
        """Allocate page-locked memory on the host."""
        address = self._call(self.runtime.cudaMallocHost, size)
        block = (ctypes.c_uint8 * size).from_address(int(address))
        return np.ctypeslib.as_array(block)

    def allocate(self, size: int) -> int:
        """Allocate bytes on the GPU."""
        return int(self._call(self.runtime.cudaMalloc, size))

    def free(self, host: np.ndarray, device: int) -> None:
        """Give back memory."""
        self._call(self.runtime.cudaFreeHost, host.ctypes.data)
        self._call(self.runtime.cudaFree, device)

    def upload(self, device: int, host: np.ndarray) -> None:
        """Copy to the GPU."""
        self._copy(device, host.ctypes.data, host.nbytes, "cudaMemcpyHostToDevice")

    def download(self, host: np.ndarray, device: int) -> None:
        """Copy from the GPU."""
        self._copy(host.ctypes.data, device, host.nbytes, "cudaMemcpyDeviceToHost")

    def start_timer(self) -> None:
        """Take the time when the stream gets here."""
        self._call(self.runtime.cudaEventRecord, self.start, self.stream)

    def stop_timer(self) -> None:
        """Take the time when the stream gets here."""
        self._call(self.runtime.cudaEventRecord, self.stop, self.stream)

    def synchronize(self) -> None:
        """Wait for the stream."""
        self._call(self.runtime.cudaStreamSynchronize, self.stream)

    def elapsed_milliseconds(self) -> float:
        """Give the time between start and stop."""
        return float(self._call(self.runtime.cudaEventElapsedTime, self.start, self.stop))

    def compile(self, source: str, name: str, arguments: str) -> Kernel:
        """Refuse: only pycuda compiles here."""
        raise CannotCompile("kernels need the Python package pycuda, and this is cuda-python")

    def _copy(self, to: int, source: int, size: int, kind: str) -> None:
        direction = getattr(self.runtime.cudaMemcpyKind, kind)
        self._call(self.runtime.cudaMemcpyAsync, to, source, size, direction, self.stream)

    def _call(self, function: BuiltinFunctionType, *arguments: object) -> CudaValue:
        """Call the CUDA runtime; it returns a status and perhaps one value."""
        status, *values = function(*arguments)
        if int(status) != 0:
            raise no_gpu(f"{function.__name__}: {status.name}")
        value: CudaValue = values[0] if values else status
        return value


def no_gpu(reason: object) -> StageError:
    """Say that CUDA does not work here."""
    return StageError(
        f"the GPU cannot be used: {reason}",
        "engines run on a device with an NVIDIA GPU and its driver; in a container they need "
        "the nvidia runtime",
    )
