"""GPU memory by pycuda and by cuda-python, against stand-ins of what each of them offers."""

import ctypes
import shutil
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.cuda import (
    TOOLKIT,
    CannotCompile,
    CudaPython,
    PyCuda,
    open_cuda,
)


class NoGpu(Exception):
    """As pycuda.driver.Error."""


def pycuda(gpus=1):
    """The module ``pycuda`` with its ``driver``, where the GPU's memory is the host's."""
    driver, blocks = ModuleType("pycuda.driver"), {}

    class Block:
        def __init__(self, size):
            self.memory = np.zeros(size, np.uint8)
            blocks[int(self)] = self.memory

        def __int__(self):
            return self.memory.ctypes.data

    def device(number):
        if not gpus:
            raise NoGpu("no CUDA-capable device is detected")
        context = SimpleNamespace(push=lambda: None, pop=lambda: None)
        return SimpleNamespace(retain_primary_context=lambda: context)

    def upload(to, host, stream):
        blocks[to][: host.nbytes] = host.view(np.uint8)

    def download(host, source, stream):
        host.view(np.uint8)[:] = blocks[source][: host.nbytes]

    class Event:
        def record(self, stream):
            self.stream = stream

        def time_since(self, start):
            assert start.stream is self.stream
            return 2.5

    driver.Error, driver.init, driver.Device, driver.mem_alloc = NoGpu, lambda: None, device, Block
    driver.Stream = lambda: SimpleNamespace(handle=7, synchronize=lambda: None)
    driver.Event = Event
    driver.pagelocked_empty = np.empty
    driver.memcpy_htod_async, driver.memcpy_dtoh_async = upload, download
    package, compiler = ModuleType("pycuda"), ModuleType("pycuda.compiler")
    package.driver, package.compiler, compiler.SourceModule = driver, compiler, Module
    return {"pycuda": package, "pycuda.driver": driver, "pycuda.compiler": compiler}


class Module:
    """As pycuda.compiler.SourceModule; its functions remember how they were launched."""

    def __init__(self, source, nvcc):
        if "error" in source:
            raise NoGpu(f"{nvcc} compilation of kernel.cu failed\n[stderr:\nno such type]")
        self.launched = []

    def get_function(self, name):
        function = SimpleNamespace()

        def prepare(arguments):
            assert (name, arguments) == ("blur", "Pi")
            return function

        def prepared_async_call(grid, block, stream, *values):
            self.launched.append((grid, block, stream.handle, values))

        function.prepare, function.prepared_async_call = prepare, prepared_async_call
        return function


class Status(int):
    name = property(lambda self: {0: "cudaSuccess", 100: "cudaErrorNoDevice"}[int(self)])


def cuda_python(gpus=1):
    """The modules ``cuda.bindings.runtime`` and above, where the GPU's memory is the host's."""
    runtime, kept = ModuleType("cuda.bindings.runtime"), []

    def offer(function):
        def call(*arguments):
            return (Status(0), *function(*arguments)) if gpus else (Status(100), None)

        call.__name__ = function.__name__
        setattr(runtime, function.__name__, call)

    def allocate(size):
        kept.append(ctypes.create_string_buffer(size))
        return (ctypes.addressof(kept[-1]),)

    def cudaStreamCreate():  # noqa: N802
        return (7,)

    def cudaEventCreate():  # noqa: N802
        return (SimpleNamespace(),)

    def cudaEventRecord(event, stream):  # noqa: N802
        event.stream = stream
        return ()

    def cudaEventElapsedTime(start, stop):  # noqa: N802
        assert start.stream == stop.stream == 7
        return (2.5,)

    def cudaMemcpyAsync(to, source, size, kind, stream):  # noqa: N802
        assert kind in ("to device", "to host")
        ctypes.memmove(to, source, size)
        return ()

    def cudaMallocHost(size):  # noqa: N802
        return allocate(size)

    def cudaMalloc(size):  # noqa: N802
        return allocate(size)

    def cudaStreamSynchronize(stream):  # noqa: N802
        return ()

    for function in (
        cudaStreamCreate, cudaEventCreate, cudaEventRecord, cudaEventElapsedTime, cudaMemcpyAsync,
        cudaMallocHost, cudaMalloc, cudaStreamSynchronize,
    ):  # fmt: skip
        offer(function)
    runtime.cudaMemcpyKind = SimpleNamespace(
        cudaMemcpyHostToDevice="to device", cudaMemcpyDeviceToHost="to host"
    )
    package, bindings = ModuleType("cuda"), ModuleType("cuda.bindings")
    package.bindings, bindings.runtime = bindings, runtime
    return {"cuda": package, "cuda.bindings": bindings, "cuda.bindings.runtime": runtime}


def old_cuda_python(gpus=1):
    """cuda-python before 12.8: ``cuda.cudart``."""
    package = ModuleType("cuda")
    package.cudart = cuda_python(gpus)["cuda.bindings.runtime"]
    return {"cuda": package, "cuda.cudart": package.cudart}


@pytest.fixture
def installed(monkeypatch):
    def install(modules):
        for name in (
            "pycuda",
            "pycuda.driver",
            "pycuda.compiler",
            "cuda",
            "cuda.bindings",
            "cuda.bindings.runtime",
        ):
            monkeypatch.setitem(sys.modules, name, modules.get(name))
        for name, module in modules.items():
            monkeypatch.setitem(sys.modules, name, module)

    return install


@pytest.mark.parametrize(
    ("modules", "kind"),
    [(pycuda, PyCuda), (cuda_python, CudaPython), (old_cuda_python, CudaPython)],
)
def test_what_goes_to_the_gpu_comes_back(installed, modules, kind):
    installed(modules())

    cuda = open_cuda()
    host, back, device = cuda.pinned(8), cuda.pinned(8), cuda.allocate(8)
    host[:] = np.arange(8)
    cuda.start_timer()
    cuda.upload(device, host)
    cuda.download(back, device)
    cuda.stop_timer()
    cuda.synchronize()

    assert isinstance(cuda, kind)
    assert back.tolist() == list(range(8))
    assert cuda.elapsed_milliseconds() == 2.5
    assert cuda.stream == 7


@pytest.mark.parametrize("modules", [pycuda, cuda_python])
def test_a_machine_without_a_gpu_is_one_sentence(installed, modules):
    installed(modules(gpus=0))

    with pytest.raises(StageError, match=r"the GPU cannot be used: .*(no CUDA|NoDevice)"):
        open_cuda()


def test_without_either_package_the_sentence_names_both(installed):
    installed({})

    with pytest.raises(StageError, match="pycuda or cuda-python"):
        open_cuda()


@pytest.fixture
def nvcc(monkeypatch):
    """Put nvcc into one folder; None is the PATH, as for `shutil.which`."""

    def put(folder):
        monkeypatch.setattr(
            shutil, "which", lambda name, path=None: f"{path}/{name}" if path == folder else None
        )

    return put


@pytest.mark.parametrize("folder", [None, TOOLKIT])
def test_a_kernel_is_launched_on_the_stream(installed, nvcc, folder):
    installed(pycuda())
    nvcc(folder)
    cuda = open_cuda()

    cuda.compile("source", "blur", "Pi")((2, 1), (32, 8, 1), 4711, 5)

    (module,) = cuda.memory
    assert module.launched == [((2, 1), (32, 8, 1), 7, (4711, 5))]


@pytest.mark.parametrize(
    ("modules", "folder", "reason"),
    [
        (cuda_python, None, "this is cuda-python"),
        (pycuda, "elsewhere", f"nvcc is neither on the PATH nor in {TOOLKIT}"),
        (pycuda, None, r"kernel.cu failed \[stderr: no such type\]$"),
    ],
)
def test_why_a_kernel_cannot_be_compiled_is_one_line(installed, nvcc, modules, folder, reason):
    installed(modules())
    nvcc(folder)

    with pytest.raises(CannotCompile, match=reason):
        open_cuda().compile("error", "blur", "Pi")
