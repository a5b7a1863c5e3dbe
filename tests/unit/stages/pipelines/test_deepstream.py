"""A configuration of nvinfer, read back as nvinfer reads it."""

import configparser
from pathlib import Path

import numpy as np
import pytest
from exported_engines import tensorrt_engine
from fused import CLASSES, PREPROCESSING, SIDE
from nvinfer import CLASS_KEYS, PROPERTY_KEYS

from mmdet_jetson.contract.analysis import THRESHOLDS, OperatingPoint, Thresholds
from mmdet_jetson.contract.records import write_record
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.preprocessing import Preprocessing
from mmdet_jetson.stages.pipelines import deepstream
from mmdet_jetson.stages.pipelines.described_engine import describe_engine

BGR_MEAN, BGR_STD = [103.53, 116.28, 123.675], [57.375, 57.12, 58.395]
EXACT = {**PREPROCESSING, "keep_ratio": False}


def written(folder: Path, **graph: object) -> tuple[configparser.ConfigParser, list[str]]:
    """Export an engine whose graph.json says this, and read the configuration."""
    engine = tensorrt_engine(folder / "engine", **graph)
    (folder / "made").mkdir()
    differences = deepstream.write(describe_engine(engine), folder / "made")
    config = configparser.ConfigParser(delimiters=("=",), comment_prefixes=("#",))
    config.optionxform = str  # type: ignore[assignment, method-assign] # as its documentation says
    config.read(folder / "made/config_infer_primary.txt")
    return config, list(differences)


def test_every_key_is_one_that_nvinfer_reads(tmp_path: Path) -> None:
    config, _ = written(tmp_path)

    assert config.sections() == ["property", "class-attrs-all"]
    assert set(config["property"]) <= PROPERTY_KEYS
    assert set(config["class-attrs-all"]) <= CLASS_KEYS


@pytest.mark.parametrize("threshold", [None, 0.4125])
def test_the_threshold_is_that_beside_the_engine(threshold: float | None, tmp_path: Path) -> None:
    engine = tensorrt_engine(tmp_path / "engine")
    if threshold is not None:
        point = OperatingPoint(threshold, 0.9, 0.8, 0.85)
        write_record(engine / THRESHOLDS, Thresholds(point, "the best F1", {}))
    deepstream.write(describe_engine(engine), tmp_path)
    text = (tmp_path / "config_infer_primary.txt").read_text()
    assert f"pre-cluster-threshold={threshold or 0.3}\n" in text


def test_a_broken_threshold_is_refused(tmp_path: Path) -> None:
    engine = tensorrt_engine(tmp_path / "engine")
    (engine / THRESHOLDS).write_text("{")
    with pytest.raises(StageError, match=r"thresholds\.json"):
        deepstream.write(describe_engine(engine), tmp_path)


def test_the_network_is_described_by_its_graph(tmp_path: Path) -> None:
    size = {**EXACT, "input_size": [SIDE, 32]}
    config, differences = written(tmp_path, batch=2, input_size=[SIDE, 32], preprocessing=size)

    told = config["property"]
    assert told["infer-dims"] == f"3;32;{SIDE}"
    assert (told["batch-size"], told["network-mode"], told["network-type"]) == ("2", "0", "0")
    assert told["num-detected-classes"] == str(len(CLASSES))
    assert told["output-blob-names"].split(";") == ["dets", "labels"]
    assert told["cluster-mode"] == "4"  # NMS is in the graph
    assert told["parse-bbox-func-name"] == "NvDsInferParseMmdetJetson"
    assert differences == []


@pytest.mark.parametrize("dla", [None, 0, 1])
def test_an_engine_for_an_accelerator_is_run_on_that_one(dla: int | None, tmp_path: Path) -> None:
    config, _ = written(tmp_path, dla=dla)

    told = config["property"]
    expected = (None, None) if dla is None else ("1", str(dla))
    assert (told.get("enable-dla"), told.get("use-dla-core")) == expected


def test_the_files_that_it_names_are_there_or_made_there(tmp_path: Path) -> None:
    config, _ = written(tmp_path)

    told, made = config["property"], tmp_path / "made"
    assert (made / told["model-engine-file"]).read_bytes() == b"what TensorRT made"
    assert (made / told["labelfile-path"]).read_text().splitlines() == CLASSES
    assert f"\n{told['custom-lib-path']}: " in (made / "Makefile").read_text()
    assert told["parse-bbox-func-name"] in (made / "nvdsinfer_mmdet_jetson.cpp").read_text()


@pytest.mark.parametrize("to_rgb", [False, True])
def test_pixels_become_what_our_preprocessing_makes_of_them(tmp_path: Path, to_rgb: bool) -> None:
    """Y = net-scale-factor * (x - offset), with x and offsets in the network's channel order."""
    ours = {**EXACT, "mean": BGR_MEAN, "std": [57.0] * 3, "to_rgb": to_rgb}
    config, differences = written(tmp_path, preprocessing=ours)
    told = config["property"]
    offsets = np.array(told["offsets"].split(";"), np.float32)
    picture = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)

    x = picture[:, :, ::-1] if told["model-color-format"] == "0" else picture
    y = np.float32(told["net-scale-factor"]) * (x.astype(np.float32) - offsets)

    trained = Preprocessing((SIDE, SIDE), False, (0, 0, 0), tuple(BGR_MEAN), (57,) * 3, to_rgb)  # type: ignore[arg-type]
    assert np.allclose(y, trained.normalize(picture), atol=1e-5)
    assert differences == []


def test_deviations_that_differ_are_named_with_what_they_cost(tmp_path: Path) -> None:
    config, differences = written(tmp_path, preprocessing={**EXACT, "std": BGR_STD})

    factor = float(config["property"]["net-scale-factor"])
    worst = np.abs(factor * np.array(BGR_STD) - 1).max()
    assert worst == pytest.approx(0.0110, abs=1e-4)
    assert differences == [
        "nvinfer divides all channels by one number: a channel's values are up to 1.10% larger or "
        "smaller than in the evaluation"
    ]
    assert "up to 1.10%" in (tmp_path / "made/config_infer_primary.txt").read_text()


def test_a_letterbox_is_padded_below_and_right_and_its_colour_named(tmp_path: Path) -> None:
    config, differences = written(tmp_path)

    told = config["property"]
    assert (told["maintain-aspect-ratio"], told["symmetric-padding"]) == ("1", "0")
    assert told["crop-objects-to-roi-boundary"] == "1"
    assert any("pads with black" in each and "(114, 114, 114)" in each for each in differences)


def test_a_letterbox_in_black_is_no_difference(tmp_path: Path) -> None:
    _, differences = written(tmp_path, preprocessing={**PREPROCESSING, "pad_value": [0.0] * 3})
    assert [each for each in differences if "black" in each] == []


def test_a_stretched_picture_is_stretched(tmp_path: Path) -> None:
    config, _ = written(tmp_path, preprocessing=EXACT)
    assert config["property"]["maintain-aspect-ratio"] == "0"
    assert "KEEP_RATIO" not in (tmp_path / "made/Makefile").read_text()


@pytest.mark.parametrize(
    ("graph", "words", "hint"),
    [
        ({"input": "image"}, r"takes 8-bit pictures \(input = 'image'\)", 'set input = "tensor"'),
        ({"input": "letterboxed"}, "takes 8-bit pictures", "invoke engine --target orin-jp62"),
        ({"graph": "documented", "plugin": True}, "plugin library", 'set graph = "fused"'),
        ({"backend": "onnxruntime"}, "engines of TensorRT only", "whose backend is"),
        (
            {"inputs": {"mapping": [1, 4], "input": [1, 3, SIDE, SIDE]}},
            "feeds the first input, which is not 'input'",
            "build it again",
        ),
        ({"classes": ["a;b", "c"]}, "'a;b'", "rename the class"),
        (
            {"preprocessing": {**EXACT, "std": [50.0, 57.0, 58.0]}},
            "needs 50, 57, 58",
            "export for triton",
        ),
    ],
)
def test_what_nvinfer_cannot_do_is_refused(
    graph: dict[str, object], words: str, hint: str, tmp_path: Path
) -> None:
    with pytest.raises(StageError, match=words) as refused:
        written(tmp_path, **graph)
    assert hint in refused.value.hint
    assert list((tmp_path / "made").iterdir()) == []
