"""``[hosts]`` of ``pipeline.toml``: Docker hosts, and the targets whose engines each can build."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from mmdet_jetson.config.toml import Name, Positive, Section, nearest
from mmdet_jetson.errors import ConfigError


class Host(Section, frozen=True):
    """A Docker host: an address, or the name of a Docker context; in no key.

    It runs one step at a time, unless ``jobs`` says more.
    """

    address: Annotated[str, msgspec.Meta(min_length=1)]
    targets: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1)]
    jobs: Positive | None = None


def check_hosts(hosts: Mapping[str, Host], targets: Collection[str], path: Path) -> None:
    """Refuse a host of targets that there are not, and one that is there twice.

    Raises:
        ConfigError: names the field.
    """
    seen: dict[str, str] = {}
    for name, host in hosts.items():
        for target in host.targets:
            if target not in targets:
                raise ConfigError(
                    f"{path}: hosts.{name}.targets: {target!r} is not in targets.toml",
                    nearest(target, targets),
                )
        if host.address in seen:
            raise ConfigError(
                f"{path}: hosts.{name}.address: {host.address} is that of hosts."
                f"{seen[host.address]}, too",
                "write one of them, with the targets of both",
            )
        seen[host.address] = name


def hosts_of(hosts: Mapping[str, Host], target: str) -> list[str]:
    """Name the hosts that can build a target's engine, in the order of the configuration."""
    return [name for name, host in hosts.items() if target in host.targets]
