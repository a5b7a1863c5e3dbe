"""Compile for two GPUs: ``python build_engine.py <onnx folder> <folder> <precision>``.

It runs in environment `deploy-rtx` and writes an `engine` artifact into ``<folder>/engine``. What
it is calibrated with is noise: this is about compiling.
"""

import io
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "src"))


def main(onnx: Path, folder: Path, precision: str) -> None:
    """Run the stage."""
    from mmdet_jetson.contract.parameters.engine import EngineParameters  # noqa: PLC0415
    from mmdet_jetson.stages import engine  # noqa: PLC0415
    from mmdet_jetson.stages.job import StageJob  # noqa: PLC0415

    parameters = EngineParameters(
        target="pc-rtx",
        backend="tensorrt_rtx",
        precision=precision,
        compute_capabilities=(86, 89),
        calibration_pictures=2 if precision == "int8" else None,
    )
    inputs = {
        "onnx": onnx,
        "training": noise(folder / "training", "train", 0),
        "validation": noise(folder / "validation", "val", 1),
    }
    made = folder / "engine"
    made.mkdir()
    engine.run(StageJob(parameters, inputs, made, folder, channel=io.StringIO()))


def noise(dataset: Path, split: str, seed: int) -> Path:
    """Write a split of two pictures."""
    import cv2  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    (dataset / split).mkdir(parents=True)
    random = np.random.default_rng(seed)
    names = [f"{number}.png" for number in range(2)]
    for name in names:
        picture = random.integers(0, 256, (333, 500, 3), np.uint8)
        cv2.imwrite(str(dataset / split / name), picture)
    images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    (dataset / f"{split}.json").write_text(json.dumps({"images": images}))
    return dataset


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
