"""Stage `profile`: how long each step from a picture file to boxes takes, one picture at a time."""

import gc
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns
from typing import Dict, Iterator, List, Optional, Sequence, TypeVar

import cv2
import numpy as np

from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.contract.job import Result
from mmdet_jetson.contract.parameters.profile import ProfileParameters
from mmdet_jetson.contract.records import encode, write_record
from mmdet_jetson.contract.report import PROFILE_STEPS, ProfileMetrics, Spread
from mmdet_jetson.stages.backends import load_backend
from mmdet_jetson.stages.engines.opening import open_engine
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.evaluation.evaluation import Validation
from mmdet_jetson.stages.inference.detector import Detector
from mmdet_jetson.stages.inference.device import first_gpu
from mmdet_jetson.stages.inference.machine import BusyTime, machine_facts
from mmdet_jetson.stages.inference.power import power_state
from mmdet_jetson.stages.inference.preprocessing import read_picture
from mmdet_jetson.stages.job import StageJob, main

# Below this the 99th percentile is the mean of one or two samples.
LEAST_REPEATS = 200
# Shares and ratios from which on a person should measure again on a quieter machine.
BUSY_SHARE = 0.1
UNSTEADY_RATIO = 2.0
NANOSECONDS_PER_MS = 1e6
T = TypeVar("T")


@dataclass(frozen=True)
class Timings:
    """``nanoseconds`` [repeats, steps]; ``others`` is the CPU share of others, 0 to 1.

    ``gpu`` are milliseconds of each repeat between two CUDA events around the network, so without
    copies; it is empty where the backend has no GPU.
    """

    nanoseconds: np.ndarray
    gpu: Sequence[float]
    others: Optional[float]


def run(job: StageJob[ProfileParameters]) -> Result:
    """Time every step on validation pictures in turn; write ``profile.json``."""
    check_repeats(job.parameters.repeats)
    facts = machine_facts()
    detector = open_engine(job.inputs["engine"])
    passport = detector.passport
    assert passport is not None  # every engine has one
    validation = Validation.read(job.inputs["dataset"])
    pictures = [validation.path(image) for image in validation.images]
    timings = time_steps(job, detector, pictures)
    # Now the clocks are still those of the last picture.
    power = power_state()
    milliseconds = timings.nanoseconds / NANOSECONDS_PER_MS
    versions = load_backend(passport.backend).versions()
    total = spread(milliseconds.sum(axis=1))
    profile = ProfileMetrics(
        backend=passport.backend,
        precision=passport.precision,
        repeats=job.parameters.repeats,
        warmup=job.parameters.warmup,
        unit="ms",
        steps={name: spread(milliseconds[:, index]) for index, name in enumerate(PROFILE_STEPS)},
        total=total,
        gpu=spread(np.array(timings.gpu)) if timings.gpu else None,
        pictures=len(pictures),
        machine={
            **facts,
            **power.facts(),
            **gpu_facts(passport.backend),
            **versions,
            "opencv": cv2.__version__,
            "busy_with_others": timings.others,
        },
        evidence=job.evidence,
        warnings=(*doubts(total, timings.others), *power.doubts(job.parameters.power_mode)),
    )
    write_record(job.output / "profile.json", profile)
    return Result(
        metrics=encode(profile.total),
        facts=profile.machine,
        warnings=profile.warnings,
    )


def gpu_facts(backend: str) -> Dict[str, str]:
    """Name the GPU and its driver, where the backend runs its engines on one."""
    gpu = first_gpu() if BACKENDS[backend].needs_gpu else None
    return {"gpu": gpu.name, "gpu_driver": gpu.driver} if gpu else {}


def check_repeats(repeats: int) -> None:
    """Refuse so few repeats that a 99th percentile means nothing."""
    if repeats < LEAST_REPEATS:
        raise StageError(
            f"{repeats} repeats say nothing about a 99th percentile, {LEAST_REPEATS} are the least",
            f"set the profile's repeats to {LEAST_REPEATS} or more",
        )


def time_steps(
    job: StageJob[ProfileParameters], detector: Detector, pictures: Sequence[Path]
) -> Timings:
    """Warm up, then time ``repeats`` rounds, cycling through the pictures."""
    repeats, warmup = job.parameters.repeats, job.parameters.warmup
    for index in range(warmup):
        time_once(detector, pictures[index % len(pictures)])
    rows: List[List[int]] = []
    gpu: List[float] = []
    before = BusyTime.now()
    with no_garbage_collection():
        for index in range(repeats):
            rows.append(time_once(detector, pictures[index % len(pictures)]))
            if hasattr(detector.network, "milliseconds"):
                gpu.append(detector.network.milliseconds)
            if (index + 1) % 20 == 0 or index + 1 == repeats:
                job.progress(index + 1, repeats, "repeats")
    after = BusyTime.now()
    others = before.share_of_others(after) if before and after else None
    return Timings(np.array(rows), gpu, others)


def time_once(detector: Detector, path: Path) -> List[int]:
    """Run all steps on one picture file and return the nanoseconds of each of `PROFILE_STEPS`.

    The file comes from the page cache after its first reading, so "load" is mostly decoding.
    """
    began = perf_counter_ns()
    picture = read_picture(path)
    return [perf_counter_ns() - began, *time_detection(detector, picture)]


def time_detection(detector: Detector, picture: np.ndarray) -> List[int]:
    """Return the nanoseconds of each step behind "load" on a BGR uint8 [height, width, 3]."""
    stamps = [perf_counter_ns()]

    def stamped(result: T) -> T:
        stamps.append(perf_counter_ns())
        return result

    height, width = picture.shape[:2]
    scaled = stamped(detector.feeding.resize(picture))
    normalized = stamped(detector.feeding.normalize(scaled))
    batch = stamped(detector.feeding.format(normalized))
    outputs = stamped(detector.infer(batch, (width, height)))
    stamped(detector.postprocess(outputs, (width, height)))
    return [end - start for start, end in zip(stamps, stamps[1:])]


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Collect now, and not in the middle of a measurement."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def doubts(total: Spread, others: Optional[float]) -> List[str]:
    """Say in sentences why these numbers may not be those of an idle machine."""
    warnings = []
    if others is not None and others > BUSY_SHARE:
        warnings.append(
            f"other processes took {others:.0%} of the CPU while timing: "
            "the latencies are higher than on an idle machine"
        )
    if total.p99 > UNSTEADY_RATIO * total.p50:
        warnings.append(
            f"the slowest pictures took {total.p99 / total.p50:.1f} times as long as the "
            "middle one (p99 over p50): measure again on a quiet machine"
        )
    return warnings


def spread(milliseconds: np.ndarray) -> Spread:
    """Give mean and percentiles of times."""
    p50, p90, p99 = np.percentile(milliseconds, [50, 90, 99]).tolist()
    return Spread(mean=float(milliseconds.mean()), p50=p50, p90=p90, p99=p99)


if __name__ == "__main__":
    main(run, ProfileParameters)
