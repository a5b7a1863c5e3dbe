import platform
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from fake_docker_host import Built, FakeDockerHost
from fake_docker_host import images as host_images

from mmdet_jetson.config.settings import Settings
from mmdet_jetson.containers import images
from mmdet_jetson.containers.image_build import image_build
from mmdet_jetson.containers.objects import DockerHostError, ImageSummary
from mmdet_jetson.environments.packages import wheel_folder
from mmdet_jetson.errors import ConfigError

BASES = ["nvcr.io/nvidia/l4t-tensorrt:r8.4.0-runtime", "nvcr.io/nvidia/l4t-jetpack:r35.1.0"]
STAND_INS = ("mmdet-jetson/stand-in:train", "mmdet-jetson/stand-in:arm64")


@pytest.fixture
def host() -> FakeDockerHost:
    return FakeDockerHost(host_images(*STAND_INS))


def build(host: FakeDockerHost, settings: Settings, name: str = "jp501") -> Built:
    planned = images.decide(host.host, name, settings)
    images.build(host.host, planned, settings, lambda _: None)
    return host.built[-1]


def test_a_built_image_is_found_and_not_built_again(
    host: FakeDockerHost, settings: Settings
) -> None:
    assert images.find(host.host, "jp501", settings) is None
    build(host, settings)
    build(host, settings)
    assert len(host.built) == 1
    assert images.find(host.host, "jp501", settings) is not None


def test_a_missing_stand_in_is_answered_with_the_command_that_makes_it(settings: Settings) -> None:
    with pytest.raises(DockerHostError, match=r"docker/make-stand-in arm64"):
        images.decide(FakeDockerHost().host, "jp501", settings)


def test_without_its_stand_in_an_image_is_not_there(settings: Settings) -> None:
    assert images.find(FakeDockerHost().host, "jp501", settings) is None


def test_a_base_that_cannot_be_pulled_is_answered_with_stand_ins(settings: Settings) -> None:
    real = msgspec.structs.replace(settings, bases="registry")
    with pytest.raises(DockerHostError) as caught:
        build(FakeDockerHost(), real)
    told = str(caught.value)
    assert told.startswith("configs/images.toml: images.jp501.base: nvcr.io/nvidia/l4t-tensorrt:")
    assert "l4t-tensorrt:r8.4.0-runtime cannot be pulled: no such host" in told
    assert "MMDET_JETSON_BASES=stand-in" in str(caught.value)


def test_real_bases_are_pulled_first(settings: Settings) -> None:
    real = msgspec.structs.replace(settings, bases="registry")
    host = FakeDockerHost(pullable=BASES)
    build(host, real)
    assert host.pulled == BASES


OURS = ImageSummary(id="1", tags=("mmdet-jetson/pc:1",), created=0, labels={})
ROOM_GB = 16  # of jp501


def pull(host: FakeDockerHost, settings: Settings) -> list[str]:
    """Build with real bases, and give what was said."""
    said: list[str] = []
    real = msgspec.structs.replace(settings, bases="registry")
    images.build(host.host, images.decide(host.host, "jp501", real), real, said.append)
    return said


def test_room_is_asked_for_before_a_pull(settings: Settings) -> None:
    host = FakeDockerHost(host_images("mmdet-jetson/pc:1"), pullable=BASES, listed=[OURS])
    host.free = b"15999999999\n"
    with pytest.raises(DockerHostError, match=r"jp501 needs about 16 GB, and .* has 16\.0 GB free"):
        pull(host, settings)
    assert host.pulled == []
    host.free = str(ROOM_GB * 10**9).encode()
    assert pull(host, settings)[0].startswith("pulling nvcr.io/nvidia/l4t-tensorrt")
    assert host.pulled == BASES


def test_room_that_nobody_can_tell_of_is_said_and_stops_nothing(settings: Settings) -> None:
    foreign = replace(host_images("mmdet-jetson/pc:1")["mmdet-jetson/pc:1"], architecture="arm64")
    for known in ({}, {"mmdet-jetson/pc:1": foreign}, host_images("mmdet-jetson/pc:1")):
        host = FakeDockerHost({**known}, pullable=BASES, listed=[OURS])
        told = pull(host, settings)[0]
        assert "needs about 16 GB; how much is free on the Docker host at fake cannot be" in told
        assert told.endswith("df -h /var/lib/docker there shows it")


def test_the_room_of_this_machines_own_docker_is_looked_up(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = replace(FakeDockerHost().facts, name=platform.node(), folder=str(tmp_path))
    host = FakeDockerHost(pullable=BASES, address="http+unix:///var/run/docker.sock", facts=here)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=10**9))
    with pytest.raises(DockerHostError, match=r"has 1\.0 GB free(.|\n)*data-root"):
        pull(host, settings)
    assert host.specs == []


def test_bases_that_are_there_need_no_room(settings: Settings) -> None:
    host = FakeDockerHost(host_images(*BASES, "mmdet-jetson/pc:1"), listed=[OURS], free=b"1")
    assert "building" in pull(host, settings)[0]


def test_certificates_go_into_the_context_only_where_they_are_set(
    host: FakeDockerHost, settings: Settings, tmp_path: Path
) -> None:
    assert "certificates.pem" not in build(host, settings).files
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("x")
    trusting = msgspec.structs.replace(settings, certificates=bundle)
    assert "certificates.pem" in build(host, trusting, "train").files


def test_certificates_change_no_images_name(host: FakeDockerHost, settings: Settings) -> None:
    trusting = msgspec.structs.replace(settings, certificates=Path("/any"))
    tags = {images.decide(host.host, "train", each).tag for each in (settings, trusting)}
    assert len(tags) == 1


def test_a_bundle_that_is_missing_is_named(host: FakeDockerHost, settings: Settings) -> None:
    trusting = msgspec.structs.replace(settings, certificates=Path("/no/such.pem"))
    with pytest.raises(ConfigError, match=r"names /no/such.pem"):
        build(host, trusting)


def test_the_wheel_of_this_machine_is_taken_instead_of_compiling(
    host: FakeDockerHost, settings: Settings
) -> None:
    folder = wheel_folder(settings.root / "docker/train.lock", "mmcv", "3.8", settings)
    folder.mkdir(parents=True)
    (folder / "mmcv-2.0.0rc4-cp38-cp38-linux_x86_64.whl").write_bytes(b"")
    names = build(host, settings, "train").files
    assert "wheels/mmcv-2.0.0rc4-cp38-cp38-linux_x86_64.whl" in names


@pytest.mark.parametrize("scheme", ["", "file://", "FILE://"])
def test_a_mirrored_wheel_is_taken_where_this_machine_compiled_none(
    host: FakeDockerHost, settings: Settings, tmp_path: Path, scheme: str
) -> None:
    for name in ("mmcv-2.0.0rc4-cp38-cp38-manylinux1_x86_64.whl", "mmcv-2.1.0-cp38-none-any.whl"):
        (tmp_path / name).write_bytes(b"")
    mirrored = msgspec.structs.replace(settings, mirrors=("HTTPS://x.test", f"{scheme}{tmp_path}"))
    names = build(host, mirrored, "train").files
    assert [name for name in names if name.startswith("wheels/")] == [
        "wheels/mmcv-2.0.0rc4-cp38-cp38-manylinux1_x86_64.whl"
    ]


def test_the_labels_say_what_is_inside(host: FakeDockerHost, settings: Settings) -> None:
    labels = build(host, settings, "train").labels
    assert "torch 1.11.0" in labels["io.mmdet-jetson.versions"]
    assert labels["io.mmdet-jetson.lock"].startswith("sha256:")
    assert labels["org.opencontainers.image.title"] == "mmdet_jetson train"
    assert {"org.opencontainers.image.version", "org.opencontainers.image.revision"} <= set(labels)


def test_the_plugins_source_is_handed_in_where_they_are_wanted(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "v1.0.0.tar.gz").write_bytes(b"source")
    root = tmp_path / "project"
    for name in ("configs", "docker", "src", "tests"):
        shutil.copytree(settings.root / name, root / name)
    shutil.copy(settings.root / "Dockerfile.l4t", root)
    file = root / "configs/images.toml"
    file.write_text(file.read_text().replace("[images.jp501] ", "[images.jp501]\nplugin_sm = 87 "))
    real = msgspec.structs.replace(settings, root=root, bases="registry", mirrors=(str(tmp_path),))
    planned = image_build("jp501", images.images_of(real), real)
    built = build(FakeDockerHost(pullable=planned.arguments.values()), real)
    assert built.arguments["PLUGIN_SM"] == "87"
    assert "mmdeploy.tar.gz" in built.files
