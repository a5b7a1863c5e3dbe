"""Page-locked memory, copies, events and kernels on a real GPU, by either package."""

import ctypes
import gc
import threading
import time
from typing import List, Optional

import numpy as np
import pytest
from on_gpu import DEVICE, HOST, Program, driver, kind_of_memory

from mmdet_jetson.stages.inference.buffers import Buffer
from mmdet_jetson.stages.inference.cuda import open_cuda
from mmdet_jetson.stages.inference.cuda_api import CannotCapture, CannotCompile, Cuda, Kernel

MIB = 1 << 20


def free_memory() -> int:
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    with driver() as library:
        assert library.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)) == 0
    return free.value


def test_memory_is_where_it_is_said_to_be(cuda: Cuda) -> None:
    host, device = cuda.pinned(MIB), cuda.allocate(MIB)

    assert kind_of_memory(np.zeros(MIB, np.uint8).ctypes.data) == 0
    assert kind_of_memory(host.ctypes.data) == HOST
    assert kind_of_memory(device) == DEVICE
    assert (host.dtype, host.shape) == (np.dtype(np.uint8), (MIB,))


@pytest.mark.parametrize("size", [1, 3, 4096, 4097, 640 * 640 * 3, 64 * MIB])
def test_what_goes_there_comes_back(cuda: Cuda, size: int) -> None:
    host, back, device = cuda.pinned(size), cuda.pinned(size), cuda.allocate(size)
    host[:] = np.random.default_rng(size).integers(0, 256, size, np.uint8)
    back[:] = ~host

    cuda.upload(device, host)
    cuda.download(back, device)
    cuda.synchronize()

    assert np.array_equal(back, host)


def test_shapes_and_types_of_a_buffer_come_back(cuda: Cuda) -> None:
    buffer = Buffer(cuda)
    for dtype in (np.uint8, np.float16, np.float32, np.int32, np.int64):
        values = np.arange(24).reshape(2, 3, 4).astype(dtype)
        buffer.shaped(values.shape, values.dtype).fill(values).upload()
        cuda.synchronize()
        buffer.host[...] = 0
        cuda.download(buffer.host, buffer.device)
        cuda.synchronize()
        assert np.array_equal(buffer.host, values)


def test_events_tell_what_the_copy_between_them_took(cuda: Cuda) -> None:
    host, device = cuda.pinned(256 * MIB), cuda.allocate(256 * MIB)

    began = time.perf_counter()
    cuda.start_timer()
    cuda.upload(device, host)
    cuda.stop_timer()
    cuda.synchronize()
    around = (time.perf_counter() - began) * 1000

    assert 0 < cuda.elapsed_milliseconds() <= around


def test_memory_that_is_given_back_is_free_again(cuda: Cuda) -> None:
    before = free_memory()
    host, device = cuda.pinned(512 * MIB), cuda.allocate(512 * MIB)
    assert before - free_memory() >= 500 * MIB

    cuda.free(host, device)

    assert before - free_memory() < 64 * MIB


def test_a_buffer_that_grows_keeps_nothing_that_it_outgrew(cuda: Cuda) -> None:
    buffer = Buffer(cuda)
    before = free_memory()
    for size in (64, 128, 256, 512):
        values = np.zeros(size * MIB, np.uint8)
        buffer.shaped(values.shape, values.dtype).fill(values).upload()
    cuda.synchronize()

    assert before - free_memory() < (512 + 64) * MIB


def test_mapped_memory_is_the_same_on_both_sides(cuda: Cuda) -> None:
    buffer = Buffer(cuda, mapped=True)
    values = np.arange(1000, dtype=np.int32)
    buffer.shaped(values.shape, values.dtype).fill(values).upload()
    assert kind_of_memory(buffer.device) == HOST
    add = kernel_of(cuda)

    add((8, 1), (128, 1, 1), buffer.device, 1000, 7)
    buffer.download()
    cuda.synchronize()

    assert np.array_equal(buffer.host, values + 7)


def test_mapped_memory_is_given_back(cuda: Cuda) -> None:
    buffer = Buffer(cuda, mapped=True)
    for size in (1, 2, 4):
        buffer.shaped((size * MIB,), np.dtype(np.uint8))
        outgrown = buffer.memory.ctypes.data
        assert kind_of_memory(outgrown) == HOST
        buffer.shaped((8 * size * MIB,), np.dtype(np.uint8))
        # What was given back may lie where the larger one was put.
        assert buffer.memory.ctypes.data == outgrown or kind_of_memory(outgrown) != HOST


ADD = """
__global__ void add(int *values, int count, int more)
{
  const int place = blockIdx.x * blockDim.x + threadIdx.x;
  if (place < count) values[place] += more;
}
"""


def kernel_of(cuda: Cuda) -> Kernel:
    try:
        return cuda.compile(ADD, "add", "Pii")
    except CannotCompile as error:
        pytest.skip(f"{type(cuda).__name__}: {error}")


def test_a_kernel_runs_between_the_copies(cuda: Cuda) -> None:
    buffer = Buffer(cuda)
    values = np.arange(1000, dtype=np.int32)
    buffer.shaped(values.shape, values.dtype).fill(values).upload()

    kernel_of(cuda)((8, 1), (128, 1, 1), buffer.device, 1000, 7)
    buffer.download()
    cuda.synchronize()

    assert np.array_equal(buffer.host, values + 7)


def test_a_cuda_graph_does_the_same_again_and_nothing_while_it_is_captured(cuda: Cuda) -> None:
    buffer, add = Buffer(cuda), kernel_of(cuda)
    values = np.arange(1000, dtype=np.int32)
    buffer.shaped(values.shape, values.dtype).fill(values)

    def submit() -> None:
        buffer.upload()
        add((8, 1), (128, 1, 1), buffer.device, 1000, 7)
        buffer.download()

    submit()  # as a session does: nothing is loaded for the first time while it is captured
    cuda.synchronize()
    graph = cuda.capture(submit)
    cuda.synchronize()
    assert np.array_equal(buffer.host, values + 7)
    for _ in range(3):
        graph.launch()
    cuda.synchronize()
    graph.free()

    assert np.array_equal(buffer.host, values + 28)


def test_what_nobody_refers_to_is_given_back_after_a_capture_and_not_in_it(cuda: Cuda) -> None:
    """The driver refuses to free anything during it, on the thread that captures."""
    add = kernel_of(cuda)
    ran: List[List[int]] = []
    shared = Buffer(cuda)
    shared.shaped((1000,), np.dtype(np.int32)).upload()
    before = free_memory()
    another = type(cuda)()
    with another.active():
        dropped = Buffer(another)
        dropped.shaped((512 * MIB,), np.dtype(np.uint8))
    circle: List[object] = [dropped]
    circle.append(circle)  # only the garbage collector finds it
    del dropped, circle

    def submit() -> None:
        add((8, 1), (128, 1, 1), shared.device, 1000, 7)
        ran.extend([] for _ in range(100_000))  # enough for the collector to look again

    cuda.capture(submit).free()
    gc.collect()
    assert before - free_memory() < 64 * MIB


def test_what_cannot_be_captured_leaves_the_stream_usable(cuda: Cuda) -> None:
    buffer = Buffer(cuda)
    values = np.arange(1000, dtype=np.int32)
    buffer.shaped(values.shape, values.dtype).fill(values)

    with pytest.raises(CannotCapture):
        cuda.capture(cuda.synchronize)

    buffer.upload()
    buffer.host[...] = 0
    buffer.download()
    cuda.synchronize()
    assert np.array_equal(buffer.host, values)


def test_what_does_not_compile_is_a_sentence(cuda: Cuda) -> None:
    with pytest.raises(CannotCompile) as refused:
        cuda.compile("__global__ void add(no_such_type *values) {}", "add", "P")

    assert "\n" not in str(refused.value)


def test_threads_share_it_one_after_the_other(idle_cuda: Cuda) -> None:
    """As a server's workers do: each thread copies its own values through its own buffer."""
    wrong: List[str] = []

    def work(number: int) -> None:
        try:
            with idle_cuda.active():
                buffer = Buffer(idle_cuda)
                values = np.full(MIB, number, np.uint8)
                buffer.shaped(values.shape, values.dtype).fill(values).upload()
                idle_cuda.synchronize()
                buffer.host[...] = 0
                buffer.download()
                idle_cuda.synchronize()
                if not np.array_equal(buffer.host, values):
                    wrong.append(f"thread {number} read something else")
        except Exception as error:
            wrong.append(f"thread {number}: {error!r}")

    for number in range(1, 4):
        thread = threading.Thread(target=work, args=(number,))
        thread.start()
        thread.join()

    assert wrong == []


def test_a_call_leaves_the_context_of_its_thread_as_it_was(idle_cuda: Cuda) -> None:
    found: List[Optional[int]] = []

    def current() -> Optional[int]:
        context = ctypes.c_void_p()
        assert ctypes.CDLL("libcuda.so.1").cuCtxGetCurrent(ctypes.byref(context)) == 0
        return context.value

    def work() -> None:
        found.append(current())
        with idle_cuda.active():
            found.append(current())
        found.append(current())
        another = type(idle_cuda)()
        with another.active():
            another.pinned(1)
        del another
        gc.collect()
        found.append(current())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    before, within, after, afterwards = found
    assert before is after is afterwards is None
    assert within


def test_a_process_ends_in_peace(kind: str, program: Program) -> None:
    script = (
        f"from mmdet_jetson.stages.inference.cuda import {kind}\n"
        f"cuda = {kind}()\n"
        "with cuda.active(): cuda.pinned(1); cuda.allocate(1); print('opened')"
    )

    done = program("-c", script)

    assert (done.returncode, done.stdout, done.stderr) == (0, "opened\n", "")


def test_a_hidden_gpu_is_one_sentence(kind: str, program: Program) -> None:
    script = (
        f"from mmdet_jetson.stages.inference.cuda import {kind}\n"
        "from mmdet_jetson.stages.errors import StageError\n"
        f"try: {kind}()\n"
        "except StageError as error: print(error.message)"
    )

    done = program("-c", script, CUDA_VISIBLE_DEVICES="-1")

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("the GPU cannot be used: "), done.stdout
    assert done.stdout.count("\n") == 1


def test_open_cuda_opens_what_is_installed(only: str) -> None:
    assert type(open_cuda()).__name__ == only
