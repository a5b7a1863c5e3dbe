"""What the project says of a GPU, beside NVIDIA's own words."""

import json
import shutil
import subprocess
from typing import Dict

import pytest
from on_gpu import Program

from mmdet_jetson.contract.nvidia import Gpu


@pytest.fixture(scope="session")
def stated() -> Dict[str, str]:
    """What nvidia-smi states of the first GPU."""
    if shutil.which("nvidia-smi") is None:
        pytest.skip("nvidia-smi is not installed")
    fields = ("name", "uuid", "compute_cap", "driver_version")
    done = subprocess.run(
        ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader", "--id=0"],
        capture_output=True,
        text=True,
        check=True,
    )
    values = [value.strip() for value in done.stdout.strip().split(",")]
    return dict(zip(fields, values, strict=True))


def test_the_gpu_is_the_one_that_nvidia_smi_names(gpu: Gpu, stated: Dict[str, str]) -> None:
    assert gpu.name == stated["name"]
    assert gpu.uuid == stated["uuid"].removeprefix("GPU-").replace("-", "")
    assert gpu.sm == int(stated["compute_cap"].replace(".", ""))


def test_the_driver_is_the_one_that_nvidia_smi_names(gpu: Gpu, stated: Dict[str, str]) -> None:
    head = subprocess.run(["nvidia-smi"], capture_output=True, text=True, check=True).stdout

    assert f"CUDA Version: {gpu.cuda} " in head
    # Some containers hide the kernel's files, and the driver then goes by its CUDA.
    assert gpu.driver in (stated["driver_version"], f"for CUDA {gpu.cuda}")


def test_the_host_side_hears_the_same_from_a_process(gpu: Gpu, program: Program) -> None:
    said = program("-c", "from mmdet_jetson.stages.inference.device import *; print_gpu()")

    assert said.returncode == 0, said.stderr
    assert Gpu(**json.loads(said.stdout)) == gpu


def test_a_hidden_gpu_is_none_and_no_error(program: Program) -> None:
    script = "from mmdet_jetson.stages.inference.device import *; print_gpu()"

    said = program("-c", script, CUDA_VISIBLE_DEVICES="-1")

    assert (said.returncode, said.stdout) == (0, "null\n"), said.stderr
