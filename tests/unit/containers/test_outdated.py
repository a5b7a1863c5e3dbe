import time
from collections.abc import Collection

import msgspec
import pytest
from fake_docker_host import FakeDockerHost, images

from mmdet_jetson.config.settings import Bases, Settings
from mmdet_jetson.containers import outdated
from mmdet_jetson.containers.docker_host import DockerHost
from mmdet_jetson.containers.images import decide
from mmdet_jetson.containers.objects import ImageSummary

OLD = "mmdet-jetson/train:0123456789abcdef"
OLD_TESTS = "mmdet-jetson/jp501-tests:0123456789abcdef"


def listed(*tags: str, days: float = 2, **labels: str) -> ImageSummary:
    spelled = {f"io.mmdet-jetson.{name}": value for name, value in labels.items()}
    return ImageSummary(f"sha256:{days}", tags, time.time() - days * 86400, spelled)


def docker_host(*listed: ImageSummary, in_use: Collection[str] = ()) -> DockerHost:
    stand_ins = (f"mmdet-jetson/stand-in:{name}" for name in ("train", "amd64", "arm64"))
    return FakeDockerHost(images(*stand_ins), listed=list(listed), in_use=in_use).host


def test_images_of_former_sources_are_outdated(settings: Settings) -> None:
    there = docker_host(listed(f"localhost/{OLD}"), listed(f"docker.io/{OLD_TESTS}"))
    assert outdated.outdated(there, settings) == [OLD_TESTS, OLD]


def test_young_images_stay(settings: Settings) -> None:
    there = docker_host(listed(OLD, days=0.9))
    assert outdated.outdated(there, settings) == []
    assert outdated.outdated(there, settings, days=0.5) == [OLD]


@pytest.mark.parametrize("bases", ["registry", "stand-in"])
@pytest.mark.parametrize("name", ["train", "pc", "jp501"])
def test_current_images_stay_on_either_bases(name: str, bases: Bases, settings: Settings) -> None:
    chosen = msgspec.structs.replace(settings, bases=bases)
    planned = decide(docker_host(), name, chosen)
    assert outdated.outdated(docker_host(listed(planned.tag, planned.test_tag)), settings) == []


def test_without_stand_ins_images_on_them_are_outdated(settings: Settings) -> None:
    planned = decide(docker_host(), "train", msgspec.structs.replace(settings, bases="stand-in"))
    assert outdated.outdated(FakeDockerHost(listed=[listed(planned.tag)]).host, settings) == [
        planned.tag
    ]


@pytest.mark.parametrize(
    "tag",
    [
        "mmdet-jetson/stand-in:train",
        "mmdet-jetson/empty:latest",
        "mmdet-jetson/trial:1",
        "theirs/train:0123456789abcdef",
        "example.com/mmdet-jetson/train:0123456789abcdef",
        "ubuntu:24.04",
    ],
)
def test_what_is_not_made_of_sources_stays(tag: str, settings: Settings) -> None:
    assert outdated.outdated(docker_host(listed(tag)), settings) == []


def test_of_untagged_images_only_finished_ones_are_outdated(settings: Settings) -> None:
    there = docker_host(listed(days=2, lock="sha256:1"), listed(days=3, **{"stand-in": "true"}))
    assert outdated.outdated(there, settings) == ["sha256:2"]


def test_an_image_in_use_stays() -> None:
    assert outdated.remove(docker_host(in_use=[OLD]), [OLD, OLD_TESTS]) == 1
