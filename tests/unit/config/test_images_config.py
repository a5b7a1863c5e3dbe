import shutil
from pathlib import Path

import pytest

from mmdet_jetson.config.images import load_images
from mmdet_jetson.config.pipeline import load_project
from mmdet_jetson.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = ROOT / "configs/images.toml"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "docker", tmp_path / "docker")
    (tmp_path / "configs").mkdir()
    return Path(shutil.copy(SHIPPED, tmp_path / "configs"))


def test_every_target_has_an_image_of_its_kind() -> None:
    images = load_images(SHIPPED).images
    targets = dict(load_project(ROOT / "configs/pipeline.toml").targets)
    assert targets.pop("pc-rtx").image is None  # no image has TensorRT for RTX yet
    for name, target in targets.items():
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


def test_the_documented_bases_are_those_that_it_names() -> None:
    images = load_images(SHIPPED).images
    assert images["train"].builder == "nvidia/cuda:11.3.1-cudnn8-devel-ubuntu20.04"
    for name, dockerfile in (("train", "Dockerfile.train"), ("jp501", "Dockerfile.l4t")):
        text = (ROOT / dockerfile).read_text()
        assert f"ARG BASE_IMAGE={images[name].base}\n" in text
        assert f"ARG BUILDER_IMAGE={images[name].builder}\n" in text


def test_a_digest_pins_the_base() -> None:
    image = load_images(SHIPPED).images["pc"]
    pinned = type(image)(**{**_fields(image), "base_digest": "sha256:" + "a" * 64})
    assert image.pinned_base == "ubuntu:24.04"
    assert pinned.pinned_base == pinned.pinned_builder == "ubuntu:24.04@sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('stand_in = "amd64"', 'stand_in = "amd46"', "images.pc.stand_in: 'amd46' is not in stand_ins\n  try: did you mean 'amd64'?"),
        ('lock = "docker/deploy.lock"', 'lock = "docker/none.lock"', "'docker/none.lock' is not a file"),
        ('python = "3.12"', 'pyhton = "3.12"', "did you mean 'python'?"),
        ('platform = "linux/amd64"', 'platform = "linux/riscv"', "images"),
        ('base_digest = ""', 'base_digest = "latest"', "base_digest"),
        ('base = "ubuntu:24.04"', 'base = "ubuntu"', "base"),
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
    with pytest.raises(ConfigError, match=r"(?s)'trian' is no image.*did you mean 'train'"):
        load_images(SHIPPED).image("trian")


def _fields(image: object) -> dict[str, object]:
    return {name: getattr(image, name) for name in image.__struct_fields__}  # type: ignore[attr-defined]
