"""How long each step of each engine takes, as bars."""

from dataclasses import dataclass
from typing import Dict, List, Sequence, Tuple

from mmdet_jetson.contract.conditions import conditions_told
from mmdet_jetson.contract.report import PROFILE_STEPS, ProfileMetrics, Spread
from mmdet_jetson.stages.reporting.page_text import fact
from mmdet_jetson.stages.reporting.subjects import Subject

_HEADINGS = {
    "busy_with_others": "other processes",
    "cpu": "CPU",
    "cpu_clocks": "CPU clocks",
    "cpu_governor": "CPU governor",
    "drift": "drift from first to last quarter",
    "gpu": "GPU",
    "gpu_clock": "GPU clock",
    "gpu_driver": "GPU driver",
    "l4t": "L4T",
    "load_average": "load average before",
    "looked at": "machine looked at",
    "memory_gb": "memory",
    "onnxruntime": "ONNX Runtime",
    "opencv": "OpenCV",
    "openvino": "OpenVINO",
    "peak_memory_mb": "peak memory of the process",
    "python": "Python",
    "tensorrt": "TensorRT",
}
"""What people call what a profile records, by its keys and by headings of `conditions_told`."""
_UNITS = {"memory_gb": "GB", "peak_memory_mb": "MB"}
_SAID_BY = {
    "busy_with_others": "other processes",
    "cpu_clocks": "clocks",
    "cpu_governor": "governor",
    "gpu_clock": "clocks",
    "power_mode": "power mode",
}
"""What a profile records twice: the heading of `conditions_told` that says more of it."""


@dataclass(frozen=True)
class LatencyStep:
    """A step's part of a bar: where it starts and how wide it is, in percent of the longest bar."""

    name: str
    times: Spread
    start: float
    width: float


@dataclass(frozen=True)
class Latency:
    """The bar of one engine."""

    subject: Subject
    profile: ProfileMetrics
    steps: Tuple[LatencyStep, ...]

    @property
    def facts(self) -> Dict[str, str]:
        """The machine, and what it was like meanwhile, by headings, each once."""
        seen = conditions_told(self.profile.conditions) if self.profile.conditions else {}
        machine = {
            _HEADINGS.get(key, key.replace("_", " ")): _said(key, value)
            for key, value in self.profile.machine.items()
            if _SAID_BY.get(key) not in seen
        }
        return {**machine, **{_HEADINGS.get(key, key): text for key, text in seen.items()}}


def _said(key: str, value: object) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if key == "busy_with_others":
            return f"{value:.1%} of the CPU"
        if key in _UNITS:
            return f"{fact(value)} {_UNITS[key]}"
    return fact(value)


def latencies(subjects: Sequence[Subject]) -> List[Latency]:
    """Bars of all targets on one scale. Means are stacked because percentiles do not add up."""
    profiled = [(subject, subject.profile) for subject in subjects if subject.profile]
    longest = max((profile.total.mean for _, profile in profiled), default=1.0)
    return [
        Latency(subject, profile, tuple(_steps(profile, longest))) for subject, profile in profiled
    ]


def _steps(profile: ProfileMetrics, longest: float) -> List[LatencyStep]:
    steps, start = [], 0.0
    for name in PROFILE_STEPS:
        times = profile.steps.get(name)
        if times is not None:
            width = 100 * times.mean / longest
            steps.append(LatencyStep(name, times, start, width))
            start += width
    return steps
