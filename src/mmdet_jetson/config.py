"""The configuration: TOML files, parsed once into frozen typed objects.

A wrong field is answered with its file, its path and what was expected; an unknown key with the
nearest valid one. Paths inside the files are relative to the project's root.
"""

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import msgspec

from mmdet_jetson.errors import ConfigError
from mmdet_jetson.sources import Source

Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,47}$")]
Word = Annotated[str, msgspec.Meta(min_length=1)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Pixels = Annotated[int, msgspec.Meta(ge=32, le=4096)]
Side = Annotated[int, msgspec.Meta(ge=32, le=4096, multiple_of=32)]
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
RESERVED = ("base", "checkpoint", "documented")  # as in evaluate-base and export-documented
Backend = Literal["onnxruntime", "tensorrt", "tensorrt_rtx"]
Precision = Literal["fp32", "fp16", "int8"]
Capability = Annotated[int, msgspec.Meta(ge=50, le=199)]
Version = Annotated[str, msgspec.Meta(pattern=r"^\d+(\.\d+)*$")]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of a configuration file."""


class Split(Section, frozen=True):
    """Where the pictures and the annotations of one split lie inside the dataset's source."""

    pictures: str
    annotations: str


class Drawn(Section, frozen=True):
    """How many pictures to draw, and how large (width, height in pixels)."""

    train: Positive
    val: Positive
    size: tuple[Pixels, Pixels] = (320, 240)
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0


class Dataset(Section, frozen=True):
    """What to learn from: a source in VIA or COCO format, or pictures that we draw."""

    classes: Annotated[tuple[Word, ...], msgspec.Meta(min_length=1)]
    format: Literal["via", "coco", "drawn"] = "via"
    source: Word | None = None
    label_attribute: str = "label"
    default_class: str | None = None
    train: Split | None = None
    val: Split | None = None
    drawn: Drawn | None = None


class Train(Section, frozen=True):
    """How to train: an MMDetection config, and what to change in it."""

    config: Word
    weights: str | None = None
    epochs: Positive | None = None
    batch_size: Positive | None = None
    seed: int = 0
    workers: Annotated[int, msgspec.Meta(ge=0)] = 2
    device: Literal["auto", "cpu", "cuda"] = "auto"
    overrides: dict[str, Any] = {}


class Export(Section, frozen=True):
    """The MMDeploy config for each backend, and the NMS of fused graphs.

    ``thresholds`` says whose: those of the model's own test, or of the deploy config.
    """

    onnxruntime: Word = "configs/deploy/detection_onnxruntime_static.py"
    tensorrt: Word = "configs/deploy/detection_tensorrt_static.py"
    thresholds: Literal["model", "deploy"] = "model"
    candidates: Annotated[int, msgspec.Meta(ge=1, le=3840)] = 1000  # TensorRT's TopK has no more
    rounds: Annotated[int, msgspec.Meta(ge=1, le=100)] = 16


class Evaluate(Section, frozen=True):
    """How many validation pictures to draw, and from which score on."""

    pictures: Annotated[int, msgspec.Meta(ge=1, le=50)] = 4
    draw_threshold: Fraction = 0.3


class Profile(Section, frozen=True):
    """How often to time the engine."""

    repeats: Annotated[int, msgspec.Meta(ge=200)] = 200
    warmup: Annotated[int, msgspec.Meta(ge=1)] = 20


class Gates(Section, frozen=True):
    """What an engine must reach; a gate that is left out is not judged."""

    min_AP50: Fraction | None = None  # noqa: N815 - the metric's own name
    max_AP_drop: Fraction | None = None  # noqa: N815


class Pipeline(Section, frozen=True):
    """``pipeline.toml``: the one file a user edits."""

    name: Name
    input_size: tuple[Side, Side]
    targets: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1)]
    dataset: Dataset
    train: Train
    export: Export = Export()
    evaluate: Evaluate = Evaluate()
    profile: Profile = Profile()
    gates: Gates = Gates()


class Target(Section, frozen=True):
    """A device class and how to build for it.

    ``input`` of a fused graph: an ``image`` of any size, one that is ``letterboxed`` to the input
    size already, or a normalised ``tensor``. ``batch`` is how many pictures it takes at a time.
    ``compute_capabilities`` are the GPUs that TensorRT for RTX compiles for, without their dot.
    ``plugin`` is MMDeploy's library, which a documented graph needs in TensorRT.
    """

    description: str
    backend: Backend
    graph: Literal["fused", "documented"] = "fused"
    input: Literal["image", "letterboxed", "tensor"] = "image"
    batch: Positive = 1
    precision: Precision = "fp32"
    compute_capabilities: tuple[Capability, ...] = ()
    calibration_pictures: Positive = 64
    plugin: str | None = None
    image: Name | None = None
    """The container image of ``images.toml`` that its engine is built and measured in, if any."""
    jetpack: Version | None = None
    l4t: Version | None = None
    """The release that the device must run; "38" stands for any 38.x."""
    cuda: Version | None = None
    tensorrt: Version | None = None
    sm: Capability | None = None
    """Compute capability without its dot: 87 for Orin."""


class Sources(Section, frozen=True):
    """``sources.toml``: what may be fetched, and the mirrors that everyone here shares."""

    mirrors: tuple[str, ...] = ()
    sources: dict[str, Source] = {}


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """All configuration of one run, checked as a whole."""

    pipeline: Pipeline
    targets: dict[str, Target]
    sources: Sources
    folder: Path

    @property
    def used_targets(self) -> dict[str, Target]:
        """The targets that this pipeline builds for, in its order."""
        return {name: self.targets[name] for name in self.pipeline.targets}


def load_project(path: Path, overrides: Sequence[str] = ()) -> Project:
    """Read ``path`` and the ``targets.toml`` and ``sources.toml`` beside it.

    ``overrides`` are ``dotted.key=value`` assignments in TOML (a bare word is a string).

    Raises:
        ConfigError: something in the files or the overrides is wrong; names file and field.
    """
    raw = read_toml(path)
    for assignment in overrides:
        _merge(raw, _parse_assignment(assignment))
    targets, sources = path.parent / "targets.toml", path.parent / "sources.toml"
    beside = f"{path} needs it beside it: keep your configs in configs/, or copy it from there"
    project = Project(
        pipeline=convert(raw, Pipeline, path),
        targets={
            name: convert(table, Target, targets, name)
            for name, table in read_toml(targets, beside).items()
        },
        sources=convert(read_toml(sources, beside), Sources, sources),
        folder=path.parent,
    )
    _check(project, path)
    return project


def with_precision(project: Project, precision: str) -> Project:
    """Return the project with another precision for all its targets.

    Raises:
        ConfigError: there is no such precision.
    """
    if precision not in get_args(Precision):
        raise ConfigError(
            f"--precision {precision}: unknown", nearest(precision, get_args(Precision))
        )
    targets = {
        name: msgspec.structs.replace(target, precision=precision)
        for name, target in project.targets.items()
    }
    return msgspec.structs.replace(project, targets=targets)


def read_toml(path: Path, hint: str = "name another with --config") -> dict[str, Any]:
    """Parse one TOML file; ``hint`` is what to try where it does not exist.

    Raises:
        ConfigError: it does not exist, is not UTF-8 or is not TOML.
    """
    try:
        parsed: dict[str, Any] = msgspec.toml.decode(path.read_bytes(), type=dict[str, Any])
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file", hint) from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    return parsed


def flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn nested tables into dotted keys: ``{"a": {"b": 1}}`` becomes ``{"a.b": 1}``."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


T = TypeVar("T")


def convert(raw: Any, kind: type[T], path: Path, name: str = "") -> T:
    """Turn parsed TOML into a section.

    Raises:
        ConfigError: a field is wrong or unknown; names file and field.
    """
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {_explain(str(error), kind, name)}") from error


def _explain(message: str, kind: Any, name: str) -> str:
    """Turn msgspec's message into one that starts with the field and names what is valid."""
    text, _, where = message.partition(" - at `$")
    inside = where.rstrip("`").replace("[...]", ".*").lstrip(".")
    field = ".".join(filter(None, (name, inside)))
    unknown = re.search(r"unknown field `(.+)`", text)
    if unknown:
        advice = nearest(unknown[1], _type_at(kind, inside).__struct_encode_fields__)
        return f"unknown key {'.'.join(filter(None, (field, unknown[1])))!r}; {advice}"
    value = re.search(r"[Ii]nvalid enum value '(.*)'", text)
    if value:
        advice = nearest(value[1], get_args(_type_at(kind, inside)))
        return f"{field}: {value[1]!r} is unknown; {advice}"
    if "matching regex" in text:
        text = "a name has letters, digits, '_', '-' and '.' only, at most 48 of them"
    if "of length >= 1" in text:
        text = "must not be empty"
    return (f"{field}: " if field else "") + text[0].lower() + text[1:]


def _type_at(kind: Any, field: str) -> Any:
    """Find the type at a dotted path; ``*`` stands for any key of a mapping."""
    for part in filter(None, field.split(".")):
        if part == "*":
            kind = get_args(kind)[-1]
            continue
        kind = {each.encode_name: each.type for each in msgspec.structs.fields(kind)}[part]
        tables = [t for t in get_args(kind) if hasattr(t, "__struct_fields__")]
        if tables and get_origin(kind) is not dict:
            kind = tables[0]
    return kind


def _parse_assignment(assignment: str) -> dict[str, Any]:
    key, equals, value = assignment.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {assignment}: not an assignment", "write --set train.epochs=3")
    for text in (value, json.dumps(value.strip())):
        try:
            return msgspec.toml.decode(f"{key} = {text}".encode(), type=dict[str, Any])
        except msgspec.DecodeError:
            continue
    raise ConfigError(f"--set {assignment}: {key!r} is not a key", "write --set train.epochs=3")


def _merge(base: dict[str, Any], extra: Mapping[str, Any]) -> None:
    for key, value in extra.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value


def _check(project: Project, path: Path) -> None:
    """Check what no single field can tell."""
    pipeline, dataset = project.pipeline, project.pipeline.dataset
    if pipeline.name == "cache":
        raise ConfigError(f"{path}: name: 'cache' is what cached results are tagged with")
    for name in pipeline.targets:
        if name in RESERVED:
            raise ConfigError(
                f"{path}: targets: {name!r} is what a step is called", "rename the target"
            )
        if name not in project.targets:
            raise ConfigError(
                f"{path}: targets: {name!r} is not in targets.toml", nearest(name, project.targets)
            )
    for name, target in project.used_targets.items():
        _check_target(name, target)
    for field, values in (("targets", pipeline.targets), ("dataset.classes", dataset.classes)):
        if len(set(values)) != len(values):
            raise ConfigError(f"{path}: {field}: a name stands there twice", "remove one of them")
    if dataset.default_class not in (None, *dataset.classes):
        raise ConfigError(
            f"{path}: dataset.default_class: {dataset.default_class!r} is not in dataset.classes",
            nearest(str(dataset.default_class), dataset.classes),
        )
    given, drawn = ("source", "train", "val"), ("drawn",)
    needed, senseless = (drawn, given) if dataset.format == "drawn" else (given, drawn)
    for field in needed:
        if getattr(dataset, field) is None:
            raise ConfigError(f"{path}: dataset.{field}: needed for format {dataset.format!r}")
    for field in senseless:
        if getattr(dataset, field) is not None:
            raise ConfigError(
                f"{path}: dataset.{field}: means nothing for format {dataset.format!r}",
                "remove it, or change dataset.format",
            )


def _check_target(name: str, target: Target) -> None:
    """Check what fields of a target ask of each other."""
    if target.backend == "tensorrt_rtx" and not target.compute_capabilities:
        raise ConfigError(
            f"targets.toml: {name}.compute_capabilities: needed for backend 'tensorrt_rtx'",
            "list the GPUs to compile for, as in [86, 89]",
        )
    if target.graph == "fused" and target.input == "image" and target.batch > 1:
        raise ConfigError(
            f"targets.toml: {name}: pictures of any size cannot share a batch of {target.batch}",
            'set its input to "letterboxed"',
        )
    if target.graph == "fused" and target.input != "tensor" and _is(target.tensorrt, "8.4"):
        raise ConfigError(
            f"targets.toml: {name}.input: TensorRT {target.tensorrt} takes no 8-bit pictures",
            'set it to "tensor"',
        )


def _is(version: str | None, release: str) -> bool:
    """Whether a version is that release, or one of its patches."""
    return f"{version}.".startswith(f"{release}.")


def nearest(name: str, valid: Sequence[str] | Mapping[str, Any]) -> str:
    """Name the nearest valid word, or list them all, as a hint."""
    near = difflib.get_close_matches(name, list(valid), n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"one of: {', '.join(valid) or 'none yet'}"
