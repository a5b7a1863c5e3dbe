"""What the differences between nvinfer's preprocessing and the trained one cost in AP.

    invoke checkout demo.export-documented /tmp/onnx && invoke checkout demo.dataset /tmp/dataset
    .venv/bin/python benchmarks/nvinfer_preprocessing.py /tmp/onnx /tmp/dataset

Prints a row for each difference of docs/pipelines.md. The graph is the documented one: it takes
what the preprocessing makes, as an engine for nvinfer does, and pictures keep their ratio.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

from mmdet_jetson.stages.engines.opening import open_graph
from mmdet_jetson.stages.evaluation.coco_figures import coco_figures
from mmdet_jetson.stages.evaluation.evaluation import Validation, prediction
from mmdet_jetson.stages.inference.feeding import Feeding
from mmdet_jetson.stages.inference.preprocessing import Preprocessing, Size, read_picture
from mmdet_jetson.stages.pipelines.deepstream import BLACK, common_factor


@dataclass(frozen=True)
class Truncating(Preprocessing):
    """Drops the fraction of a scaled side."""

    def resized_size(self, width: int, height: int) -> Size:
        """Compute it as get_converted_buffer of gstnvinfer.cpp does."""
        side, other = self.input_size
        as_high = side * height / width
        return (side, int(as_high)) if as_high <= other else (int(other * width / height), other)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("onnx", type=Path)
    parser.add_argument("dataset", type=Path)
    options = parser.parse_args()
    detector, validation = open_graph(options.onnx), Validation.read(options.dataset)
    trained = detector.preprocessing
    factor, _ = common_factor(trained.std)
    black = replace(trained, pad_value=BLACK)
    both = replace(black, std=(1 / factor,) * 3)
    rows = {
        "as trained": trained,
        "black padding": black,
        "one deviation": replace(trained, std=both.std),
        "fractions dropped": Truncating(**trained.__dict__),
        "all three": Truncating(**both.__dict__),
    }
    print("| | AP | AP50 |\n|---|---:|---:|")
    for name, preprocessing in rows.items():
        changed = replace(detector, feeding=Feeding(preprocessing))
        found = []
        for image in validation.images:
            picture = read_picture(validation.path(image))
            found += [prediction(image["id"], each) for each in changed.detect(picture)]
        figures = coco_figures(validation.annotations, found).figures
        print(f"| {name} | {figures['AP']:.4f} | {figures['AP50']:.4f} |", flush=True)


if __name__ == "__main__":
    main()
