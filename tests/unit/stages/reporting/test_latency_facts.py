"""Facts beside a latency: each once, in words."""

from collections.abc import Mapping

from mmdet_jetson.contract.conditions import ClockRange, Conditions
from mmdet_jetson.contract.report import ProfileMetrics, Spread
from mmdet_jetson.stages.reporting.latency import latencies
from mmdet_jetson.stages.reporting.subjects import Subject

TIMES = Spread(mean=7.125, p50=7, p90=8, p99=9)
MACHINE = {
    "busy_with_others": 0.8734,
    "cpu_governor": "schedutil",
    "cores": 2,
    "gpu_clock": "1300 MHz",
    "memory_gb": 23.5,
    "peak_memory_mb": 208.5,
    "power_mode": "15W",
}


def facts(machine: Mapping[str, object], conditions: Conditions | None) -> Mapping[str, str]:
    profile = ProfileMetrics(
        backend="onnxruntime",
        precision="fp32",
        samples=200,
        pictures=13,
        gpu=None,
        warmup=20,
        unit="ms",
        steps={"network": TIMES},
        total=TIMES,
        machine=dict(machine),
        evidence="measured",
        conditions=conditions,
    )
    (found,) = latencies([Subject("pc", None, None, profile, None, None)])
    return found.facts


def test_what_is_recorded_twice_is_said_once() -> None:
    clocks = {"gpu": ClockRange(1_300_000_000, 1_300_000_000, 1_300_000_000, 1_300_000_000)}
    seen = Conditions(
        "jetson", looks=13, seconds=13.0, power_modes=("15W",), clocks=clocks,
        governors=("schedutil",), others=0.8734, drift=0.01,
    )  # fmt: skip
    assert facts(MACHINE, seen) == {
        "cores": "2",
        "memory": "23.5 GB",
        "peak memory of the process": "208.5 MB",
        "machine looked at": "13 times in 13 s",
        "power mode": "15W",
        "clocks": "gpu 1300 MHz, seen at 1300",
        "governor": "schedutil",
        "other processes": "87.3% of the CPU",
        "drift from first to last quarter": "+1.0%",
    }


def test_what_is_recorded_once_is_not_lost() -> None:
    """A profile of an earlier release has no conditions."""
    told = facts({**MACHINE, "memory_gb": None}, None)
    assert told["other processes"] == "87.3% of the CPU"
    assert told["GPU clock"] == "1300 MHz"
    assert told["CPU governor"] == "schedutil"
    assert told["memory"] == "–"
    assert len(told) == len(MACHINE)
    assert not any("_" in heading for heading in told)
