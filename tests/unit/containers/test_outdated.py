import time
from typing import Any

import msgspec
import pytest
from fake_engine import FakeEngine, image

from mmdet_jetson.config.settings import Settings
from mmdet_jetson.containers import outdated as leftovers
from mmdet_jetson.containers.images import decide
from mmdet_jetson.containers.objects import ImageSummary

OLD = "mmdet-jetson/train:0123456789abcdef"
OLD_TESTS = "mmdet-jetson/jp501-tests:0123456789abcdef"


def listed(*tags: str, days: float = 2, **labels: str) -> ImageSummary:
    spelled = {f"io.mmdet-jetson.{name}": value for name, value in labels.items()}
    return ImageSummary(f"sha256:{days}", tags, time.time() - days * 86400, spelled)


def engine(*images: ImageSummary, **more: Any) -> FakeEngine:
    stand_ins = ("train", "amd64", "arm64")
    known = {f"mmdet-jetson/stand-in:{name}": image(name) for name in stand_ins}
    return FakeEngine(known, listed=list(images), **more)


def test_images_of_former_sources_are_outdated(settings: Settings) -> None:
    there = engine(listed(f"localhost/{OLD}"), listed(f"docker.io/{OLD_TESTS}"))
    assert leftovers.outdated(there, settings) == [OLD_TESTS, OLD]


def test_young_images_stay(settings: Settings) -> None:
    there = engine(listed(OLD, days=0.9))
    assert leftovers.outdated(there, settings) == []
    assert leftovers.outdated(there, settings, days=0.5) == [OLD]


@pytest.mark.parametrize("bases", ["registry", "stand-in"])
@pytest.mark.parametrize("name", ["train", "pc", "jp501"])
def test_current_images_stay_on_either_bases(name: str, bases: Any, settings: Settings) -> None:
    chosen = msgspec.structs.replace(settings, bases=bases)
    made = decide(engine(), name, chosen)
    assert leftovers.outdated(engine(listed(made.tag, made.test_tag)), settings) == []


def test_without_stand_ins_images_on_them_are_outdated(settings: Settings) -> None:
    made = decide(engine(), "train", msgspec.structs.replace(settings, bases="stand-in"))
    assert leftovers.outdated(FakeEngine(listed=[listed(made.tag)]), settings) == [made.tag]


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
    assert leftovers.outdated(engine(listed(tag)), settings) == []


def test_of_untagged_images_only_finished_ones_are_outdated(settings: Settings) -> None:
    there = engine(listed(days=2, lock="sha256:1"), listed(days=3, **{"stand-in": "true"}))
    assert leftovers.outdated(there, settings) == ["sha256:2"]


def test_an_image_that_is_needed_stays() -> None:
    assert leftovers.remove(engine(needed=[OLD]), [OLD, OLD_TESTS]) == 1
