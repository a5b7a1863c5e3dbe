"""The stage user computes on the GPU, by JetPack's own TensorRT and the image's pycuda.

Only where the Docker host has NVIDIA's runtime: conftest.py. There nothing here is skipped.
"""

import os
from typing import Any, Iterator

import numpy as np
import pytest

from mmdet_jetson.contract.nvidia import closed_to_user
from mmdet_jetson.stages.backends import load_backend
from mmdet_jetson.stages.inference.device import first_gpu, reported

VALUES = np.array([[-1.0, 0.0, 1.5, 4.0]], np.float32)


@pytest.fixture(scope="module")
def trt() -> Any:
    import tensorrt  # noqa: PLC0415 - so that a failure is that of a test

    return tensorrt


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    """pycuda's, with the GPU's context in use."""
    from pycuda import driver  # noqa: PLC0415

    driver.init()
    context = driver.Device(0).retain_primary_context()
    context.push()
    yield driver
    context.pop()


def test_the_stage_user_may_open_the_gpu() -> None:
    assert os.getuid() == 10001
    assert first_gpu() is not None, f"closed to it: {closed_to_user()}"


def test_the_device_says_what_an_engine_depends_on() -> None:
    found = reported(load_backend("tensorrt").versions())
    assert not [fact for fact, value in found.items() if value is None and fact != "jetpack"]


def test_a_network_of_three_layers_is_built_and_run(trt: Any, driver: Any) -> None:
    engine = deserialized(trt, plan_of_three_layers(trt))
    assert run(driver, engine, VALUES) == pytest.approx(np.maximum(2 * VALUES, 0))


def plan_of_three_layers(trt: Any) -> bytes:
    """Compile y = max(2 x, 0): a constant, a product, a ReLU."""
    builder = trt.Builder(trt.Logger(trt.Logger.WARNING))
    explicit = getattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH", None)
    network = builder.create_network(0 if explicit is None else 1 << int(explicit))
    x = network.add_input("x", trt.float32, VALUES.shape)
    twos = np.full(VALUES.shape, 2, np.float32)  # TensorRT reads it while it compiles
    two = network.add_constant(VALUES.shape, trt.Weights(twos)).get_output(0)
    doubled = network.add_elementwise(x, two, trt.ElementWiseOperation.PROD).get_output(0)
    y = network.add_activation(doubled, trt.ActivationType.RELU).get_output(0)
    y.name = "y"
    network.mark_output(y)
    plan = builder.build_serialized_network(network, builder.create_builder_config())
    assert plan is not None
    return bytes(plan)


def deserialized(trt: Any, plan: bytes) -> Any:
    engine = trt.Runtime(trt.Logger(trt.Logger.WARNING)).deserialize_cuda_engine(plan)
    assert engine is not None
    return engine


def run(driver: Any, engine: Any, values: np.ndarray) -> np.ndarray:
    """Run an engine with the input "x" and the output "y" of its shape."""
    context, stream, found = (
        engine.create_execution_context(),
        driver.Stream(),
        np.zeros_like(values),
    )
    blocks = {name: driver.mem_alloc(values.nbytes) for name in ("x", "y")}
    driver.memcpy_htod(blocks["x"], np.ascontiguousarray(values))
    if hasattr(context, "execute_async_v3"):  # from TensorRT 8.5 on
        for name, block in blocks.items():
            context.set_tensor_address(name, int(block))
        assert context.execute_async_v3(stream.handle)
    else:
        addresses = {engine.get_binding_index(name): int(block) for name, block in blocks.items()}
        bindings = [addresses[index] for index in sorted(addresses)]
        assert context.execute_async_v2(bindings, stream.handle)
    stream.synchronize()
    driver.memcpy_dtoh(found, blocks["y"])
    return found
