"""Stand-ins for pycuda and cuda-python, whose GPU's memory is the host's.

Each insists that the thread that calls has pushed the GPU's context.
"""

import ctypes
from collections.abc import Callable
from threading import get_ident
from types import ModuleType, SimpleNamespace

import numpy as np

Modules = dict[str, ModuleType]


class NoGpu(Exception):
    """As pycuda.driver.Error."""


def module(name: str, **content: object) -> ModuleType:
    made = ModuleType(name)
    vars(made).update(content)
    return made


class Block:
    """As pycuda.driver.DeviceAllocation; the GPU's memory is the host's."""

    blocks: dict[int, np.ndarray] = {}  # noqa: RUF012

    def __init__(self, size: int) -> None:
        self.memory = np.zeros(size, np.uint8)
        self.blocks[int(self)] = self.memory

    def __int__(self) -> int:
        address: int = self.memory.ctypes.data
        return address

    def free(self) -> None:
        del self.blocks[int(self)]


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


class Context:
    """As pycuda's primary context: it belongs to the threads that pushed it."""

    def __init__(self) -> None:
        self.pushed: list[int] = []

    def push(self) -> None:
        self.pushed.append(get_ident())

    def pop(self) -> None:
        assert self.pushed.pop() == get_ident()


def pycuda(gpus: int = 1, refuses: str = "Device") -> Modules:
    """The module ``pycuda`` with its ``driver``; without a GPU one of its functions refuses."""
    context = Context()

    def device(number: int) -> SimpleNamespace:
        refuse("Device")
        return SimpleNamespace(
            retain_primary_context=lambda: context,
            get_attribute=lambda attribute: {"integrated": 1}[attribute],
        )

    def refuse(function: str) -> None:
        if not gpus and refuses == function:
            raise NoGpu("no CUDA-capable device is detected")

    def within(function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **more: object) -> object:
            assert get_ident() in context.pushed, "no context on this thread"
            return function(*arguments, **more)

        return call

    driver = module(
        "pycuda.driver",
        Error=NoGpu,
        init=lambda: refuse("init"),
        Device=device,
        device_attribute=SimpleNamespace(INTEGRATED="integrated"),
        host_alloc_flags=SimpleNamespace(DEVICEMAP=2),
        mem_alloc=within(Block),
        Stream=within(lambda: SimpleNamespace(handle=7, synchronize=within(lambda: None))),
        Event=within(Event),
        pagelocked_empty=within(pagelocked),
        memcpy_htod_async=within(upload),
        memcpy_dtoh_async=within(download),
    )
    vars(driver)["context"] = context
    compiler = module("pycuda.compiler", SourceModule=Module)
    package = module("pycuda", driver=driver, compiler=compiler)
    return {"pycuda": package, "pycuda.driver": driver, "pycuda.compiler": compiler}


class Pagelocked:
    """As pycuda.driver.PagelockedHostAllocation, which its arrays stand on."""

    def __init__(self, size: int) -> None:
        self.memory = np.zeros(size, np.uint8)
        self.__array_interface__ = self.memory.__array_interface__
        Pagelocked.living += 1

    living = 0

    def get_device_pointer(self) -> int:
        address: int = self.memory.ctypes.data
        return address

    def free(self) -> None:
        Pagelocked.living -= 1


def pagelocked(size: int, dtype: type, mem_flags: int = 0) -> np.ndarray:
    assert dtype is np.uint8
    return np.asarray(Pagelocked(size))


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


NAMES = {0: "CUDA_SUCCESS", 2: "CUDA_ERROR_OUT_OF_MEMORY", 100: "CUDA_ERROR_NO_DEVICE"}


class Status(int):
    name = property(lambda self: NAMES[int(self)])


def exhaust(modules: Modules) -> None:
    """Let there be no more memory on the GPU."""

    def refuse(size: int) -> object:
        raise NoGpu("cuMemAlloc failed: out of memory")

    def no_memory(size: int) -> tuple[Status, None]:
        return Status(2), None

    no_memory.__name__ = "cuMemAlloc"
    if "pycuda.driver" in modules:
        vars(modules["pycuda.driver"])["mem_alloc"] = refuse
    else:
        vars(modules["cuda.bindings.driver"])["cuMemAlloc"] = no_memory


class Functions:
    """Those of ``cuda.bindings.driver``, without their status; the GPU's memory is the host's."""

    def __init__(self) -> None:
        self.kept: list[ctypes.Array[ctypes.c_char]] = []
        self.contexts: list[int] = []
        self.launched: list[tuple[object, ...]] = []

    def cuInit(self, flags: int) -> None: ...  # noqa: N802

    def cuDeviceGet(self, ordinal: int) -> int:  # noqa: N802
        return 0

    def cuDevicePrimaryCtxRetain(self, device: int) -> str:  # noqa: N802
        return "context"

    def cuDeviceGetAttribute(self, attribute: int, device: int) -> int:  # noqa: N802
        return attribute

    def cuCtxPushCurrent(self, context: str) -> None:  # noqa: N802
        self.contexts.append(get_ident())

    def cuCtxPopCurrent(self) -> str:  # noqa: N802
        assert self.contexts.pop() == get_ident()
        return "context"

    def cuStreamCreate(self, flags: int) -> int:  # noqa: N802
        return 7

    def cuEventCreate(self, flags: int) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace()

    def cuEventRecord(self, event: SimpleNamespace, stream: int) -> None:  # noqa: N802
        event.stream = stream

    def cuEventElapsedTime(self, start: SimpleNamespace, stop: SimpleNamespace) -> float:  # noqa: N802
        assert start.stream == stop.stream == 7
        return 2.5

    def cuMemcpyHtoDAsync(self, to: int, source: int, size: int, stream: int) -> None:  # noqa: N802
        ctypes.memmove(to, source, size)

    cuMemcpyDtoHAsync = cuMemcpyHtoDAsync  # noqa: N815

    def cuMemAlloc(self, size: int) -> int:  # noqa: N802
        memory = ctypes.create_string_buffer(size)
        self.kept.append(memory)
        return ctypes.addressof(memory)

    def cuMemHostAlloc(self, size: int, flags: int) -> int:  # noqa: N802
        return self.cuMemAlloc(size)

    def cuMemHostGetDevicePointer(self, address: int, flags: int) -> int:  # noqa: N802
        return address

    def cuMemFree(self, address: int) -> None:  # noqa: N802
        (freed,) = (each for each in self.kept if ctypes.addressof(each) == address)
        self.kept.remove(freed)

    cuMemFreeHost = cuMemFree  # noqa: N815

    def cuStreamSynchronize(self, stream: int) -> None: ...  # noqa: N802

    def cuModuleLoadData(self, code: bytes) -> bytes:  # noqa: N802
        return code

    def cuModuleGetFunction(self, loaded: bytes, name: bytes) -> bytes:  # noqa: N802
        assert name == b"blur"
        return loaded

    def cuLaunchKernel(self, function: bytes, *how: int) -> None:  # noqa: N802
        grid, block, stream, values = how[:3], how[3:6], how[7], how[8]
        places = (ctypes.c_void_p * 2).from_address(values)
        address = ctypes.c_void_p.from_address(int(places[0] or 0)).value
        number = ctypes.c_int.from_address(int(places[1] or 0)).value
        self.launched.append((function, grid, block, stream, (address, number)))


# What needs no context.
ANYWHERE = {"cuInit", "cuDeviceGet", "cuDevicePrimaryCtxRetain", "cuDeviceGetAttribute"}
ANYWHERE |= {"cuCtxPushCurrent", "cuCtxPopCurrent"}


class Nvrtc:
    """As ``cuda.bindings.nvrtc``."""

    def nvrtcCreateProgram(self, text: bytes, *_: object) -> tuple[Status, bytes]:  # noqa: N802
        assert text.startswith(b'extern "C" {')
        return Status(0), text

    def nvrtcCompileProgram(self, text: bytes, count: int, options: list[bytes]) -> tuple[Status]:  # noqa: N802
        assert options == [b"--gpu-architecture=sm_87"]
        return (Status(100 if b"error" in text else 0),)

    def nvrtcGetProgramLogSize(self, text: bytes) -> tuple[Status, int]:  # noqa: N802
        return Status(0), 64

    def nvrtcGetProgramLog(self, text: bytes, log: bytes) -> None:  # noqa: N802
        overwrite(log, b"kernel.cu(2): error:\nno such type")

    def nvrtcGetCUBINSize(self, text: bytes) -> tuple[Status, int]:  # noqa: N802
        return Status(0), 5

    def nvrtcGetCUBIN(self, text: bytes, code: bytes) -> None:  # noqa: N802
        overwrite(code, b"cubin")

    def nvrtcDestroyProgram(self, text: bytes) -> None: ...  # noqa: N802


def overwrite(there: bytes, values: bytes) -> None:
    """What CUDA's functions do with bytes that they are given."""
    place = ctypes.cast(ctypes.c_char_p(there), ctypes.c_void_p).value
    assert place
    ctypes.memmove(place, values, min(len(there), len(values)))


ATTRIBUTES = SimpleNamespace(
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR=8,
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR=7,
    CU_DEVICE_ATTRIBUTE_INTEGRATED=1,
)


def cuda_python(gpus: int = 1) -> Modules:
    """The modules ``cuda.bindings.driver`` and ``nvrtc``, and above."""
    driver = module("cuda.bindings.driver", CUdevice_attribute=ATTRIBUTES)
    functions = Functions()
    vars(driver)["functions"] = functions

    def offer(name: str) -> None:
        function = getattr(functions, name)

        def call(*arguments: object) -> tuple[object, ...]:
            if not gpus:
                return Status(100), None
            assert name in ANYWHERE or get_ident() in functions.contexts, "no context here"
            found = function(*arguments)
            return (Status(0),) if found is None else (Status(0), found)

        call.__name__ = name
        setattr(driver, name, call)

    for name in dir(Functions):
        if name.startswith("cu"):
            offer(name)
    nvrtc = module("cuda.bindings.nvrtc")
    for name in dir(Nvrtc):
        if name.startswith("nvrtc"):
            setattr(nvrtc, name, getattr(Nvrtc(), name))
    bindings = module("cuda.bindings", driver=driver, nvrtc=nvrtc)
    package = module("cuda", bindings=bindings)
    return {"cuda": package, "cuda.bindings": bindings, "cuda.bindings.driver": driver}


def old_cuda_python(gpus: int = 1) -> Modules:
    """cuda-python before 12.8: ``cuda.cuda`` and ``cuda.nvrtc``."""
    bindings = cuda_python(gpus)["cuda.bindings"]
    driver, nvrtc = vars(bindings)["driver"], vars(bindings)["nvrtc"]
    return {"cuda": module("cuda", cuda=driver, nvrtc=nvrtc), "cuda.cuda": driver}
