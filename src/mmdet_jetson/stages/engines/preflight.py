"""Whether an engine may be opened here: decided by its passport, before TensorRT sees a byte."""

from pathlib import Path
from typing import Optional

from mmdet_jetson.stages.backends import load_backend
from mmdet_jetson.stages.inference.device import device_facts
from mmdet_jetson.stages.inference.passport import (
    Passport,
    check_device,
    check_files,
    read_passport,
)


def preflight(folder: Path, onnx: Optional[Path] = None) -> Passport:
    """Check an engine's folder against its passport, and its passport against this device.

    ``onnx`` is the file it should have been built from, where one is at hand.

    Raises:
        StageError: the first thing that is wrong, and what to do about it.
    """
    passport = read_passport(folder)
    check_files(folder, passport, onnx)
    check_device(passport, device_facts(load_backend(passport.backend).versions()))
    return passport
