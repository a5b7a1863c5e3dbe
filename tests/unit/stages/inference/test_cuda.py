"""GPU memory by pycuda and by cuda-python, against stand-ins of what each of them offers."""

import ctypes
import gc
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from cuda_packages import (
    Block,
    Module,
    Modules,
    Pagelocked,
    cuda_python,
    exhaust,
    old_cuda_python,
    pycuda,
)

from mmdet_jetson.contract import nvidia
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference import cuda, cuda_api
from mmdet_jetson.stages.inference.cuda import open_cuda
from mmdet_jetson.stages.inference.cuda_api import CannotCompile, Cuda
from mmdet_jetson.stages.inference.cuda_python import CudaPython
from mmdet_jetson.stages.inference.gpu import GpuSession
from mmdet_jetson.stages.inference.pycuda_gpu import TOOLKIT, PyCuda

MakeModules = Callable[..., Modules]


Install = Callable[[Modules], None]
NAMES = (
    "pycuda",
    "pycuda.driver",
    "pycuda.compiler",
    "cuda",
    "cuda.bindings",
    "cuda.bindings.driver",
    "cuda.cuda",
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
    with cuda.active():
        host, back, device = cuda.pinned(8), cuda.pinned(8), cuda.allocate(8)
        host[:] = np.arange(8)
        cuda.start_timer()
        cuda.upload(device, host)
        cuda.download(back, device)
        cuda.stop_timer()
        cuda.synchronize()
        took = cuda.elapsed_milliseconds()

    assert isinstance(cuda, kind)
    assert back.tolist() == list(range(8))
    assert took == 2.5
    assert cuda.stream == 7
    assert cuda.integrated


@pytest.mark.parametrize("modules", [pycuda, cuda_python])
@pytest.mark.parametrize("mapped", [False, True])
def test_any_thread_may_call_what_another_one_opened(
    installed: Install, modules: MakeModules, mapped: bool
) -> None:
    """The stand-ins refuse a thread without the context; one that has ended holds none."""
    installed(modules())
    opened: list[GpuSession] = []
    found: list[list[int]] = []

    def in_thread(work: Callable[[], object]) -> None:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    def call(size: int) -> None:
        found.append(opened[0](np.arange(size, dtype=np.uint8))[0].tolist())

    in_thread(lambda: opened.append(session(TwoSizes(), mapped=mapped)))
    in_thread(lambda: call(3))
    in_thread(lambda: call(5))

    assert found == [[1, 2, 3], [1, 2, 3, 4, 5]]


@pytest.mark.parametrize("modules", [pycuda, cuda_python])
def test_no_context_stays_on_a_thread(installed: Install, modules: MakeModules) -> None:
    """pycuda aborts a process that ends with one."""
    made = modules()
    installed(made)

    session(TwoSizes())(np.zeros(3, np.uint8))

    assert contexts_of(made) == []


def test_calls_wait_for_each_other(installed: Install) -> None:
    """Two pictures at the same time would share the buffers."""
    installed(pycuda())
    slow, shared = TwoSizes(pause=0.02), []
    running = session(slow)

    def work(value: int) -> None:
        (found,) = running(np.full(4, value, np.uint8))
        shared.append(found.tolist() == [value + 1] * 4)

    threads = [threading.Thread(target=work, args=(value,)) for value in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert shared == [True] * 8


class TwoSizes:
    """An engine that adds one to each value of a picture of any size."""

    inputs, outputs = ["picture"], ["found"]
    size = 0

    def __init__(self, pause: float = 0) -> None:
        self.pause = pause

    def dtype(self, name: str) -> "np.dtype[np.generic]":
        return np.dtype(np.uint8)

    def set_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.size = shape[0]
        return True

    def shape(self, name: str) -> tuple[int, ...]:
        return (self.size,)

    def execute(self, addresses: Mapping[str, int], stream: int) -> bool:
        picture, found = (
            np.ctypeslib.as_array((ctypes.c_uint8 * self.size).from_address(addresses[name]))
            for name in ("picture", "found")
        )
        time.sleep(self.pause)
        found[:] = picture + 1
        return True


def contexts_of(modules: Modules) -> list[int]:
    """The threads that the stand-in's context is on."""
    if "pycuda.driver" in modules:
        pushed: list[int] = vars(modules["pycuda.driver"])["context"].pushed
        return pushed
    contexts: list[int] = vars(modules["cuda.bindings.driver"])["functions"].contexts
    return contexts


def session(tensors: TwoSizes, mapped: bool = False) -> GpuSession:
    return GpuSession(tensors, open_cuda(), tensors.inputs, tensors.outputs, mapped=mapped)


def held_by_pycuda(cuda: Cuda) -> int:
    return len(Block.blocks) + Pagelocked.living


def held_by_cuda_python(cuda: Cuda) -> int:
    assert isinstance(cuda, CudaPython)
    return len(vars(cuda.driver)["functions"].kept)


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize(
    ("modules", "held"), [(pycuda, held_by_pycuda), (cuda_python, held_by_cuda_python)]
)
def test_a_session_gives_back_the_memory_that_it_outgrew_and_all_of_it_in_the_end(
    installed: Install, modules: MakeModules, held: Callable[[Cuda], int], mapped: bool
) -> None:
    gc.collect()  # sessions of other tests
    installed(modules())
    running = session(TwoSizes(), mapped=mapped)
    cuda = running.cuda
    before = held(cuda)
    for size in (1, 5, 30, 7, 200):
        running(np.zeros(size, np.uint8))
        assert held(cuda) - before == (2 if mapped else 4)

    del running
    gc.collect()

    assert held(cuda) == before


def without_gpu_from_the_start() -> Modules:
    return pycuda(gpus=0, refuses="init")


@pytest.mark.parametrize("modules", [pycuda, without_gpu_from_the_start, cuda_python])
def test_a_machine_without_a_gpu_is_one_sentence(installed: Install, modules: MakeModules) -> None:
    installed(modules() if modules is without_gpu_from_the_start else modules(gpus=0))

    with pytest.raises(StageError, match=r"the GPU cannot be used: .*(no CUDA|NO_DEVICE)"):
        open_cuda()


@pytest.mark.parametrize("modules", [pycuda, cuda_python])
def test_a_user_who_may_not_open_the_gpu_hears_of_the_groups(
    installed: Install, modules: MakeModules, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(modules(gpus=0))
    monkeypatch.setattr(cuda_api, "closed_to_user", lambda: ("/dev/nvmap", "/dev/dri/renderD128"))
    monkeypatch.setattr(cuda_api, "gpu_architecture", lambda: None)
    monkeypatch.setattr(nvidia, "groups_of", lambda paths: ("video", "render"))

    with pytest.raises(StageError, match="may not open /dev/nvmap, /dev/dri/renderD128") as caught:
        open_cuda()

    assert "usermod -aG video,render" in caught.value.hint
    assert "--group-add" in caught.value.hint


@pytest.mark.parametrize("modules", [pycuda, cuda_python])
def test_too_little_memory_is_one_sentence(
    installed: Install, modules: MakeModules, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a device file is closed that this JetPack does without."""
    monkeypatch.setattr(cuda_api, "closed_to_user", lambda: ("/dev/dri/renderD128",))
    monkeypatch.setattr(cuda_api, "gpu_architecture", lambda: 87)
    made = modules()
    installed(made)
    running = session(TwoSizes())
    exhaust(made)

    with pytest.raises(StageError, match=r"memory does not suffice: .*(?i:out.of.memory)"):
        running(np.zeros(5, np.uint8))

    assert contexts_of(made) == []


def test_cuda_python_without_the_drivers_library_is_one_sentence(installed: Install) -> None:
    made = cuda_python()
    installed(made)

    def missing(flags: int) -> None:
        raise RuntimeError("libcuda.so.1 is not there")

    vars(made["cuda.bindings.driver"])["cuInit"] = missing

    with pytest.raises(StageError, match=r"the GPU cannot be used: libcuda\.so\.1 is not there"):
        open_cuda()


def test_without_either_package_the_sentence_says_what_each_import_said(
    installed: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed({})
    reason = "libcuda.so.1: cannot open shared object file"

    def broken() -> None:
        raise ImportError(reason)

    monkeypatch.setattr(cuda, "PyCuda", broken)

    with pytest.raises(StageError, match="pycuda or cuda-python") as caught:
        open_cuda()

    assert reason in caught.value.message
    assert "cuda" in caught.value.message.partition(reason)[2]


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

    with cuda.active():
        cuda.compile("source", "blur", "Pi")((2, 1), (32, 8, 1), 4711, 5)

    (compiled,) = cuda.modules
    assert isinstance(compiled, Module)
    assert compiled.launched == [((2, 1), (32, 8, 1), 7, (4711, 5))]


def test_cuda_python_compiles_and_launches_without_nvcc(
    installed: Install, nvcc: Callable[[str | None], None]
) -> None:
    installed(cuda_python())
    nvcc("elsewhere")
    cuda = open_cuda()
    assert isinstance(cuda, CudaPython)

    with cuda.active():
        cuda.compile("source", "blur", "Pi")((2, 1), (32, 8, 1), 4711, 5)

    launched = vars(cuda.driver)["functions"].launched
    assert launched == [(b"cubin", (2, 1, 1), (32, 8, 1), 7, (4711, 5))]


@pytest.mark.parametrize(
    ("modules", "folder", "reason"),
    [
        (cuda_python, None, r"NVRTC does not compile: kernel\.cu\(2\): error: no such type$"),
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

    cuda = open_cuda()
    with cuda.active(), pytest.raises(CannotCompile, match=reason):
        cuda.compile("error", "blur", "Pi")
