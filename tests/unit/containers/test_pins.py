import json
import shutil
from pathlib import Path

import pytest
from fake_docker_host import FakeDockerHost

from mmdet_jetson.config.images import Pin, load_images, write_pins
from mmdet_jetson.containers.objects import ConnectionLost, DockerHostError
from mmdet_jetson.containers.pins import pin_bases

ROOT = Path(__file__).resolve().parents[3]
OLD, NEW = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "docker", tmp_path / "docker")
    (tmp_path / "configs").mkdir()
    return Path(shutil.copy(ROOT / "configs/images.toml", tmp_path / "configs"))


@pytest.fixture
def host(file: Path) -> FakeDockerHost:
    """A Docker host whose registries know every base."""
    return FakeDockerHost(digests=dict.fromkeys(load_images(file).references(), NEW))


def test_every_base_and_builder_is_pinned(file: Path, host: FakeDockerHost) -> None:
    hand_written = file.read_text()
    pin_bases(file, host.host)
    images = load_images(file)
    for image in images.images.values():
        for reference in filter(None, (image.base, image.builder)):
            assert images.pinned(reference) == f"{reference}@{NEW}"
    assert file.read_text() == hand_written


def test_the_lock_file_is_sorted_and_says_since_when(file: Path, host: FakeDockerHost) -> None:
    pin_bases(file, host.host)
    lock = json.loads(file.with_suffix(".lock").read_text())
    assert list(lock) == sorted(lock)
    assert {tuple(each) for each in lock.values()} == {("digest", "resolved")}


def test_a_pin_that_still_holds_stays_as_it_is(file: Path, host: FakeDockerHost) -> None:
    held, moved = Pin(NEW, "2024-01-01"), Pin(OLD, "2024-01-01")
    write_pins(file, {"ubuntu:24.04": held, "nvcr.io/nvidia/l4t-jetpack:r36.3.0": moved})
    pins = pin_bases(file, host.host)
    assert pins["ubuntu:24.04"] == held
    assert pins["nvcr.io/nvidia/l4t-jetpack:r36.3.0"].digest == NEW
    assert pins["nvcr.io/nvidia/l4t-jetpack:r36.3.0"].resolved > "2024-01-01"


def test_pins_of_what_no_image_names_are_dropped(file: Path, host: FakeDockerHost) -> None:
    write_pins(file, {"ubuntu:20.04": Pin(OLD, "2024-01-01")})
    assert "ubuntu:20.04" not in pin_bases(file, host.host)
    assert "ubuntu:20.04" not in load_images(file).pins


def test_nothing_is_written_unless_every_tag_was_resolved(file: Path, host: FakeDockerHost) -> None:
    write_pins(file, {"ubuntu:24.04": Pin(OLD, "2024-01-01")})
    before = file.with_suffix(".lock").read_text()
    host.digests = {name: NEW for name in host.digests if not name.startswith("nvidia/")}
    told = r"images.toml: images.train.base: .*nvidia/cuda:11\S+ up: (.|\n)*check the tag"
    with pytest.raises(DockerHostError, match=told):
        pin_bases(file, host.host)
    assert file.with_suffix(".lock").read_text() == before
    assert [path.name for path in file.parent.iterdir() if "new" in path.name] == []


def test_a_host_that_is_gone_is_not_taken_for_a_missing_tag(
    file: Path, host: FakeDockerHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_: object, reference: str) -> str:
        raise ConnectionLost("nobody answers", "look there")

    monkeypatch.setattr(FakeDockerHost, "registry_digest", gone)
    with pytest.raises(ConnectionLost, match="look there"):
        pin_bases(file, host.host)
