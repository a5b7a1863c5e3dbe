"""A passport as the stage `engine` writes it, of no engine in particular."""

from collections.abc import Mapping

from mmdet_jetson.stages.inference.graph import Checkpoint
from mmdet_jetson.stages.inference.passport import (
    Compared,
    EngineFile,
    OnnxFile,
    Passport,
    Platform,
)


def passport(target: str, runs_on: Mapping[str, object], file: str = "engine.plan") -> Passport:
    return Passport(
        target=target,
        backend="tensorrt",
        precision="fp32",
        engine=EngineFile(file, "e" * 64, 1),
        files={},
        onnx=OnnxFile("0" * 64),
        checkpoint=Checkpoint(),
        calibration=None,
        runs_on=runs_on,
        compared=Compared(None),
        versions={},
        settings={},
        platform=Platform("aarch64", "Linux", "Orin"),
    )
