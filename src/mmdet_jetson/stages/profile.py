"""Stage `profile`: how long each step from a picture file to boxes takes, one picture at a time."""

import gc
import resource
from array import array
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, perf_counter_ns
from typing import Dict, Iterator, List, Optional, Sequence, TypeVar

import cv2
import numpy as np

from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.contract.conditions import Conditions, flaws
from mmdet_jetson.contract.job import Result
from mmdet_jetson.contract.parameters.profile import LEAST_SAMPLES, ProfileParameters
from mmdet_jetson.contract.records import encode, write_record
from mmdet_jetson.contract.report import PROFILE_STEPS, ProfileMetrics, Spread
from mmdet_jetson.stages.backends import load_backend
from mmdet_jetson.stages.engines.opening import open_engine
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.evaluation.evaluation import Validation
from mmdet_jetson.stages.inference.conditions import Watch
from mmdet_jetson.stages.inference.detector import Detector
from mmdet_jetson.stages.inference.device import first_gpu, l4t_release
from mmdet_jetson.stages.inference.machine import BusyTime, machine_facts
from mmdet_jetson.stages.inference.nvml import throttle_reasons
from mmdet_jetson.stages.inference.percentiles import QUARTERS, bounds, drift, spread
from mmdet_jetson.stages.inference.power import power_state
from mmdet_jetson.stages.inference.preprocessing import read_picture
from mmdet_jetson.stages.job import StageJob, main

# How often the machine is looked at, and for how long rounds after that are not timed: the caches
# hold the files then, and on a Jetson reading a temperature keeps a CPU busy for some milliseconds.
LOOK_EVERY, SETTLE = 1.0, 0.01
# Shares and ratios from which on a person should measure again on a quieter machine.
BUSY_SHARE = 0.1
UNSTEADY_RATIO = 2.0
NANOSECONDS_PER_MS = 1e6
# What `power.PowerState` and `doubts` do not say already.
DOUBTED = ("throttling", "over-current", "heat", "drift")
T = TypeVar("T")


@dataclass(frozen=True)
class Timings:
    """``nanoseconds`` [samples, steps] in ``seconds``; ``others`` is the CPU share of others.

    ``gpu`` are milliseconds of each sample between two CUDA events around the network, so without
    copies; it is empty where the backend has no GPU.
    """

    nanoseconds: np.ndarray
    gpu: Sequence[float]
    seconds: float
    others: Optional[float]


def run(job: StageJob[ProfileParameters]) -> Result:
    """Time every step on validation pictures in turn; write ``profile.json``."""
    told = job.parameters
    check_samples(told.samples)
    facts = machine_facts()
    detector = open_engine(job.inputs["engine"])
    passport = detector.passport
    assert passport is not None  # every engine has one
    validation = Validation.read(job.inputs["dataset"])
    pictures = timed_pictures([validation.path(image) for image in validation.images], told.samples)
    watch = watch_of(passport.backend)
    timings = time_steps(job, detector, pictures, watch)
    # Now the clocks are still those of the last picture.
    power = power_state()
    milliseconds = timings.nanoseconds / NANOSECONDS_PER_MS
    totals = milliseconds.sum(axis=1)
    conditions = watch.conditions(
        told.power_mode, seconds=timings.seconds, others=timings.others, drift=drift(totals)
    )
    total = spread(totals)
    profile = ProfileMetrics(
        backend=passport.backend,
        precision=passport.precision,
        samples=len(totals),
        seconds=timings.seconds,
        warmup=told.warmup,
        unit="ms",
        steps={name: spread(milliseconds[:, index]) for index, name in enumerate(PROFILE_STEPS)},
        total=total,
        bounds=bounds(totals),
        gpu=spread(np.array(timings.gpu)) if len(timings.gpu) else None,
        pictures=len(pictures),
        machine={
            **facts,
            **power.facts(),
            **gpu_facts(passport.backend),
            **memory_facts(passport.backend),
            **load_backend(passport.backend).versions(),
            "opencv": cv2.__version__,
            "busy_with_others": timings.others,
        },
        evidence=job.evidence,
        warnings=(
            *doubts(total, timings.others),
            *doubts_of(conditions),
            *power.doubts(told.power_mode),
        ),
        conditions=conditions,
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


def memory_facts(backend: str) -> Dict[str, float]:
    """Tell the most memory in MB that this process had in use, where that is all that it takes.

    What CUDA allocates is not in it, so nothing is said where there is a GPU: on a Jetson, too,
    whose GPU has the same memory.
    """
    if BACKENDS[backend].needs_gpu:
        return {}
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"peak_memory_mb": round(kibibytes * 1024 / 1e6, 1)}


def watch_of(backend: str) -> Watch:
    """Give what looks at this machine, and at its GPU where the backend runs its engines on one."""
    gpu = first_gpu() if BACKENDS[backend].needs_gpu else None
    ask = throttle_reasons(gpu.uuid) if gpu and gpu.uuid else None
    return Watch(l4t=l4t_release(), gpu=ask)


def check_samples(samples: int) -> None:
    """Refuse so few samples that no profile is worth keeping."""
    if samples < LEAST_SAMPLES:
        raise StageError(
            f"{samples} samples say too little about a latency, {LEAST_SAMPLES} are the least",
            f"set the profile's samples to {LEAST_SAMPLES} or more",
        )


def timed_pictures(pictures: Sequence[Path], samples: int) -> List[Path]:
    """Give those that are timed in turn: few enough that each recurs in every quarter.

    Else the last quarter would be of other pictures than the first, and a drift one of theirs.
    They are spread evenly.
    """
    count = min(len(pictures), samples // QUARTERS)
    return [pictures[index * len(pictures) // count] for index in range(count)]


def time_steps(
    job: StageJob[ProfileParameters], detector: Detector, pictures: Sequence[Path], watch: Watch
) -> Timings:
    """Warm up, then time rounds until there are enough and it took long enough.

    About once a second the machine is looked at between two rounds; see `settle` for those after.
    """
    told = job.parameters
    for index in range(told.warmup):
        time_once(detector, pictures[index % len(pictures)])
    rows, gpu, done = array("q"), array("d"), 0
    with no_garbage_collection():
        watch.look()
        settle(detector, pictures[-1])
        before, began = BusyTime.now(), monotonic()
        looked = elapsed = began
        while done < told.samples or elapsed - began < told.seconds:
            if elapsed - looked >= LOOK_EVERY:
                pause(job, watch, done, elapsed - began)
                settle(detector, pictures[(done - 1) % len(pictures)])
                looked = monotonic()
            rows.extend(time_once(detector, pictures[done % len(pictures)]))
            if hasattr(detector.network, "milliseconds"):
                gpu.append(detector.network.milliseconds)
            done, elapsed = done + 1, monotonic()
        after = BusyTime.now()
        pause(job, watch, done, elapsed - began)
    others = before.share_of_others(after) if before and after else None
    table = np.frombuffer(rows, dtype=np.int64).reshape(-1, len(PROFILE_STEPS))
    return Timings(table, gpu, elapsed - began, others)


def pause(job: StageJob[ProfileParameters], watch: Watch, done: int, seconds: float) -> None:
    """Look at the machine, collect garbage, and tell how far it is by what takes longer."""
    watch.look()
    gc.collect()
    told = job.parameters
    if done / told.samples <= seconds / told.seconds if told.seconds else True:
        job.progress(min(done, told.samples), told.samples, "samples")
    else:
        job.progress(int(seconds), round(told.seconds), "seconds")


def settle(detector: Detector, picture: Path) -> None:
    """Run rounds that nobody times, on the picture before: the next one finds all as ever."""
    began = monotonic()
    time_once(detector, picture)
    while monotonic() - began < SETTLE:
        time_once(detector, picture)


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
    """Collect now and where it is asked for, and not in the middle of a measurement.

    All that is there already is left out of what is asked for, so that takes no time.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def doubts(total: Spread, others: Optional[float]) -> List[str]:
    """Say in sentences why these numbers may not be those of an idle machine."""
    warnings = []
    if others is not None and others > BUSY_SHARE:
        warnings.append(
            f"other processes took {others:.0%} of the CPU while timing: "
            "the latencies are higher than on an idle machine"
        )
    name, slowest = ("p90", total.p90) if total.p99 is None else ("p99", total.p99)
    if slowest is not None and slowest > UNSTEADY_RATIO * total.p50:
        warnings.append(
            f"the slowest pictures took {slowest / total.p50:.1f} times as long as the "
            f"middle one ({name} over p50): measure again on a quiet machine"
        )
    return warnings


def doubts_of(conditions: Conditions) -> List[str]:
    """Say the same of a machine that was slowed down, or is about to be."""
    return [flaw.sentence for flaw in flaws(conditions) if flaw.is_known and flaw.of in DOUBTED]


if __name__ == "__main__":
    main(run, ProfileParameters)
