"""GPU memory by pycuda and by cuda-python, against stand-ins of what each of them offers."""

import ctypes
import gc
import shutil
import sys
import weakref
from collections.abc import Callable
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
from mmdet_jetson.stages.inference.gpu import GpuSession

Modules = dict[str, ModuleType]
MakeModules = Callable[..., Modules]


class NoGpu(Exception):
    """As pycuda.driver.Error."""


def module(name: str, **content: object) -> ModuleType:
    made = ModuleType(name)
    vars(made).update(content)
    return made


class Block:
    """As pycuda.driver.DeviceAllocation; the GPU's memory is the host's."""

    blocks: dict[int, np.ndarray] = {}  # noqa: RUF012
    living: list["weakref.ref[Block]"] = []  # noqa: RUF012

    def __init__(self, size: int) -> None:
        self.memory = np.zeros(size, np.uint8)
        self.blocks[int(self)] = self.memory
        self.living.append(weakref.ref(self))

    def __int__(self) -> int:
        address: int = self.memory.ctypes.data
        return address


class Event:
    """As pycuda.driver.Event."""

    def record(self, stream: object) -> None:
        self.stream = stream

    def time_since(self, start: "Event") -> float:
        assert start.stream is self.stream
        return 2.5


def upload(to: int, host: np.ndarray, stream: object) -> None:
    Block.blocks[to][: host.nbytes] = host.view(np.uint8)


def download(host: np.ndarray, source: int, stream: object) -> None:
    host.view(np.uint8)[:] = Block.blocks[source][: host.nbytes]


def pycuda(gpus: int = 1) -> Modules:
    """The module ``pycuda`` with its ``driver``."""

    def device(number: int) -> SimpleNamespace:
        if not gpus:
            raise NoGpu("no CUDA-capable device is detected")
        context = SimpleNamespace(push=lambda: None, pop=lambda: None)
        return SimpleNamespace(retain_primary_context=lambda: context)

    driver = module(
        "pycuda.driver",
        Error=NoGpu,
        init=lambda: None,
        Device=device,
        mem_alloc=Block,
        Stream=lambda: SimpleNamespace(handle=7, synchronize=lambda: None),
        Event=Event,
        pagelocked_empty=np.empty,
        memcpy_htod_async=upload,
        memcpy_dtoh_async=download,
    )
    compiler = module("pycuda.compiler", SourceModule=Module)
    package = module("pycuda", driver=driver, compiler=compiler)
    return {"pycuda": package, "pycuda.driver": driver, "pycuda.compiler": compiler}


class Module:
    """As pycuda.compiler.SourceModule; its functions remember how they were launched."""

    def __init__(self, source: str, nvcc: str) -> None:
        if "error" in source:
            raise NoGpu(f"{nvcc} compilation of kernel.cu failed\n[stderr:\nno such type]")
        self.launched: list[tuple[object, ...]] = []

    def get_function(self, name: str) -> SimpleNamespace:
        function = SimpleNamespace()

        def prepare(arguments: str) -> SimpleNamespace:
            assert (name, arguments) == ("blur", "Pi")
            return function

        def prepared_async_call(
            grid: object, block: object, stream: SimpleNamespace, *values: int
        ) -> None:
            self.launched.append((grid, block, stream.handle, values))

        function.prepare, function.prepared_async_call = prepare, prepared_async_call
        return function


class Status(int):
    name = property(lambda self: {0: "cudaSuccess", 100: "cudaErrorNoDevice"}[int(self)])


class Runtime:
    """The functions of ``cuda.bindings.runtime``, without their status."""

    def __init__(self) -> None:
        self.kept: list[ctypes.Array[ctypes.c_char]] = []

    def cudaStreamCreate(self) -> tuple[int]:  # noqa: N802
        return (7,)

    def cudaEventCreate(self) -> tuple[SimpleNamespace]:  # noqa: N802
        return (SimpleNamespace(),)

    def cudaEventRecord(self, event: SimpleNamespace, stream: int) -> tuple[()]:  # noqa: N802
        event.stream = stream
        return ()

    def cudaEventElapsedTime(  # noqa: N802
        self, start: SimpleNamespace, stop: SimpleNamespace
    ) -> tuple[float]:
        assert start.stream == stop.stream == 7
        return (2.5,)

    def cudaMemcpyAsync(  # noqa: N802
        self, to: int, source: int, size: int, kind: str, stream: int
    ) -> tuple[()]:
        assert kind in ("to device", "to host")
        ctypes.memmove(to, source, size)
        return ()

    def cudaMallocHost(self, size: int) -> tuple[int]:  # noqa: N802
        memory = ctypes.create_string_buffer(size)
        self.kept.append(memory)
        return (ctypes.addressof(memory),)

    cudaMalloc = cudaMallocHost  # noqa: N815

    def cudaFree(self, address: int) -> tuple[()]:  # noqa: N802
        (freed,) = (each for each in self.kept if ctypes.addressof(each) == address)
        self.kept.remove(freed)
        return ()

    cudaFreeHost = cudaFree  # noqa: N815

    def cudaStreamSynchronize(self, stream: int) -> tuple[()]:  # noqa: N802
        return ()


def cuda_python(gpus: int = 1) -> Modules:
    """The modules ``cuda.bindings.runtime`` and above."""
    kinds = SimpleNamespace(cudaMemcpyHostToDevice="to device", cudaMemcpyDeviceToHost="to host")
    runtime = module("cuda.bindings.runtime", cudaMemcpyKind=kinds)
    functions = Runtime()
    vars(runtime)["functions"] = functions

    def offer(name: str) -> None:
        function = getattr(functions, name)

        def call(*arguments: object) -> tuple[object, ...]:
            return (Status(0), *function(*arguments)) if gpus else (Status(100), None)

        call.__name__ = name
        setattr(runtime, name, call)

    for name in dir(Runtime):
        if name.startswith("cuda"):
            offer(name)
    bindings = module("cuda.bindings", runtime=runtime)
    package = module("cuda", bindings=bindings)
    return {"cuda": package, "cuda.bindings": bindings, "cuda.bindings.runtime": runtime}


def old_cuda_python(gpus: int = 1) -> Modules:
    """cuda-python before 12.8: ``cuda.cudart``."""
    cudart = cuda_python(gpus)["cuda.bindings.runtime"]
    return {"cuda": module("cuda", cudart=cudart), "cuda.cudart": cudart}


Install = Callable[[Modules], None]
NAMES = (
    "pycuda",
    "pycuda.driver",
    "pycuda.compiler",
    "cuda",
    "cuda.bindings",
    "cuda.bindings.runtime",
)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Install:
    def install(modules: Modules) -> None:
        for name in NAMES:
            monkeypatch.setitem(sys.modules, name, modules.get(name))
        for name, content in modules.items():
            monkeypatch.setitem(sys.modules, name, content)

    return install


@pytest.mark.parametrize(
    ("modules", "kind"),
    [(pycuda, PyCuda), (cuda_python, CudaPython), (old_cuda_python, CudaPython)],
)
def test_what_goes_to_the_gpu_comes_back(
    installed: Install, modules: MakeModules, kind: type
) -> None:
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


class TwoSizes:
    """The tensors of an engine, as far as a session's buffers need them."""

    inputs, outputs = ["picture"], ["found"]
    size = 0

    def dtype(self, name: str) -> "np.dtype[np.generic]":
        return np.dtype(np.uint8)

    def set_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.size = shape[0]
        return True

    def shape(self, name: str) -> tuple[int, ...]:
        return (2 * self.size,)

    def execute(self, addresses: object, stream: int) -> bool:
        return True


def held_by_pycuda(cuda: PyCuda) -> int:
    gc.collect()
    return sum(each() is not None for each in Block.living)


def held_by_cuda_python(cuda: CudaPython) -> int:
    return len(cuda.runtime.functions.kept)


@pytest.mark.parametrize(
    ("modules", "held", "per_buffer"),
    [(pycuda, held_by_pycuda, 1), (cuda_python, held_by_cuda_python, 2)],
)
def test_a_session_gives_back_the_memory_that_it_outgrew(
    installed: Install, modules: MakeModules, held: Callable[[object], int], per_buffer: int
) -> None:
    Block.living.clear()
    installed(modules())
    cuda = open_cuda()
    session = GpuSession(TwoSizes(), cuda)
    for size in (1, 5, 30, 7, 200):
        session(np.zeros(size, np.uint8))
        assert held(cuda) == 2 * per_buffer


@pytest.mark.parametrize("modules", [pycuda, cuda_python])
def test_a_machine_without_a_gpu_is_one_sentence(installed: Install, modules: MakeModules) -> None:
    installed(modules(gpus=0))

    with pytest.raises(StageError, match=r"the GPU cannot be used: .*(no CUDA|NoDevice)"):
        open_cuda()


def test_without_either_package_the_sentence_names_both(installed: Install) -> None:
    installed({})

    with pytest.raises(StageError, match="pycuda or cuda-python"):
        open_cuda()


@pytest.fixture
def nvcc(monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], None]:
    """Put nvcc into one folder; None is the PATH, as for `shutil.which`."""

    def put(folder: str | None) -> None:
        monkeypatch.setattr(
            shutil, "which", lambda name, path=None: f"{path}/{name}" if path == folder else None
        )

    return put


@pytest.mark.parametrize("folder", [None, TOOLKIT])
def test_a_kernel_is_launched_on_the_stream(
    installed: Install, nvcc: Callable[[str | None], None], folder: str | None
) -> None:
    installed(pycuda())
    nvcc(folder)
    cuda = open_cuda()
    assert isinstance(cuda, PyCuda)

    cuda.compile("source", "blur", "Pi")((2, 1), (32, 8, 1), 4711, 5)

    (compiled,) = cuda.modules
    assert isinstance(compiled, Module)
    assert compiled.launched == [((2, 1), (32, 8, 1), 7, (4711, 5))]


@pytest.mark.parametrize(
    ("modules", "folder", "reason"),
    [
        (cuda_python, None, "this is cuda-python"),
        (pycuda, "elsewhere", f"nvcc is neither on the PATH nor in {TOOLKIT}"),
        (pycuda, None, r"kernel.cu failed \[stderr: no such type\]$"),
    ],
)
def test_why_a_kernel_cannot_be_compiled_is_one_line(
    installed: Install,
    nvcc: Callable[[str | None], None],
    modules: MakeModules,
    folder: str | None,
    reason: str,
) -> None:
    installed(modules())
    nvcc(folder)

    with pytest.raises(CannotCompile, match=reason):
        open_cuda().compile("error", "blur", "Pi")
