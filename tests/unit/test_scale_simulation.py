"""The simulator of benchmarks/scale: what can be worked out by hand comes out of it."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks/scale/simulate.py"


@pytest.fixture(scope="module")
def simulator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("simulate", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["simulate"] = module  # where dataclasses look their types up
    spec.loader.exec_module(module)
    return module


def site(simulator: ModuleType, **changes: object) -> object:
    plain = {
        "devices": 4, "engine": 100e6, "dataset": 0.0, "jobs_an_hour": 0.0, "uplink": 1e6, "cache_link": 1e9,
        "cache_room": 1e12, "is_cached": True, "coalesces": True, "shards": 1,
    }  # fmt: skip
    return simulator.Site(**{**plain, **changes})


def test_one_device_waits_for_its_link(simulator: ModuleType) -> None:
    seen = simulator.simulate(site(simulator, devices=1, interval=60.0), 0)
    (waited,) = seen.waits
    # Up to a minute until it looks, 100 s on a link of 1 MB/s, a tenth of a second from the cache.
    assert 100.1 <= waited <= 160.2
    assert seen.uplink == 100e6


def test_a_cache_that_coalesces_brings_a_blob_once(simulator: ModuleType) -> None:
    seen = simulator.simulate(site(simulator, devices=50), 0)
    assert seen.uplink == 100e6
    assert len(seen.waits) == 50


def test_without_a_cache_each_brings_its_own(simulator: ModuleType) -> None:
    seen = simulator.simulate(site(simulator, devices=50, is_cached=False), 0)
    assert seen.uplink == 50 * 100e6
    assert max(seen.waits) > 50 * 100


def test_a_cache_that_does_not_coalesce_brings_what_is_asked_for_meanwhile(
    simulator: ModuleType,
) -> None:
    seen = simulator.simulate(site(simulator, devices=50, coalesces=False), 0)
    assert 100e6 < seen.uplink < 50 * 100e6


def test_jobs_bring_what_has_changed(simulator: ModuleType) -> None:
    changes = {"dataset": 100e6, "shards": 100, "changed": 0.01, "jobs_an_hour": 4.0, "devices": 0}
    seen = simulator.simulate(site(simulator, **changes), 1)
    assert len(seen.jobs) > 10
    assert seen.uplink == pytest.approx(100e6 + (len(seen.jobs) - 1) * 1e6)


def test_what_was_not_asked_for_the_longest_leaves_the_cache(simulator: ModuleType) -> None:
    cache = simulator.Cache(room=2.0)
    for blob in ("a", "b"):
        cache.keep(blob, 1.0)
    assert cache.has("a")
    cache.keep("c", 1.0)
    cache.keep("too large", 3.0)
    assert [cache.has(blob) for blob in ("a", "b", "c", "too large")] == [True, False, True, False]
    assert cache.used == 2.0


def test_it_runs_with_python_alone() -> None:
    words = [
        sys.executable,
        "-I",
        "-S",
        str(SCRIPT),
        "--devices",
        "10",
        "--artifacts",
        "10",
        "1000",
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.count("\n|") >= 12
    assert "| index.json | 3.5 kB | 353.0 kB |" in done.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--devices", "0"), "--devices: 0 is not 1 or more"),
        (("--artifacts", "-1"), "--artifacts: -1 is not 1 or more"),
        (("--interval", "0"), "--interval: 0 is not more than 0"),
        (("--engine-mb", "-1"), "--engine-mb: -1 is not a finite number of 0 or more"),
        (("--dataset-mb", "nan"), "--dataset-mb: nan is not a finite number of 0 or more"),
        (("--uplink-mbit", "inf"), "--uplink-mbit: inf is not a finite number of 0 or more"),
        (("--changed", "1.5"), "--changed: 1.5 is not between 0 and 1"),
    ],
)
def test_what_cannot_be_is_refused(words: tuple[str, str], told: str) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
