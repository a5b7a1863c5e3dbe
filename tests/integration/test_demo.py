"""The demo: it learns what it has not seen, and its engine is as good as its checkpoint."""

import json
from pathlib import Path

from commands import Commands


def figures(commands: Commands, step: str, into: Path) -> dict[str, float]:
    taken = commands.run("checkout", f"demo.{step}", str(into))
    assert taken.returncode == 0, taken.stderr
    found: dict[str, float] = json.loads((into / "metrics.json").read_text())["figures"]
    return found


def test_it_detects_and_the_engine_agrees(demo_run: Commands, tmp_path: Path) -> None:
    checkpoint = figures(demo_run, "evaluate-checkpoint", tmp_path / "checkpoint")
    engine = figures(demo_run, "evaluate-pc-onnxruntime", tmp_path / "engine")
    assert checkpoint["AP50"] >= 0.6
    assert abs(checkpoint["AP"] - engine["AP"]) <= 0.002


def test_its_verdict_is_pass(demo_run: Commands) -> None:
    assert "verdict: pass" in demo_run.run("pipeline").stdout


def test_its_engine_can_be_served(demo_run: Commands, tmp_path: Path) -> None:
    made = demo_run.run("export-for", "triton", "demo.engine-pc-onnxruntime", str(tmp_path))
    assert made.returncode == 0, made.stderr
    (model,) = tmp_path.iterdir()
    assert (model / "1/model.onnx").stat().st_size > 1e6
    assert 'name: "pc-onnxruntime"' in (model / "config.pbtxt").read_text()
