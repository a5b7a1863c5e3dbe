"""Why a GPU is throttled, asked of a stand-in for NVML."""

import ctypes
from typing import Any

import pytest

from mmdet_jetson.stages.inference import nvml
from mmdet_jetson.stages.inference.nvml import named, throttle_reasons

UUID = "0123456789abcdef0123456789abcdef"


class Nvml:
    """The library of a driver before 535, unless it is told another question."""

    def __init__(
        self, bits: int = 0, *, question: str = nvml.QUESTIONS[1], answer: int = 0, found: int = 0
    ) -> None:
        self.bits, self.answer, self.found = bits, answer, found
        self.asked: list[bytes] = []
        self.nvmlInit_v2 = lambda: 0
        self.nvmlDeviceGetHandleByUUID = self._handle
        setattr(self, question, self._reasons)

    def _handle(self, uuid: bytes, _: object) -> int:
        self.asked.append(uuid)
        return self.found

    def _reasons(self, _: object, bits: Any) -> int:
        bits._obj.value = self.bits
        return self.answer


def loaded(monkeypatch: pytest.MonkeyPatch, library: Nvml) -> Nvml:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    return library


@pytest.mark.parametrize("question", nvml.QUESTIONS)
def test_reasons_are_called_as_nvidia_smi_calls_them(
    question: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = loaded(monkeypatch, Nvml(0x1 | 0x4 | 0x40, question=question))
    ask = throttle_reasons(UUID)
    assert ask
    assert ask() == ("sw_power_cap", "hw_thermal_slowdown")
    assert library.asked == [b"GPU-01234567-89ab-cdef-0123-456789abcdef"]


def test_an_idle_gpu_is_not_throttled_and_a_new_reason_is_told_by_its_bit() -> None:
    assert named(0x0) == named(0x1) == ()
    assert named(0x1000 | 0x8) == ("hw_slowdown", "0x1000")


def test_a_gpu_that_does_not_answer_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded(monkeypatch, Nvml(0x4, answer=3))
    ask = throttle_reasons(UUID)
    assert ask
    assert ask() is None


@pytest.mark.parametrize("library", [Nvml(found=6), Nvml(question="nvmlOfAnotherTime")])
def test_a_library_that_does_not_know_is_not_asked(
    library: Nvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded(monkeypatch, library)
    assert throttle_reasons(UUID) is None


def test_a_machine_without_the_library_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvml, "LIBRARY", "libno-such-thing.so.1")
    assert throttle_reasons(UUID) is None
