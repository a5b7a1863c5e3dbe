"""The suite of each environment, run inside it, as it will run inside its image."""

import os
import subprocess
from pathlib import Path

import pytest
from commands import ROOT

from mmdet_jetson.config.settings import read_settings
from mmdet_jetson.containers.image_tests import in_processes, threads_for
from mmdet_jetson.environments.packages import Environment, python_of, train_environment


def test_the_suite_of_environment_train(tmp_path: Path) -> None:
    if os.environ.get("MMDET_JETSON_TESTED_IN_IMAGE"):
        pytest.skip("the image `train` has run this suite, with the same packages")
    settings = read_settings()
    python = python_of(train_environment(ROOT, settings.variant), settings, print)
    suite = Environment("inside-train", ROOT / "docker/inside-train.lock", ("3.8",))
    runner = python_of(suite, settings, print)
    processes = min(2, os.cpu_count() or 1)
    packages = next(runner.parents[1].glob("lib/python3.8/site-packages"))
    done = subprocess.run(
        [str(python), "-m", "pytest", "-c", "tests/containers/pytest.ini", "tests/containers/train",
         *in_processes(processes), f"--basetemp={tmp_path / 'inside'}"],
        cwd=ROOT,
        env={**os.environ, **threads_for(processes), "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{packages}"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
