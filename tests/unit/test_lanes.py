"""Two processes share the tests, and do not meet where they must not."""

import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from lanes import ROOT, lane_of

DOCKER = sorted(ROOT.glob("tests/integration/test_docker*.py"))
SHARED = "--dist=loadscope --no-loadscope-reorder"
CONFTEST = """from lanes import Lanes
def pytest_xdist_make_scheduler(config, log):
    return Lanes(config, log)
"""
ALONE = """import os, pathlib, time, pytest
@pytest.mark.parametrize("number", range(12))
def test_it(number):
    # On a busy machine one process could be done with all before the other has started.
    here = pathlib.Path("met")
    here.mkdir(exist_ok=True)
    (here / os.environ["PYTEST_XDIST_WORKER"]).touch()
    end = time.monotonic() + 300
    while len(list(here.iterdir())) < 2:
        assert time.monotonic() < end
        time.sleep(0.05)
"""
TESTS = """import pytest
@pytest.mark.parametrize("number", range(12))
def test_it(number):
    "{stands_on}"
"""


def test_whoever_uses_a_docker_host_is_in_one_lane() -> None:
    assert len(DOCKER) > 3
    names = [f"tests/integration/{path.name}::test_{n}" for n, path in enumerate(DOCKER)]
    assert {lane_of(name) for name in names} == {"docker"}


def test_whoever_uses_a_finished_demo_is_in_one_lane() -> None:
    names = ("balloon", "demo", "openvino_engines", "sdk")
    assert {lane_of(f"tests/integration/test_{name}.py::test_x") for name in names} == {"runs"}


def test_other_files_are_lanes_of_their_own_and_so_is_a_unit_test() -> None:
    kills = "tests/integration/test_kills.py"
    assert lane_of(f"{kills}::test_x") == lane_of(f"{kills}::test_y") == kills
    assert lane_of("tests/unit/test_x.py::test_x") == "tests/unit/test_x.py::test_x"


def test_tests_are_shared_as_lanes_are_made() -> None:
    """`tests/conftest.py` makes lanes of this way of sharing alone; with another there would be none."""
    assert f"-n{{processes}} {SHARED}" in (ROOT / "tasks.py").read_text()


def test_a_lane_is_run_by_one_process(tmp_path: Path) -> None:
    """It was asked for with marks before, and without a word they were not heeded."""
    files = {
        "unit/test_a": "",
        "integration/test_b": "docker_host",
        "integration/test_c": "docker_host",
    }
    for name, word in files.items():
        path = tmp_path / f"tests/{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TESTS.format(stands_on=word) if word else ALONE)
    (tmp_path / "tests/conftest.py").write_text(CONFTEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-n2", *SHARED.split()],
        cwd=tmp_path, env={**os.environ, "PYTEST_ADDOPTS": "", "PYTHONPATH": str(ROOT / "tests/unit")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    ran = defaultdict[str, set[str]](set)
    for process, test in re.findall(r"^\[(gw\d)\] .*? tests/(\S+)", done.stdout, re.MULTILINE):
        ran[test.partition(".py")[0]].add(process)
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(ran) == set(files)
    assert len(ran["integration/test_b"] | ran["integration/test_c"]) == 1
    assert len(ran["unit/test_a"]) == 2
