"""MMDeploy's deploy config: loaded, checked, and given the pipeline's input size."""

from difflib import get_close_matches
from pathlib import Path
from typing import Dict, Iterable, List, Mapping

from mmdeploy.utils import Backend
from mmengine import Config, ConfigDict

from mmdet_jetson.contract import backends as contract
from mmdet_jetson.contract.parameters.base import Size
from mmdet_jetson.stages.errors import StageError, reason_of
from mmdet_jetson.stages.inference.graph import ONNX

TABLES = ("backend_config", "onnx_config", "codebase_config")
# What MMDeploy 1.0.0 cannot do without, or what the `onnx` artifact promises: None is any value.
REQUIRED: Mapping[str, Mapping[str, object]] = {
    "onnx_config": {
        "type": "onnx",
        "save_file": ONNX,
        "input_names": ["input"],
        "output_names": ["dets", "labels"],
        "opset_version": None,
    },
    "codebase_config": {"type": "mmdet", "task": "ObjectDetection", "post_processing": None},
    "codebase_config.post_processing": {
        "score_threshold": None,
        "iou_threshold": None,
        "max_output_boxes_per_class": None,
        "pre_top_k": None,
        "keep_top_k": None,
    },
}
BACKENDS = tuple(sorted({backend.deploy_config for backend in contract.BACKENDS.values()}))


def load_deploy_config(path: Path, backend: str, size: Size) -> Config:
    """Read a deploy config for ``backend`` and give it the input ``size`` (width, height).

    Raises:
        StageError: the file is absent, is no valid Python, lacks a table or a key, or is made for
            another backend.
    """
    config = _load(path)
    _check_tables(config, path.name)
    _check_backend(config, path.name, backend)
    _resize(config, size)
    return config


def _load(path: Path) -> Config:
    if not path.is_file():
        raise StageError(
            f"there is no deploy config {path.name}",
            "set export.<backend> to one of configs/deploy",
        )
    try:
        return Config.fromfile(str(path), import_custom_modules=False)
    except Exception as error:  # the file is Python: it can raise anything
        raise StageError(
            f"the deploy config {path.name} cannot be read: {reason_of(error)}",
            "compare it with those in configs/deploy",
        ) from error


def _check_tables(config: Config, name: str) -> None:
    for table in TABLES:
        if not isinstance(config.get(table), dict):
            raise StageError(
                f"the deploy config {name} has no table {table}{_nearest(table, config)}",
                f"it needs the tables {', '.join(TABLES)}, as those in configs/deploy have",
            )
    if config.onnx_config.get("dynamic_axes"):
        raise StageError(
            f"the deploy config {name} has onnx_config.dynamic_axes, but an engine has one size",
            "use a static deploy config, such as those in configs/deploy",
        )
    for where, keys in REQUIRED.items():
        table, _, inner = where.partition(".")
        _check_keys(config[table][inner] if inner else config[table], keys, where, name)


def _check_keys(table: ConfigDict, keys: Mapping[str, object], where: str, name: str) -> None:
    for key, value in keys.items():
        if key not in table:
            raise StageError(
                f"the deploy config {name} has no {where}.{key}{_nearest(key, table)}",
                "compare it with those in configs/deploy",
            )
        if value is not None and table[key] != value:
            raise StageError(
                f"the deploy config {name} has {where}.{key} = {table[key]!r}; "
                f"only {value!r} is supported",
                "compare it with those in configs/deploy",
            )


def _nearest(key: str, table: Iterable[str]) -> str:
    found = get_close_matches(key, list(table), n=1)
    return f" (did you mean its {found[0]}?)" if found else ""


def _check_backend(config: Config, name: str, backend: str) -> None:
    own = config.backend_config.get("type")
    if own not in BACKENDS:
        known = own in [member.value for member in Backend]
        raise StageError(
            f"the deploy config {name} is for "
            + (f"{own!r}, which is not supported" if known else f"an unknown backend, {own!r}"),
            f"backend_config.type may be one of: {', '.join(BACKENDS)}",
        )
    if own != backend:
        raise StageError(
            f"the deploy config {name} is for {own}, but the target needs {backend}",
            "set export.<backend> to a config of that backend",
        )


def _resize(config: Config, size: Size) -> None:
    """Write the size into the two places that hold it: ONNX input and TensorRT's profile."""
    width, height = size
    config.onnx_config.input_shape = [width, height]
    for model_input in config.backend_config.get("model_inputs", []):
        shapes: Dict[str, Dict[str, List[int]]] = model_input["input_shapes"]
        for profile in shapes.values():
            profile.update({bound: [1, 3, height, width] for bound in profile})
