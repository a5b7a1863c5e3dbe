"""Device classes: what an engine is built for and with, as ``targets.toml`` says."""

import json
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from mmdet_jetson.config.toml import Name, Positive, Section, check_choice, pattern
from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.contract.nvidia import is_version, jetpack_of
from mmdet_jetson.errors import ConfigError

PRECISIONS = tuple(dict.fromkeys(each for b in BACKENDS.values() for each in b.precisions))
Capability = Annotated[int, msgspec.Meta(ge=50, le=199)]
Version = Annotated[
    str, pattern(r"^\d+(\.\d+)*$", "a version is numbers with dots between them, such as 35.4.1")
]


class Target(Section, frozen=True):
    """A device class and how to build for it.

    ``input`` of a fused graph: an ``image`` of any size, one that is ``letterboxed`` to the input
    size already, or a normalised ``tensor``. ``batch`` is how many pictures it takes at a time.
    ``compute_capabilities`` are the GPUs that TensorRT for RTX compiles for, without their dot.
    ``plugin`` is MMDeploy's library, which a documented graph needs in TensorRT.
    """

    description: str
    backend: str
    graph: Literal["fused", "documented"] = "fused"
    input: Literal["image", "letterboxed", "tensor"] = "image"
    batch: Positive = 1
    precision: str = "fp32"
    compute_capabilities: tuple[Capability, ...] = ()
    calibration_pictures: Positive = 64
    plugin: str | None = None
    image: Name | None = None
    """The container image of ``images.toml`` that its engine is built and measured in, if any."""
    l4t: Version | None = None
    """The release that the device must run, as far as it is given: "38" stands for any 38.x."""
    jetpack: Version | None = None
    cuda: Version | None = None
    tensorrt: Version | None = None
    sm: Capability | None = None
    """Compute capability without its dot: 87 for Orin."""
    power_mode: Name | None = None
    """The mode that profiles are taken in, as nvpmodel names it: MAXN. None: the strongest."""

    @property
    def facts(self) -> Mapping[str, str]:
        """What its device must report, by the names above, where anything is said of it."""
        names = ("l4t", "jetpack", "cuda", "tensorrt", "sm")
        said = {name: getattr(self, name) for name in names}
        return {name: str(value) for name, value in said.items() if value is not None}


def check_target(name: str, target: Target) -> None:
    """Check what no field of a target can tell alone."""
    check_choice(f"targets.toml: {name}.backend", target.backend, BACKENDS)
    check_choice(f"targets.toml: {name}.precision", target.precision, PRECISIONS)
    backend = BACKENDS[target.backend]
    if target.precision not in backend.precisions:
        raise ConfigError(
            f"targets.toml: {name}.precision: backend {target.backend!r} does not build "
            f"engines in {target.precision}",
            f"set it to {' or '.join(map(json.dumps, backend.precisions))}",
        )
    if (
        target.graph == "documented"
        and backend.documented
        and (target.precision not in backend.documented)
    ):
        raise ConfigError(
            f"targets.toml: {name}.graph: backend {target.backend!r} cannot lower a documented "
            f"graph to {target.precision}: it does not tell its network from its post-processing",
            'set it to "fused", or the precision to "fp32"',
        )
    if target.graph == "documented" and not backend.documented:
        raise ConfigError(
            f"targets.toml: {name}.graph: backend {target.backend!r} does not run a documented "
            "graph, because it loads no plugins",
            'set it to "fused"',
        )
    if backend.lists_gpus and not target.compute_capabilities:
        raise ConfigError(
            f"targets.toml: {name}.compute_capabilities: needed for backend {target.backend!r}",
            "list the GPUs to compile for, as in [86, 89]",
        )
    if target.graph == "fused" and target.input == "image" and target.batch > 1:
        raise ConfigError(
            f"targets.toml: {name}: pictures of any size cannot share a batch of {target.batch}",
            'set its input to "letterboxed"',
        )
    jetpack = jetpack_of(target.l4t or "")
    if jetpack and target.jetpack and not is_version(jetpack, target.jetpack):
        raise ConfigError(
            f"targets.toml: {name}.jetpack: L4T {target.l4t} is JetPack {jetpack}, so no device "
            f"has it with JetPack {target.jetpack}",
            "correct one of them, or leave one out",
        )
    if (
        target.graph == "fused"
        and target.input != "tensor"
        and is_version(target.tensorrt or "", "8.4")
    ):
        raise ConfigError(
            f"targets.toml: {name}.input: TensorRT {target.tensorrt} takes no 8-bit pictures",
            'set it to "tensor"',
        )
