"""Choose the device to compute on, before MMEngine does it for itself."""

import os

import torch

from mmdet_jetson.stages.errors import StageError


def use_device(wanted: str) -> str:
    """Give "cuda" or "cpu" for "auto", "cuda" or "cpu", and make MMEngine use the same.

    MMEngine looks for a GPU once, when it is imported, and takes one where it sees one. So this
    comes before the import, and hides the GPUs from it where the CPU is wanted.

    Raises:
        StageError: "cuda" is wanted and there is none.
    """
    if wanted == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        raise StageError(
            "there is no GPU that PyTorch can use",
            'set the device to "auto", or install the CUDA variant of the environment',
        )
    return "cpu"
