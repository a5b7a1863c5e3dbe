"""Stand-ins for what builds TensorRT's engines: profiles, configs, calibration and the builder.

An "engine" is the ONNX file that was parsed, with a record of how the builder was set up.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from tensorrt_engines import FakeCuda
from tensorrt_layers import DeviceType, Layer, Network, listing

RECORD = b"\0record\0"
NOT_TYPED = "EXPLICIT_BATCH"
TIMINGS = b"timings of this GPU"
Severity = IntEnum("Severity", "INTERNAL_ERROR ERROR WARNING INFO VERBOSE", start=0)
MemoryPool = IntEnum("MemoryPool", "WORKSPACE DLA_MANAGED_SRAM", start=0)
Verbosity = IntEnum("Verbosity", "LAYER_NAMES_ONLY NONE DETAILED", start=0)
Format = IntEnum("Format", "ONELINE JSON", start=0)
LOWER = {"FP16", "INT8", "OBEY_PRECISION_CONSTRAINTS"}


class Logger(Protocol):
    """As the project's own, which TensorRT calls."""

    def log(self, severity: Severity, message: str) -> None: ...


@dataclass
class Profile:
    shapes: dict[str, list[list[int]]] = field(default_factory=dict)

    def set_shape(
        self, name: str, smallest: Sequence[int], best: Sequence[int], largest: Sequence[int]
    ) -> None:
        self.shapes[name] = [list(smallest), list(best), list(largest)]


@dataclass
class TimingCache:
    """``content`` is what it started from; a device refuses timings but its own."""

    content: bytes

    def serialize(self) -> bytes:
        return TIMINGS


class Config:
    """What 8.6 to 11 have in common; what older ones have besides is in `OldConfig`."""

    builder_optimization_level = 3

    def __init__(self) -> None:
        self._flags: list[str] = ["TF32"]
        self._profiles: list[Profile] = []
        self._workspace = 0
        self._cache: TimingCache | None = None
        self.profiling_verbosity = Verbosity.LAYER_NAMES_ONLY
        self.DLA_core = -1
        self._on_dla: list[str] = []

    num_optimization_profiles = property(lambda self: len(self._profiles))

    def set_memory_pool_limit(self, pool: MemoryPool, size: int) -> None:
        assert pool == MemoryPool.WORKSPACE
        self._workspace = size

    def set_flag(self, flag: IntEnum) -> None:
        self._flags.append(flag.name)

    def clear_flag(self, flag: IntEnum) -> None:
        self._flags.remove(flag.name)

    def can_run_on_DLA(self, layer: Layer) -> bool:  # noqa: N802 - TensorRT's name
        """It computes convolutions, in the precisions that are allowed."""
        floats = [each.dtype.name for each in layer.outputs]
        return "Conv" in layer.name.title() and ("FP16" in self._flags or "HALF" in floats)

    def set_device_type(self, layer: Layer, device: IntEnum) -> None:
        assert device == DeviceType.DLA
        self._on_dla.append(layer.name)

    def add_optimization_profile(self, profile: Profile) -> int:
        self._profiles.append(profile)
        return 0

    def create_timing_cache(self, content: bytes) -> TimingCache | None:
        is_one = content == b"" or content.startswith(b"timings")
        return TimingCache(content) if is_one else None

    def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool:
        if cache.content not in (b"", TIMINGS) and not ignore_mismatch:
            return False
        self._cache = cache
        return True

    def get_timing_cache(self) -> TimingCache | None:
        return self._cache


class Calibrator(Protocol):
    """As the project's own, which TensorRT asks for pictures."""

    def get_batch_size(self) -> int: ...
    def get_batch(self, names: Sequence[str]) -> list[int] | None: ...
    def read_calibration_cache(self) -> bytes | None: ...
    def write_calibration_cache(self, learnt: memoryview) -> None: ...


class OldConfig(Config):
    int8_calibrator: Calibrator | None = None


class OldestConfig(OldConfig):
    """Before 8.6."""

    builder_optimization_level = property()  # as if there were none: reading it fails


class RtxConfig(Config):
    num_compute_capabilities = 0

    def set_compute_capability(self, capability: IntEnum, index: int) -> bool:
        return index < self.num_compute_capabilities


def creation_flags(numbers: tuple[int, ...]) -> str:
    """Name the flags of networks, as NvInfer.h of 8.6.1, 10.0, 10.13 and 11.0 numbers them."""
    if numbers < (10,):
        return "EXPLICIT_BATCH"
    return "EXPLICIT_BATCH STRONGLY_TYPED" if numbers < (11,) else "STRONGLY_TYPED"


def builder_of(config: type[Config], numbers: tuple[int, ...], dla_cores: int) -> type:
    class Builder:
        num_DLA_cores = dla_cores  # noqa: N815 - TensorRT's name

        def __init__(self, logger: Logger) -> None:
            self.logger = logger

        def create_network(self, flags: int) -> Network:
            self.flags = flags
            return Network(
                is_typed=creation_flags(numbers).split()[flags.bit_length() - 1] != NOT_TYPED
            )

        def create_builder_config(self) -> Config:
            return config()

        def create_optimization_profile(self) -> Profile:
            return Profile()

        def build_serialized_network(self, network: Network, setup: Config) -> bytes | None:
            self.logger.log(Severity.VERBOSE, "tactics")
            self.logger.log(Severity.INFO, "compiling")
            if b"too large" in network.content:
                self.logger.log(Severity.ERROR, "Error Code 2: out of memory\ndetails")
                return None
            if network.is_typed and LOWER & set(setup._flags):
                self.logger.log(Severity.ERROR, "Error Code 3: flags in a strongly typed network")
                return None
            record = {
                "creation": self.flags,
                "flags": setup._flags,
                "workspace": setup._workspace,
                "level": getattr(setup, "builder_optimization_level", None),
                "core": setup.DLA_core,
                "on_dla": setup._on_dla,
                "profiles": [profile.shapes for profile in setup._profiles],
                "fp32": [x.name for x in network.layers if getattr(x.bound, "name", "") == "FLOAT"],
                "fp16": [x.name for x in network.layers if getattr(x.bound, "name", "") == "HALF"],
                "outputs": [x.name for x in network.layers if getattr(x, "output_types", None)],
                "calibrated": _calibrate(setup, network),
                "timings": setup._cache.content.decode() if setup._cache else None,
                "layers": listing(network, setup._flags, numbers)
                if setup.profiling_verbosity == Verbosity.DETAILED
                else "{}",
            }
            return network.content + RECORD + json.dumps(record).encode()

    return Builder


def _calibrate(setup: Config, network: Network) -> int:
    """Ask for all calibration pictures, as a builder of old does, and count them."""
    calibrator = setup.int8_calibrator if isinstance(setup, OldConfig) else None
    if calibrator is None:
        return 0
    count = 0
    assert calibrator.get_batch_size() == 1
    if calibrator.read_calibration_cache() is not None:
        return 0
    assert not any(tensor.dtype.name == "UINT8" for tensor in network.inputs), "unconfirmed"
    names = [tensor.name for tensor in network.inputs]
    while (addresses := calibrator.get_batch(names)) is not None:
        for tensor, address in zip(network.inputs, addresses, strict=True):
            assert FakeCuda.blocks[address].any()
            assert FakeCuda.blocks[address].nbytes == 4 * math.prod(tensor.shape)
        count += 1
    calibrator.write_calibration_cache(memoryview(b"ranges"))
    return count
