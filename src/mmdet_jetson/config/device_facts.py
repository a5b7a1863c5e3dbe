"""What a target says of its device, refused where no device is like that."""

import re
from collections.abc import Mapping, Sequence

from mmdet_jetson.config.targets import Target
from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.contract.nvidia import (
    FACTS,
    JETPACKS,
    LINUX_FOR,
    MODULES,
    OR,
    is_version,
    jetpack_of,
    jetpacks_of,
)
from mmdet_jetson.errors import ConfigError

VERSION = re.compile(r"\d+(\.\d+)*")
ONE_OF_THEM = "correct one of them, or leave one out"


def check_device_facts(place: str, target: Target) -> None:
    """Check what a target says of its device; ``place`` is its file and its name.

    Raises:
        ConfigError: no such device exists, or the engine is not of a device.
    """
    stated = {name: getattr(target, name) for name in (*FACTS, "module")}
    stated = {name: value for name, value in stated.items() if value is not None}
    if stated and not BACKENDS[target.backend].builds_on_its_device:
        raise ConfigError(
            f"{place}.{next(iter(stated))}: engines of backend {target.backend!r} are built on any "
            "machine, so none is compared with the target",
            "remove it",
        )
    for name, value in stated.items():
        if isinstance(value, tuple):
            _check_list(f"{place}.{name}", value)
    for fact, said in stated.items():
        if fact not in ("sm", "module"):
            _check_versions(f"{place}.{fact}", said)
    _check_jetpack(place, target.facts)
    _check_gpu(place, target)


def _check_list(field: str, values: Sequence[object]) -> None:
    if not values:
        raise ConfigError(f"{field}: lists nothing", "list one at least, or remove it")
    for value in values:
        if values.count(value) > 1:
            raise ConfigError(f"{field}: {value!r} is listed twice", "remove one of them")


def _check_versions(field: str, said: str | tuple[str, ...]) -> None:
    for version in [said] if isinstance(said, str) else said:
        if not VERSION.fullmatch(version):
            raise ConfigError(
                f"{field}: a version is numbers with dots between them, such as 35.4.1, and this "
                f"is {version!r}",
                'correct it, or list several: ["36.4", "36.5"]',
            )


def _check_jetpack(place: str, facts: Mapping[str, str]) -> None:
    """Refuse a release of Jetson Linux whose JetPack is another one, and the other way round.

    "36" may stand for a release that came after us, and then so may its JetPack.
    """
    if "l4t" not in facts or "jetpack" not in facts:
        return
    needed = facts["jetpack"]
    possible = {l4t: jetpacks_of(l4t) for l4t in facts["l4t"].split(OR)}
    for l4t, jetpacks in possible.items():
        certain = jetpack_of(l4t) or _is_known(needed)
        if certain and jetpacks and not any(is_version(each, needed) for each in jetpacks):
            raise ConfigError(
                f"{place}.jetpack: L4T {l4t} is JetPack {OR.join(jetpacks)}, so no device has it "
                f"with JetPack {needed}",
                ONE_OF_THEM,
            )
    every = [each for jetpacks in possible.values() for each in jetpacks]
    for jetpack in filter(_is_known, needed.split(OR)):
        if all(possible.values()) and not any(is_version(each, jetpack) for each in every):
            raise ConfigError(
                f"{place}.jetpack: L4T {facts['l4t']} is JetPack {OR.join(dict.fromkeys(every))}, "
                f"and never {jetpack}",
                ONE_OF_THEM,
            )


def _is_known(jetpack: str) -> bool:
    return any(is_version(known, jetpack) for known in JETPACKS.values())


def _check_gpu(place: str, target: Target) -> None:
    """Refuse a GPU that the module does not have, or that its Jetson Linux does not run on."""
    gpus = [MODULES[target.module]] if target.module else []
    stated = target.facts.get("sm", "").split(OR)
    if target.module and target.sm and stated != [str(gpus[0])]:
        raise ConfigError(
            f"{place}.sm: the GPU of a Jetson {target.module} has compute capability {gpus[0]}, "
            f"and this is {OR.join(stated)}",
            "correct sm or module, or leave one out",
        )
    for sm in stated if target.sm else map(str, gpus):
        for l4t in filter(None, target.facts.get("l4t", "").split(OR)):
            runs_on = LINUX_FOR.get(l4t.partition(".")[0])
            if runs_on and int(sm) not in runs_on:
                raise ConfigError(
                    f"{place}.l4t: L4T {l4t} runs on GPUs of compute capability "
                    f"{OR.join(map(str, runs_on))}, and the target is for {sm}",
                    ONE_OF_THEM,
                )
