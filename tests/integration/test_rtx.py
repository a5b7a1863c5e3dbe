"""Engines for TensorRT for RTX, compiled by the real builder on this machine's CPU."""

import json
import platform
from pathlib import Path

import pytest
from commands import ROOT, Commands

from mmdet_jetson.config.settings import read_settings
from mmdet_jetson.environments.packages import device_environment, python_of, train_environment
from mmdet_jetson.processes import output_of

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="TensorRT for RTX exists for x86-64 only"
)
FAMILIES = {
    "rtmdet-tiny": "rtmdet/rtmdet_tiny_8xb32-300e_coco.py",
    "yolox-tiny": "yolox/yolox_tiny_8xb8-300e_coco.py",
}
# Each kind of input, and both ways to begin a network: YOLOX takes the picture apart.
CASES = [
    ("rtmdet-tiny", "image"),
    ("rtmdet-tiny", "letterboxed"),
    ("rtmdet-tiny", "tensor"),
    ("yolox-tiny", "image"),
    ("yolox-tiny", "letterboxed"),
    ("yolox-tiny", "tensor"),
]
# How large an engine is at least, of the size of its ONNX file.
LEAST_SHARE = {"fp32": 0.3, "fp16": 0.3, "int8": 0.15}


def python(environment: str) -> str:
    made = {
        "train": train_environment(ROOT, "cpu"),
        "deploy-rtx": device_environment(ROOT, "deploy-rtx"),
    }
    return str(python_of(made[environment], read_settings(), print))


@pytest.fixture(scope="session", params=CASES, ids="-".join)
def fused(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fused graph at 640 x 640 of an untrained detector: an `onnx` artifact."""
    family, mode = request.param
    folder: Path = tmp_path_factory.mktemp(family) / "onnx"
    script = str(Path(__file__).with_name("export_untrained.py"))
    output_of([python("train"), script, FAMILIES[family], str(folder), mode])
    return folder


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_fused_graph_compiles_for_two_gpus(fused: Path, tmp_path: Path, precision: str) -> None:
    script = str(Path(__file__).with_name("build_engine.py"))
    output_of([python("deploy-rtx"), script, str(fused), str(tmp_path), precision])
    passport = json.loads((tmp_path / "engine/passport.json").read_text())
    assert passport["runs_on"]["sm"] == [86, 89]
    assert passport["compared"] == {"max_difference": None, "alone": None}
    engine = tmp_path / "engine" / passport["engine"]["file"]
    weights = (fused / "end2end.onnx").stat().st_size
    assert engine.stat().st_size > LEAST_SHARE[precision] * weights


def test_invoke_compiles_and_refuses_to_open(tiny_run: Commands, tmp_path: Path) -> None:
    """An engine that only its device may open is refused here, in a sentence."""
    target = (ROOT / "configs/targets.toml").read_text()
    (tiny_run.config.parent / "targets.toml").write_text(target)
    done = tiny_run.run("build-jetson-engine", "--target", "pc-rtx", "--precision", "fp16")
    assert done.returncode == 0, done.stderr
    taken = tiny_run.run("checkout", "tiny.engine-pc-rtx", str(tmp_path / "engine"))
    assert taken.returncode == 0, taken.stderr
    refused = tiny_run.run("preflight", str(tmp_path / "engine"))
    assert refused.returncode == 1
    assert "built for GPU architecture 86 or 89, and this device has none" in refused.stderr
    evaluated = tiny_run.run("evaluate", "--target", "pc-rtx")
    assert "runs on a GPU only, and this machine has none" in evaluated.stderr
