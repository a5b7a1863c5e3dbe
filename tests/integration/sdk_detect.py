"""Detect with MMDeploy's SDK: ``python sdk_detect.py <onnx folder> <picture>...`` (Python 3.8).

Prints one JSON object: picture path -> list of [x1, y1, x2, y2, score, label], in the SDK's order.
It runs in an environment of its own, made from ``docker/sdk.lock``.
"""

import json
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def main() -> None:
    """Print what the SDK detects; whatever else prints goes to standard error."""
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import cv2  # noqa: PLC0415
    from mmdeploy_runtime import Detector  # noqa: PLC0415 - greets on standard output

    folder, pictures = sys.argv[1], sys.argv[2:]
    detector = Detector(model_path=folder, device_name="cpu", device_id=0)
    found = {path: rows(*detector(cv2.imread(path))[:2]) for path in pictures}
    json.dump(found, answer)


def rows(boxes: "np.ndarray", labels: "np.ndarray") -> list[list[float]]:
    """Join boxes [n, 5] with labels [n]."""
    pairs = zip(boxes.tolist(), labels.tolist())  # noqa: B905 - Python 3.8 has no strict
    return [[*box, label] for box, label in pairs]


if __name__ == "__main__":
    main()
