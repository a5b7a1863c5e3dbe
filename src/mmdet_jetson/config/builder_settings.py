"""What a target asks of TensorRT's builder, refused where no such device or version has it."""

import json
from dataclasses import asdict

from mmdet_jetson.config.targets import TYPED_FROM, Target
from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.contract.nvidia import lacks_dla
from mmdet_jetson.errors import ConfigError

LEVELS_FROM = (8, 6)
# "TensorRT 10.7 was the last release that supported DLA", until 11.4.1 does so again: the pages on
# DLA of NVIDIA's documentation of TensorRT 11.3.0 and 11.4.1. Of 11.4 the device is asked.
NO_DLA_FROM, DLA_AGAIN_FROM = (10, 8), (11, 4)


def check_builder(place: str, target: Target, input_size: tuple[int, int]) -> None:
    """Check the settings of a target's builder, as far as a plan can tell.

    ``place`` is the file that the target stands in, and its name.

    Raises:
        ConfigError: one has no meaning for this backend, graph, module, TensorRT or input size.
    """
    known = BACKENDS[target.backend].settings
    for setting in target.builder_stated:
        if setting not in known:
            raise ConfigError(
                f"{place}.{setting}: backend {target.backend!r} has no such setting",
                f"remove it; that backend has {' and '.join(known)}" if known else "remove it",
            )
    for setting, is_on in asdict(target.session).items():
        if is_on and not BACKENDS[target.backend].needs_gpu:
            raise ConfigError(
                f"{place}.{setting}: backend {target.backend!r} runs on no GPU",
                "remove it",
            )
    _check_level(place, target)
    _check_pictures(place, target, input_size)
    if target.dla is not None:
        _check_dla(place, target, target.dla)


def _check_level(place: str, target: Target) -> None:
    if target.optimization_level is not None:
        for stated in target.tensorrts(lambda version: version < LEVELS_FROM):
            raise ConfigError(
                f"{place}.optimization_level: TensorRT {stated} has none, 8.6 and later have",
                "remove it",
            )


def _check_pictures(place: str, target: Target, input_size: tuple[int, int]) -> None:
    """Refuse a largest picture where there is one size only, and one below the best size."""
    largest, best = target.largest_picture, max(input_size)
    if largest is None:
        return
    if not target.takes_any_size:
        raise ConfigError(
            f"{place}.largest_picture: its engine takes pictures of one size only",
            'remove it, or set input to "image"',
        )
    if largest < best:
        raise ConfigError(
            f"{place}.largest_picture: {largest} is less than the longer side of "
            f"input_size, {best}",
            f"set it to {best} or more",
        )


def _check_dla(place: str, target: Target, core: int) -> None:
    """Refuse an accelerator where there is none, and what none computes."""
    field = f"{place}.dla"
    if target.precision == "fp32":
        raise ConfigError(
            f"{field}: a DLA computes in half precision and in 8 bits, and not in fp32",
            'set its precision to "fp16", or remove dla',
        )
    if lacks := lacks_dla(target.module or "", core):
        raise ConfigError(f"{field}: a Jetson {target.module} {lacks}", "remove it")
    for stated in target.tensorrts(lambda version: NO_DLA_FROM <= version < DLA_AGAIN_FROM):
        raise ConfigError(
            f"{field}: TensorRT {stated} has no DLA: 10.7 was the last with one, and 11.4.1 is the "
            "next",
            "remove it",
        )
    if target.graph != "fused":
        raise ConfigError(
            f"{field}: a documented graph does not tell its network from its post-processing, "
            "which must stay on the GPU",
            'set its graph to "fused", or remove dla',
        )
    if target.input == "image":
        raise ConfigError(
            f"{field}: a DLA computes networks whose inputs have one size only",
            'set its input to "letterboxed", or remove dla',
        )
    if target.precision == "int8":
        for stated in target.tensorrts(lambda version: version >= TYPED_FROM):
            raise ConfigError(
                f"{field}: for TensorRT {stated} int8 is Quantize and Dequantize nodes, which no "
                "DLA takes",
                f"set its precision to {json.dumps('fp16')}, or remove dla",
            )
