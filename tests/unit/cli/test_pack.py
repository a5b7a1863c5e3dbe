"""`invoke pack`: what it says to type next, and what it refuses before anything is made."""

from pathlib import Path

import msgspec

from mmdet_jetson.cli import pack
from mmdet_jetson.config.pipeline import load_project
from mmdet_jetson.config.settings import ROOT


def test_the_next_steps_are_what_has_to_be_typed() -> None:
    project = load_project(ROOT / "configs/demo.toml", ['targets=["orin-jp62", "thor-jp7"]'])
    project = msgspec.structs.replace(project, typed="--config configs/demo.toml --precision fp16")

    first, *steps = pack._next_steps(project, "usb/my mugs", Path("usb/my mugs").name)

    assert first.startswith("usb/my mugs has what orin-jp62, thor-jp7 need of demo.")
    chosen = "--config configs/demo.toml --precision fp16 --target"
    assert steps == [
        f"  invoke {verb} {chosen} {target} --onnx 'my mugs'"
        for target in ("orin-jp62", "thor-jp7")
        for verb in ("build-jetson-engine", "report")
    ]
