"""Why a GPU is throttled, asked of its driver: what a profile records between two samples."""

import time

import pytest

from mmdet_jetson.contract.nvidia import Gpu
from mmdet_jetson.stages.inference.conditions import Watch
from mmdet_jetson.stages.inference.nvml import throttle_reasons

MOST_SECONDS = 0.02


def test_the_driver_tells_why_its_gpu_is_throttled_in_no_time(gpu: Gpu) -> None:
    if not gpu.uuid:
        pytest.skip("a Jetson's GPU has no UUID: its cooling devices tell")
    ask = throttle_reasons(gpu.uuid)
    assert ask is not None
    assert ask() is not None

    watch = Watch(gpu=ask)
    taken = []
    for _ in range(10):
        began = time.perf_counter()
        watch.look()
        taken.append(time.perf_counter() - began)

    assert min(taken) < MOST_SECONDS
    found = watch.conditions(None, seconds=1.0, others=None, drift=None)
    assert found.throttle_reasons is not None
