"""A configuration of DeepStream's ``nvinfer``, with the library that reads our outputs.

What ``nvinfer`` does was read in its source, of DeepStream 6.2 and 9.1: the keys in
gstnvinfer_property_parser.cpp, the scaling in gstnvinfer.cpp (get_converted_buffer), the arithmetic
in nvdsinfer_conversion.cu, the placing of boxes in gstnvinfer_meta_utils.cpp.
"""

import shutil
from pathlib import Path
from typing import Dict, List, Mapping, Sequence, Tuple

from mmdet_jetson.stages.engines.thresholds import threshold_of
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.graph import DOCUMENTED, TENSOR
from mmdet_jetson.stages.inference.pipeline_json import Triple
from mmdet_jetson.stages.inference.preprocessing import Preprocessing
from mmdet_jetson.stages.pipelines.deepstream_parser import (
    LIBRARY,
    PARSE_FUNCTION,
    SOURCE,
    SOURCE_FILE,
    makefile,
)
from mmdet_jetson.stages.pipelines.described_engine import DescribedEngine

CONFIG, LABELS = "config_infer_primary.txt", "labels.txt"
# One factor for three channels is off by this share of each at most; networks that were trained
# with the usual deviations stay at 0.011.
LARGEST_SHARE = 0.05
NETWORK_MODES = {"fp32": 0, "int8": 1, "fp16": 2}
RGB, BGR = 0, 1
BLACK = (0, 0, 0)
PICTURE = "input"
DETECTOR, NO_CLUSTERING, BILINEAR, WHOLE_FRAMES = 0, 4, 1, 1


def write(engine: DescribedEngine, folder: Path) -> Sequence[str]:
    """Write the engine, its configuration and labels, and the source of the parser.

    Raises:
        StageError: ``nvinfer`` cannot feed such a graph.
    """
    preprocessing = check(engine)
    factor, share = common_factor(preprocessing.std)
    differences = _differences(preprocessing, share)
    shutil.copyfile(engine.file, folder / engine.file.name)
    (folder / LABELS).write_text("".join(f"{each}\n" for each in engine.graph.classes), "utf-8")
    (folder / SOURCE_FILE).write_text(SOURCE, encoding="utf-8")
    (folder / "Makefile").write_text(makefile(preprocessing.keep_ratio), encoding="utf-8")
    comments = [_for_whom(engine), *differences]
    keys = properties(engine, preprocessing, factor)
    (folder / CONFIG).write_text(_text(comments, keys), encoding="utf-8")
    return differences


def check(engine: DescribedEngine) -> Preprocessing:
    """Refuse what ``nvinfer`` cannot feed or read; else give what it has to do to a picture."""
    preprocessing = _check_graph(engine)
    _check_input(engine)
    _check_labels(engine.graph.classes)
    _, share = common_factor(preprocessing.std)
    if share > LARGEST_SHARE:
        deviations = ", ".join(f"{value:g}" for value in preprocessing.std)
        raise StageError(
            "DeepStream's nvinfer divides all channels by one number, and "
            f"{engine.passport.target} needs {deviations}",
            "train with the same std for all channels, or export for triton",
        )
    return preprocessing


def _check_graph(engine: DescribedEngine) -> Preprocessing:
    passport, graph = engine.passport, engine.graph
    if passport.backend != "tensorrt":
        raise StageError(
            f"DeepStream's nvinfer opens engines of TensorRT only, and {passport.target} is one of "
            f"{passport.backend}",
            'export a target whose backend is "tensorrt"',
        )
    if graph.graph == DOCUMENTED or graph.preprocessing is None:
        raise StageError(
            f"the engine for {passport.target} needs MMDeploy's plugin library, which DeepStream's "
            "nvinfer does not load",
            _set('graph = "fused"', passport.target),
        )
    return graph.preprocessing


def _check_input(engine: DescribedEngine) -> None:
    target, mode = engine.passport.target, engine.graph.input
    if mode != TENSOR:
        raise StageError(
            "DeepStream's nvinfer feeds a normalised float tensor [batch, 3, height, width], and "
            f"the engine for {target} takes 8-bit pictures (input = {mode!r})",
            _set('input = "tensor"', target),
        )
    # It takes whatever input is the first for the picture (INPUT_LAYER_INDEX).
    if not engine.inputs or engine.inputs[0].name != PICTURE:
        raise StageError(
            f"DeepStream's nvinfer feeds the first input, which is not {PICTURE!r} in the engine "
            f"for {target}",
            f"export and build it again: invoke engine --target {target}",
        )


def _set(line: str, target: str) -> str:
    return f"set {line} for {target} in targets.toml, then invoke engine --target {target}"


def _check_labels(classes: Sequence[str]) -> None:
    odd = [name for name in classes if set(name) & set(";\r\n")]
    if odd:
        raise StageError(
            f"DeepStream reads a label up to a semicolon or the end of a line: {odd[0]!r}",
            "rename the class in the dataset",
        )


def common_factor(std: Triple) -> Tuple[float, float]:
    """Give the factor that stands in for 1 / std in all channels, and how far it is off.

    It is the one for which the largest relative difference is smallest.

    Returns:
        The factor, and that difference as a share of a channel's values; 0 where all are alike.
    """
    least, most = min(std), max(std)
    return 2 / (least + most), (most - least) / (most + least)


def _differences(preprocessing: Preprocessing, share: float) -> List[str]:
    """Say in sentences what the network sees differently than in its evaluation."""
    found = []
    if share:
        found.append(
            "nvinfer divides all channels by one number: a channel's values are up to "
            f"{share:.2%} larger or smaller than in the evaluation"
        )
    colour = preprocessing.pad_colour()
    if preprocessing.keep_ratio and colour != BLACK:
        found.append(
            f"nvinfer pads with black, and the network was evaluated with BGR {colour} beside the "
            "picture"
        )
    if preprocessing.keep_ratio:
        found.append(
            "nvinfer drops the fraction of a scaled side that the evaluation rounds: a frame may "
            "be one row or column smaller"
        )
    return found


def properties(
    engine: DescribedEngine, preprocessing: Preprocessing, factor: float
) -> Dict[str, Mapping[str, object]]:
    """Give the keys of each group."""
    graph, (width, height) = engine.graph, preprocessing.input_size
    on_dla = {} if engine.dla is None else {"enable-dla": 1, "use-dla-core": engine.dla}
    return {
        "property": {
            "gpu-id": 0,
            "gie-unique-id": 1,
            "process-mode": WHOLE_FRAMES,
            "model-engine-file": engine.file.name,
            "batch-size": graph.batch,
            "network-mode": NETWORK_MODES[engine.passport.precision],
            **on_dla,
            "network-type": DETECTOR,
            "infer-dims": f"3;{height};{width}",
            "model-color-format": RGB if preprocessing.to_rgb else BGR,
            "net-scale-factor": repr(factor),
            "offsets": ";".join(map(repr, preprocessing.mean)),
            "maintain-aspect-ratio": int(preprocessing.keep_ratio),
            "symmetric-padding": 0,
            "scaling-filter": BILINEAR,
            "num-detected-classes": len(graph.classes),
            "labelfile-path": LABELS,
            "output-blob-names": "dets;labels",
            "custom-lib-path": LIBRARY,
            "parse-bbox-func-name": PARSE_FUNCTION,
            "cluster-mode": NO_CLUSTERING,
            # Without this nvinfer drops a box that reaches a hair below the frame.
            "crop-objects-to-roi-boundary": 1,
            "output-tensor-meta": 0,
        },
        "class-attrs-all": {"pre-cluster-threshold": repr(threshold_of(engine.folder).score)},
    }


def _for_whom(engine: DescribedEngine) -> str:
    passport = engine.passport
    facts = ", ".join(f"{name} {value}" for name, value in passport.runs_on.items())
    made = f"The engine of {passport.target} in {passport.precision}"
    return f"{made}; built for a device with {facts}."


def _text(comments: Sequence[str], groups: Mapping[str, Mapping[str, object]]) -> str:
    lines = [f"# {comment}" for comment in comments]
    for group, keys in groups.items():
        lines += ["", f"[{group}]", *(f"{key}={value}" for key, value in keys.items())]
    return "\n".join([*lines, ""])
