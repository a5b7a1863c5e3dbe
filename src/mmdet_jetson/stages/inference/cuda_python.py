"""CUDA by cuda-python's bindings of the driver; kernels are compiled with NVRTC, without nvcc."""

import ctypes
from contextlib import contextmanager
from threading import RLock
from types import BuiltinFunctionType, ModuleType
from typing import Iterator, Protocol, Set, SupportsFloat, SupportsInt, Tuple

import numpy as np

from mmdet_jetson.stages.inference.cuda_api import CannotCompile, Captured, Kernel, Submit, no_gpu
from mmdet_jetson.stages.inference.cuda_graph import captured

DEVICEMAP = 2  # CU_MEMHOSTALLOC_DEVICEMAP of cuda.h
TYPES = {"P": ctypes.c_void_p, "i": ctypes.c_int}


class CudaValue(SupportsInt, SupportsFloat, Protocol):
    """What CUDA returns: a context, a stream, an event, an address, a time or a status."""


class CudaPython:
    """By cuda-python, in the GPU's primary context, which TensorRT's own CUDA runtime uses, too."""

    def __init__(self) -> None:
        try:
            from cuda.bindings import driver, nvrtc  # noqa: PLC0415
        except ImportError:
            from cuda import cuda as driver  # noqa: PLC0415 - cuda-python before 12.8
            from cuda import nvrtc  # noqa: PLC0415
        self.driver, self.nvrtc, self.lock = driver, nvrtc, RLock()
        try:
            self._call(driver.cuInit, 0)
        except RuntimeError as error:  # the driver's library is not there
            raise no_gpu(error) from error
        device = self._call(driver.cuDeviceGet, 0)
        self.context = self._call(driver.cuDevicePrimaryCtxRetain, device)
        attributes = driver.CUdevice_attribute
        major, minor, integrated = (
            int(self._call(driver.cuDeviceGetAttribute, attribute, device))
            for attribute in (
                attributes.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
                attributes.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
                attributes.CU_DEVICE_ATTRIBUTE_INTEGRATED,
            )
        )
        self.sm, self.integrated = 10 * major + minor, bool(integrated)
        with self.active():
            self.stream: int = int(self._call(driver.cuStreamCreate, 0))
            self.start = self._call(driver.cuEventCreate, 0)
            self.stop = self._call(driver.cuEventCreate, 0)
        self.mapped_hosts: Set[int] = set()

    @contextmanager
    def active(self) -> Iterator[None]:
        """Give this thread the GPU's context, and keep other threads out."""
        with self.lock:
            self._call(self.driver.cuCtxPushCurrent, self.context)
            try:
                yield
            finally:
                self._call(self.driver.cuCtxPopCurrent)

    def pinned(self, size: int) -> np.ndarray:
        """Allocate page-locked memory on the host."""
        return self._host(size, 0)

    def allocate(self, size: int) -> int:
        """Allocate bytes on the GPU."""
        return int(self._call(self.driver.cuMemAlloc, size))

    def mapped(self, size: int) -> Tuple[np.ndarray, int]:
        """Allocate page-locked memory that the GPU works on itself."""
        host = self._host(size, DEVICEMAP)
        self.mapped_hosts.add(host.ctypes.data)
        address = self._call(self.driver.cuMemHostGetDevicePointer, host.ctypes.data, 0)
        return host, int(address)

    def free(self, host: np.ndarray, device: int) -> None:
        """Give back memory."""
        address = host.ctypes.data
        self._call(self.driver.cuMemFreeHost, address)
        if address in self.mapped_hosts:
            self.mapped_hosts.remove(address)
        else:
            self._call(self.driver.cuMemFree, device)

    def upload(self, device: int, host: np.ndarray) -> None:
        """Copy to the GPU."""
        copy = self.driver.cuMemcpyHtoDAsync
        self._call(copy, device, host.ctypes.data, host.nbytes, self.stream)

    def download(self, host: np.ndarray, device: int) -> None:
        """Copy from the GPU."""
        copy = self.driver.cuMemcpyDtoHAsync
        self._call(copy, host.ctypes.data, device, host.nbytes, self.stream)

    def start_timer(self) -> None:
        """Take the time when the stream gets here."""
        self._call(self.driver.cuEventRecord, self.start, self.stream)

    def stop_timer(self) -> None:
        """Take the time when the stream gets here."""
        self._call(self.driver.cuEventRecord, self.stop, self.stream)

    def synchronize(self) -> None:
        """Wait for the stream."""
        self._call(self.driver.cuStreamSynchronize, self.stream)

    def elapsed_milliseconds(self) -> float:
        """Give the time between start and stop."""
        return float(self._call(self.driver.cuEventElapsedTime, self.start, self.stop))

    def compile(self, source: str, name: str, arguments: str) -> Kernel:
        """Compile a kernel with NVRTC."""
        module = self._call(self.driver.cuModuleLoadData, cubin(self.nvrtc, source, self.sm))
        function = self._call(self.driver.cuModuleGetFunction, module, name.encode())

        def launch(grid: Tuple[int, int], block: Tuple[int, int, int], *values: int) -> None:
            held = [TYPES[kind](value) for kind, value in zip(arguments, values)]
            places = (ctypes.c_void_p * len(held))(*map(ctypes.addressof, held))
            given = ctypes.addressof(places)
            start = self.driver.cuLaunchKernel
            self._call(start, function, *grid, 1, *block, 0, self.stream, given, 0)

        return launch

    def capture(self, submit: Submit) -> Captured:
        """Make a CUDA graph of what goes to the stream."""
        return captured(self.stream, submit)

    def _host(self, size: int, flags: int) -> np.ndarray:
        address = self._call(self.driver.cuMemHostAlloc, size, flags)
        block = (ctypes.c_uint8 * size).from_address(int(address))
        return np.ctypeslib.as_array(block)

    def _call(self, function: BuiltinFunctionType, *arguments: object) -> CudaValue:
        """Call the CUDA driver; it returns a status and perhaps one value."""
        status, *values = function(*arguments)
        if int(status) != 0:
            raise no_gpu(f"{function.__name__}: {status.name}")
        value: CudaValue = values[0] if values else status
        return value


def cubin(nvrtc: ModuleType, source: str, sm: int) -> bytes:
    """Compile CUDA C for a compute capability, with the module ``nvrtc`` of cuda-python.

    Raises:
        CannotCompile: NVRTC is not there, or it fails.
    """
    text = f'extern "C" {{\n{source}\n}}\n'.encode()
    try:
        _, program = nvrtc.nvrtcCreateProgram(text, b"kernel.cu", 0, [], [])
        options = [f"--gpu-architecture=sm_{sm}".encode()]
        (status,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
        if int(status) != 0:
            log = bytes(int(nvrtc.nvrtcGetProgramLogSize(program)[1]))
            nvrtc.nvrtcGetProgramLog(program, log)
            reason = " ".join(log.decode(errors="replace").strip("\0").split())
            raise CannotCompile(f"NVRTC does not compile: {reason or status.name}")
        code = bytes(int(nvrtc.nvrtcGetCUBINSize(program)[1]))
        nvrtc.nvrtcGetCUBIN(program, code)
        nvrtc.nvrtcDestroyProgram(program)
    except RuntimeError as error:  # its library is not there
        raise CannotCompile(f"NVRTC cannot be loaded: {' '.join(str(error).split())}") from error
    return code
