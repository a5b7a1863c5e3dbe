import json
import shutil
from pathlib import Path

import pytest

from mmdet_jetson.config.images import Pin, load_images, write_pins
from mmdet_jetson.config.pipeline import load_project
from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.contract.nvidia import is_version
from mmdet_jetson.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = ROOT / "configs/images.toml"
DIGEST = f"sha256:{'a' * 64}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "docker", tmp_path / "docker")
    (tmp_path / "configs").mkdir()
    return Path(shutil.copy(SHIPPED, tmp_path / "configs"))


def test_every_target_has_an_image_of_its_kind() -> None:
    images = load_images(SHIPPED).images
    for name, target in load_project(ROOT / "configs/pipeline.toml").targets.items():
        if BACKENDS[target.backend].environment != "deploy":
            assert target.image is None, name  # images have environment `deploy` only, yet
            continue
        assert target.image is not None, name
        assert target.image in images, name
        platform = "linux/amd64" if name.startswith("pc") else "linux/arm64"
        assert images[target.image].platform == platform, name


def test_a_target_for_tensorrt_states_what_its_device_must_report() -> None:
    targets = load_project(ROOT / "configs/pipeline.toml").targets.values()
    facts = [
        (t.jetpack, t.l4t, t.cuda, t.tensorrt, t.sm) for t in targets if t.backend == "tensorrt"
    ]
    assert len(facts) >= 6
    assert all(all(each) for each in facts)


def test_an_image_brings_the_tensorrt_and_the_cuda_of_its_targets() -> None:
    images = load_images(SHIPPED).images
    compared = set()
    for name, target in load_project(ROOT / "configs/pipeline.toml").targets.items():
        version = images[target.image].tensorrt if target.image else None
        if target.backend == "tensorrt" and version:
            assert is_version(version.partition("-")[0], target.facts["tensorrt"]), name
            assert is_version(version.partition("+cuda")[2], target.facts["cuda"]), name
            compared.add(target.image)
    assert compared == {"jp7", "jp72"}


def test_the_documented_bases_are_those_that_it_names() -> None:
    images = load_images(SHIPPED).images
    assert images["train"].builder == "nvidia/cuda:11.3.1-cudnn8-devel-ubuntu20.04"
    for name, dockerfile in (("train", "Dockerfile.train"), ("jp501", "Dockerfile.l4t")):
        text = (ROOT / dockerfile).read_text()
        assert f"ARG BASE_IMAGE={images[name].base}\n" in text
        assert f"ARG BUILDER_IMAGE={images[name].builder}\n" in text


def test_what_has_no_pin_is_used_as_it_is() -> None:
    assert load_images(SHIPPED).pinned("any:1") == "any:1"


def test_pins_are_read_from_the_file_beside(file: Path) -> None:
    write_pins(
        file, {"ubuntu:24.04": Pin(DIGEST, "2026-11-26"), "gone:1": Pin(DIGEST, "2020-01-01")}
    )
    assert load_images(file).pinned("ubuntu:24.04") == f"ubuntu:24.04@{DIGEST}"


def test_a_lock_file_has_one_order(file: Path) -> None:
    write_pins(file, {"b:1": Pin(DIGEST, "2026-11-26"), "a:1": Pin(DIGEST, "2026-11-26")})
    assert list(json.loads(file.with_suffix(".lock").read_text())) == ["a:1", "b:1"]


@pytest.mark.parametrize(
    "lock",
    [
        "{",
        '{"ubuntu": {"digest": "sha256:x", "resolved": "2026-11-26"}}',
        f'{{"ubuntu": {{"digest": "{DIGEST}", "resolved": "2026-11-26"}}}}',
        f'{{"ubuntu:24.04": {{"digest": "{DIGEST}"}}}}',
    ],
    ids=["not JSON", "no digest", "no tag", "no day"],
)
def test_a_damaged_lock_file_is_named(file: Path, lock: str) -> None:
    file.with_suffix(".lock").write_text(lock)
    with pytest.raises(ConfigError, match=r"images.lock cannot be read(.|\n)*invoke images.pin"):
        load_images(file)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('stand_in = "amd64"', 'stand_in = "amd46"', "images.pc.stand_in: 'amd46' is not in stand_ins\n  try: did you mean 'amd64'?"),
        ('lock = "docker/deploy.lock"', 'lock = "docker/none.lock"', "'docker/none.lock' is not a file"),
        ('python = "3.12"', 'pyhton = "3.12"', "did you mean 'python'?"),
        ('platform = "linux/amd64"', 'platform = "linux/riscv"', "images"),
        ('base = "ubuntu:24.04"', 'base_digest = ""', "base_digest"),
        ('base = "ubuntu:24.04"', 'base = "ubuntu"', "base"),
        ('tensorrt = "10.13.3.9-1+cuda13.0"', '', "images.jp7: packages come from an apt repository"),
        ('"10.13.3.9-1+cuda13.0"', '"10.13.*"', "the whole version of a TensorRT package"),
    ],
)  # fmt: skip
def test_a_mistake_is_named(file: Path, old: str, new: str, message: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_images(file)
    assert message in str(caught.value)


def test_an_unknown_image_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"(?s)has no image 'trian'.*did you mean 'train'"):
        load_images(SHIPPED).image("trian")
