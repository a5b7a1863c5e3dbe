"""Engines for OpenVINO, built, judged and run by the library itself, in an environment of its own."""

import json
import subprocess
from pathlib import Path

import pytest
from commands import ROOT, Commands

from mmdet_jetson.config.settings import read_settings
from mmdet_jetson.environments.packages import device_environment, python_of

# By how much AP may differ from the checkpoint's, on the demo's 80 pictures.
TOLERANCES = {"pc-openvino": 0.002, "pc-openvino-bf16": 0.005, "pc-openvino-int8": 0.02}
ANY_SIZE = """
[pc-any-size]
description = "OpenVINO, with all of the preprocessing in the graph"
backend = "openvino"
precision = "fp32"
"""


def taken(commands: Commands, step: str, into: Path) -> Path:
    done = commands.run("checkout", step, str(into))
    assert done.returncode == 0, done.stderr
    return into


def ap(evaluation: Path) -> float:
    found: float = json.loads((evaluation / "metrics.json").read_text())["figures"]["AP"]
    return found


@pytest.fixture(scope="module", params=TOLERANCES)
def target(request: pytest.FixtureRequest, demo_run: Commands) -> str:
    """A target of which the demo's engine is evaluated."""
    name = str(request.param)
    done = demo_run.run("evaluate", "--target", name)
    if "does not compute bf16" in done.stderr:
        pytest.skip("this CPU does not compute bf16, and the backend says so")
    assert done.returncode == 0, done.stderr
    return name


@pytest.fixture
def engine(target: str, demo_run: Commands, tmp_path: Path) -> Path:
    return taken(demo_run, f"demo.engine-{target}", tmp_path / "engine")


def test_an_engine_detects_as_well_as_its_checkpoint(
    target: str, demo_run: Commands, tmp_path: Path
) -> None:
    checkpoint = taken(demo_run, "demo.evaluate-checkpoint", tmp_path / "checkpoint")
    evaluation = taken(demo_run, f"demo.evaluate-{target}", tmp_path / "evaluation")
    assert ap(checkpoint) > 0.4
    assert ap(evaluation) == pytest.approx(ap(checkpoint), abs=TOLERANCES[target])


def test_its_passport_covers_both_of_its_files(target: str, engine: Path) -> None:
    passport = json.loads((engine / "passport.json").read_text())
    assert (passport["backend"], passport["engine"]["file"]) == ("openvino", "engine.xml")
    assert passport["engine"]["bytes"] > (engine / "engine.bin").stat().st_size
    assert "engine.bin" in passport["files"]
    assert passport["settings"]["INFERENCE_PRECISION_HINT"] == "f32"
    if target == "pc-openvino":
        assert passport["compared"]["max_difference"] <= 1e-3


def infer(engine: Path, picture: Path) -> "subprocess.CompletedProcess[str]":
    """Run ``infer.py`` as a program of its own, without the project."""
    environment = device_environment(ROOT, "deploy-openvino")
    python = python_of(environment, read_settings(), print)
    return subprocess.run(
        [str(python), "-I", str(engine / "infer.py"), str(picture), "--into", str(engine.parent)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def picture(demo_run: Commands, tmp_path: Path) -> Path:
    dataset = taken(demo_run, "demo.dataset", tmp_path / "dataset")
    return min((dataset / "val").iterdir())


def test_its_runner_detects(engine: Path, picture: Path) -> None:
    done = infer(engine, picture)
    assert done.returncode == 0, done.stderr
    assert "detected in" in done.stdout
    assert (engine.parent / f"{picture.stem}_detected.jpg").exists()


def test_one_changed_byte_of_its_weights_is_refused(engine: Path, picture: Path) -> None:
    weights = bytearray((engine / "engine.bin").read_bytes())
    weights[len(weights) // 2] ^= 1
    (engine / "engine.bin").write_bytes(weights)
    done = infer(engine, picture)
    assert done.returncode == 3
    assert "engine.bin is not the file that its passport describes" in done.stderr


def test_pictures_of_any_size_are_prepared_in_the_graph(tiny_run: Commands, tmp_path: Path) -> None:
    targets = (ROOT / "configs/targets.toml").read_text()
    (tiny_run.config.parent / "targets.toml").write_text(targets + ANY_SIZE)
    done = tiny_run.run("evaluate", "--target", "pc-any-size")
    assert done.returncode == 0, done.stderr
    engine = taken(tiny_run, "tiny.engine-pc-any-size", tmp_path / "engine")
    passport = json.loads((engine / "passport.json").read_text())
    assert passport["compared"]["max_difference"] <= 1e-3
