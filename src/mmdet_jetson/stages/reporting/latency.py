"""How long each step of each engine takes, as bars."""

from dataclasses import dataclass
from typing import Dict, List, Sequence, Tuple

from mmdet_jetson.contract.conditions import conditions_told
from mmdet_jetson.contract.report import PROFILE_STEPS, ProfileMetrics, Spread
from mmdet_jetson.stages.reporting.subjects import Subject


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
    def conditions(self) -> Dict[str, str]:
        """What the machine was like meanwhile, by headings."""
        return conditions_told(self.profile.conditions) if self.profile.conditions else {}


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
