"""Device classes: what an engine is built for and with, as ``targets.toml`` says."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from mmdet_jetson.config.toml import Name, Positive, Section, check_choice, nearest
from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.contract.nvidia import FACTS, OR
from mmdet_jetson.contract.parameters.engine import SMALLEST_SIDE, BuilderSettings, SessionSettings
from mmdet_jetson.errors import ConfigError

PRECISIONS = tuple(dict.fromkeys(each for b in BACKENDS.values() for each in b.precisions))
Capability = Annotated[int, msgspec.Meta(ge=50, le=199)]
Versions = str | tuple[str, ...]
"""A version, or several of which any will do.

Their pattern is checked by hand: with one in a union msgspec 0.22 now and then ends a process in a
segmentation fault, when Python clears its memory.
"""
SETTINGS = tuple(field.name for field in fields(BuilderSettings))
LIKE = "like"
TYPED_FROM = (10, 0)
"""From this TensorRT on networks are computed in the types of their graph."""
WITHOUT_BYTES = (8, 4)
"""This TensorRT has no 8-bit inputs."""


class Target(Section, frozen=True):
    """A device class and how to build for it.

    ``input`` of a fused graph: an ``image`` of any size, one that is ``letterboxed`` to the input
    size already, or a normalised ``tensor``. ``batch`` is how many pictures it takes at a time.
    ``compute_capabilities`` are the GPUs that TensorRT for RTX compiles for, without their dot.
    ``plugin`` is MMDeploy's library, which a documented graph needs in TensorRT. The settings of
    TensorRT's builder, from ``workspace`` on, are those of `BuilderSettings`, the last two those of
    `SessionSettings`.
    """

    description: str
    backend: str
    like: str | None = None
    """The target that `inherited` filled it from."""
    graph: Literal["fused", "documented"] = "fused"
    input: Literal["image", "letterboxed", "tensor"] = "image"
    batch: Positive = 1
    precision: str = "fp32"
    compute_capabilities: tuple[Capability, ...] = ()
    calibration_pictures: Positive = 64
    plugin: str | None = None
    image: Name | None = None
    """The container image of ``images.toml`` that its engine is built and measured in, if any."""
    l4t: Versions | None = None
    """The release that the device must run, as far as it is given: "38" stands for any 38.x."""
    jetpack: Versions | None = None
    cuda: Versions | None = None
    tensorrt: Versions | None = None
    sm: Capability | tuple[Capability, ...] | None = None
    """Compute capability without its dot: 87 for Orin."""
    module: Literal["AGX Xavier", "AGX Orin", "Orin NX", "Orin Nano", "Thor"] | None = None
    """The Jetson module, where a target is for one only; of `MODULES`."""
    workspace: Annotated[int, msgspec.Meta(ge=16, le=65536)] | None = None
    largest_picture: Annotated[int, msgspec.Meta(ge=SMALLEST_SIDE, le=16384)] | None = None
    dla: Annotated[int, msgspec.Meta(ge=0, le=1)] | None = None
    optimization_level: Annotated[int, msgspec.Meta(ge=0, le=5)] | None = None
    cuda_graph: bool = False
    mapped_memory: bool = False
    power_mode: Name | None = None
    """The mode that profiles are taken in, as nvpmodel names it: MAXN. None: the strongest."""

    @property
    def builder(self) -> BuilderSettings:
        """What TensorRT's builder is told."""
        return BuilderSettings(**self.builder_stated)

    @property
    def builder_stated(self) -> dict[str, int]:
        """Those of its settings that the target states."""
        said = {name: getattr(self, name) for name in SETTINGS}
        return {name: value for name, value in said.items() if value is not None}

    @property
    def takes_any_size(self) -> bool:
        """Whether its engine takes pictures as they are."""
        return self.graph == "fused" and self.input == "image"

    @property
    def session(self) -> SessionSettings:
        """How its engine is run on a GPU."""
        return SessionSettings(self.cuda_graph, self.mapped_memory)

    @property
    def facts(self) -> Mapping[str, str]:
        """What its device must report, by the names above, where anything is said of it.

        Each is as `is_version` takes it, so several versions have "or" between them.
        """
        said = {name: getattr(self, name) for name in FACTS}
        return {name: _any_of(value) for name, value in said.items() if value}

    def tensorrts(self, matches: Callable[[tuple[int, ...]], bool]) -> list[str]:
        """Those of its TensorRTs, as they are stated, whose first two numbers match."""
        stated = [each for each in self.facts.get("tensorrt", "").split(OR) if _is_number(each)]
        return [each for each in stated if matches(_two_numbers(each))]


def _is_number(version: str) -> bool:
    return version.replace(".", "").isdigit()


def _two_numbers(version: str) -> tuple[int, ...]:
    """Give the first two numbers of a version: "10" is 10.0 and what came after it."""
    first, second = f"{version}.0".split(".")[:2]
    return int(first), int(second)


def _any_of(value: str | int | tuple[str | int, ...]) -> str:
    return OR.join(map(str, value)) if isinstance(value, tuple) else str(value)


def inherited(tables: Mapping[str, object], path: Path) -> dict[str, object]:
    """Fill tables that say ``like = "another target"`` with what that one says.

    All but its description: this one is another target.

    Raises:
        ConfigError: there is no such target, or it is like this one.
    """
    return {name: _filled((name,), tables, path) for name in tables}


def _filled(names: Sequence[str], tables: Mapping[str, object], path: Path) -> object:
    """Fill the last of ``names``, each of which the one before is like."""
    table = tables[names[-1]]
    if not isinstance(table, dict) or LIKE not in table:
        return table
    field, other = f"{path}: {names[-1]}.{LIKE}", table[LIKE]
    if other == "":
        raise ConfigError(f"{field}: names no target", "name one, or remove it")
    if not isinstance(other, str) or other not in tables:
        raise ConfigError(f"{field}: there is no target {other!r}", nearest(str(other), tables))
    if other in names:
        first, *rest = names[names.index(other) :]
        circle = ", which is like ".join(map(repr, (*rest, other)))
        raise ConfigError(f"{field}: {first!r} is like {circle}", "let one of them state it all")
    base = _filled((*names, other), tables, path)
    if not isinstance(base, dict):
        return table
    return {**{key: value for key, value in base.items() if key != "description"}, **table}


def check_target(place: str, target: Target) -> None:
    """Check what no field of a target can tell alone; ``place`` is its file and its name."""
    check_choice(f"{place}.backend", target.backend, BACKENDS)
    check_choice(f"{place}.precision", target.precision, PRECISIONS)
    backend = BACKENDS[target.backend]
    if target.precision not in backend.precisions:
        raise ConfigError(
            f"{place}.precision: backend {target.backend!r} does not build "
            f"engines in {target.precision}",
            f"set it to {' or '.join(map(json.dumps, backend.precisions))}",
        )
    if (
        target.graph == "documented"
        and backend.documented
        and (target.precision not in backend.documented)
    ):
        raise ConfigError(
            f"{place}.graph: backend {target.backend!r} cannot lower a documented "
            f"graph to {target.precision}: it does not tell its network from its post-processing",
            'set it to "fused", or the precision to "fp32"',
        )
    if target.graph == "documented" and not backend.documented:
        raise ConfigError(
            f"{place}.graph: backend {target.backend!r} does not run a documented "
            "graph, because it loads no plugins",
            'set it to "fused"',
        )
    if backend.lists_gpus and not target.compute_capabilities:
        raise ConfigError(
            f"{place}.compute_capabilities: needed for backend {target.backend!r}",
            "list the GPUs to compile for, as in [86, 89]",
        )
    if target.takes_any_size and target.batch > 1:
        raise ConfigError(
            f"{place}: pictures of any size cannot share a batch of {target.batch}",
            'set its input to "letterboxed"',
        )
    if target.graph == "documented" and target.precision != "fp32":
        for tensorrt in target.tensorrts(lambda version: version >= TYPED_FROM):
            raise ConfigError(
                f"{place}.graph: TensorRT {tensorrt} computes in the types of a "
                f"graph, and a documented one cannot be lowered to {target.precision}: it does not "
                "tell its network from its post-processing",
                'set it to "fused", or the precision to "fp32"',
            )
    if target.graph == "fused" and target.input != "tensor":
        for tensorrt in target.tensorrts(lambda version: version == WITHOUT_BYTES):
            raise ConfigError(
                f"{place}.input: TensorRT {tensorrt} takes no 8-bit pictures",
                'set it to "tensor"',
            )
