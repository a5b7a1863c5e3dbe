"""Real images, and ones with a defect each: what their own suites say of them."""

import contextlib
import json
import subprocess
import tarfile
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Protocol

import msgspec
import pytest
from needed import absent

from mmdet_jetson import tarballs
from mmdet_jetson.config.settings import Settings, read_settings
from mmdet_jetson.containers import image_tests, images, outdated
from mmdet_jetson.containers.docker_host import DockerHost
from mmdet_jetson.containers.image_build import ImageBuild
from mmdet_jetson.containers.objects import ContainerSpec, DockerHostError, Image
from mmdet_jetson.store import Artifact, Store

PACKAGES = "/opt/environment/lib/python*/site-packages"
DEFECTS = {
    "another-version": (
        "jp501",
        f"sed -i 's/^Version: 1.23.2$/Version: 1.23.3/' {PACKAGES}/onnxruntime-1.23.2.dist-info/METADATA",
        "onnxruntime: the lock says 1.23.2, here it is 1.23.3",
    ),
    "missing-op": ("train", f"rm {PACKAGES}/mmcv/_ext*.so", "mmcv._ext"),
    "loose-file": ("jp501", "chmod o+w /opt/mmdet_jetson/mmdet_jetson/__init__.py", "__init__.py"),
    "extra-package": (
        "jp501",
        f"cd {PACKAGES} && mkdir torch-1.0.dist-info && cd torch-1.0.dist-info"
        r" && printf 'Metadata-Version: 2.1\nName: torch\nVersion: 1.0\n' >METADATA",
        "torch 1.0: not in the lock",
    ),
    "missing-library": ("jp501", f"rm {PACKAGES}/pycocotools/_mask*.so", "pycocotools"),
}  # fmt: skip


@pytest.fixture(scope="module")
def settings() -> Settings:
    return msgspec.structs.replace(read_settings(), bases="stand-in")


@pytest.fixture(scope="module")
def host(local_docker_host: DockerHost) -> DockerHost:
    return local_docker_host


class Build(Protocol):
    """Builds an image, or the one with its suite on top, unless it is there."""

    def __call__(self, name: str, *, tests: bool = False) -> tuple[ImageBuild, Image]: ...


@pytest.fixture(scope="module")
def build(host: DockerHost, settings: Settings) -> Build:
    def build(name: str, *, tests: bool = False) -> tuple[ImageBuild, Image]:
        try:
            planned = images.decide(host, name, settings)
        except images.NoStandIn as error:
            absent(f"{error.message}: {error.hint}")
        return planned, images.build(host, planned, settings, print, tests=tests)

    return build


@pytest.fixture
def spoil(host: DockerHost, build: Build) -> Iterator[Callable[[str, str], Image]]:
    """Give an image with its suite and one defect, by the image's name and a command."""
    tag = "mmdet-jetson/spoiled:test"

    def spoil(name: str, command: str) -> Image:
        _, sound = build(name, tests=True)
        dockerfile = f"FROM {sound.reference}\nUSER root\nRUN {command}\nUSER stage\n"
        return build_from(host, dockerfile, tag)

    yield spoil
    host.remove_image(tag)


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_fails_and_is_named(
    host: DockerHost,
    build: Build,
    spoil: Callable[[str, str], Image],
    tmp_path: Path,
    defect: str,
) -> None:
    name, command, said = DEFECTS[defect]
    planned, _ = build(name)
    image = spoil(name, command)
    store, lines = Store(tmp_path / "store"), list[str]()
    artifact: Artifact = image_tests.run_suite(
        host, planned, image, image, store=store, say=lines.append
    )
    assert artifact.provenance.metrics["failed"] != 0
    assert image_tests.passed_tests(store, image) is None
    assert said in "\n".join(lines)


def test_a_writable_root_fails_and_is_named(build: Build) -> None:
    _, image = build("jp501", tests=True)
    done = subprocess.run(
        [
            "docker", "run", "--rm", "--network=none", "--cap-drop=ALL",
            "--security-opt=no-new-privileges", "--user=10001", "--platform=linux/arm64", image.reference,
            "python", "-m", "pytest", "-c", "tests/containers/pytest.ini", "tests/containers/image",
        ],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 1
    assert "the root file system is writable" in done.stdout
    assert done.stdout.count("\nFAILED ") == 1 or "test_the_root_is_read_only" in done.stdout


@pytest.mark.parametrize("name", ["train", "jp501"])
def test_no_layer_holds_the_certificates_of_the_build(
    build: Build, settings: Settings, name: str
) -> None:
    if settings.certificates is None:
        absent("no certificates are handed to builds here: MMDET_JETSON_CERTIFICATES")
    _, image = build(name)
    size = settings.certificates.stat().st_size
    held, layers, documents = [], 0, list[str]()
    # Read as it comes: as a file, an image would take gigabytes of disk.
    command = ["docker", "save", image.reference]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as save,
        tarfile.open(fileobj=save.stdout, mode="r|") as saved,
    ):
        for part in saved:
            if part.name.endswith(".tar"):
                layers += 1
                held += certificates_in(saved.extractfile(part), size)
            elif part.name.endswith(".json"):
                documents.append(read(saved.extractfile(part)))
    assert save.returncode == 0
    assert layers == len(image.layers)
    assert held == []
    (config,) = [each for each in map(json.loads, documents) if "rootfs" in each]
    assert "CERT" not in json.dumps(config["config"]["Env"])


def certificates_in(layer: IO[bytes] | None, size: int) -> list[str]:
    """The files of a layer that have the certificates' name or size, in bytes."""
    with tarfile.open(fileobj=layer, mode="r|") as files:
        return [
            each.name
            for each in files
            if each.size == size or each.name.endswith("certificates.pem")
        ]


def read(file: IO[bytes] | None) -> str:
    assert file
    return file.read().decode()


def test_the_device_image_adds_at_most_350_mb_to_its_base(host: DockerHost, build: Build) -> None:
    planned, image = build("jp501")
    base = host.find_image(planned.arguments["BASE_IMAGE"])
    assert base is not None
    assert image.layers[: len(base.layers)] == base.layers
    assert image.size - base.size <= 350e6


def test_outdated_images_are_told_from_current_ones_and_removed(
    host: DockerHost, settings: Settings
) -> None:
    tag = "mmdet-jetson/trial:0123456789abcdef"
    dockerfile = "FROM scratch\nLABEL io.mmdet-jetson.lock={}\nCMD x\n"
    untagged = build_from(host, dockerfile.format("former"), tag).id
    build_from(host, dockerfile.format("latest"), tag)
    assert {tag, untagged}.isdisjoint(outdated.outdated(host, settings))
    found = outdated.outdated(host, settings, days=0)
    assert {tag, untagged} <= set(found)
    assert not [each for each in found if "stand-in" in each]
    with host.container(ContainerSpec(tag, ["x"])):
        assert outdated.remove(host, [untagged, tag]) == 1
    assert outdated.remove(host, [tag]) == 1
    assert host.find_image(tag) is host.find_image(untagged) is None


# In place of apt-get: wordy, and it knows no package of that name.
APT = """#!/bin/sh
[ "$1" = install ] || exit 0
for i in $(seq 100); do echo "Unpacking $i"; echo "Warning $i" >&2; done
case "$*" in *unknown) echo "E: Unable to locate package" >&2; exit 100 ;; esac
"""


@pytest.mark.parametrize("package", ["known", "unknown"])
def test_the_log_of_a_build_is_plain_and_has_no_line_for_each_package(
    host: DockerHost, settings: Settings, tmp_path: Path, package: str
) -> None:
    planned = images.decide(host, "pc", settings)
    warning = f"a warning {uuid.uuid4()}"
    files = {name: tmp_path / name for name in ("apt-get", "Dockerfile")}
    files["apt-get"].write_text(APT)
    files["Dockerfile"].write_text(
        f"FROM {planned.arguments['BASE_IMAGE']}\nCOPY apt-get ensure-python /usr/local/bin/\n"
        # Never said before: the failed build leaves its layers, and Docker prints none of their output.
        f"RUN echo {warning} >&2\nRUN ensure-python python3.11 {package}\n"
    )
    files["ensure-python"] = planned.files["docker/image/ensure-python"]
    parts = (tarballs.file(path, name, mode=0o755) for name, path in files.items())
    lines: list[str] = []
    with contextlib.suppress(DockerHostError):
        host.build(
            tarballs.archive(*parts),
            dockerfile="Dockerfile",
            tag="mmdet-jetson/log:1",
            on_line=lines.append,
        )
        host.remove_image("mmdet-jetson/log:1")
    assert warning in lines
    assert [line for line in lines if not line.isprintable()] == []
    fails = package == "unknown"
    assert len([line for line in lines if "Unpacking" in line]) == (100 if fails else 0)
    assert ("E: Unable to locate package" in lines) is fails
    assert any(line.startswith("installed: ") for line in lines) is not fails


def build_from(host: DockerHost, dockerfile: str, tag: str) -> Image:
    """Build an image from nothing but a Dockerfile."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "Dockerfile")
        path.write_text(dockerfile)
        context = tarballs.archive(tarballs.file(path, "Dockerfile"))
        return host.build(context, dockerfile="Dockerfile", tag=tag, on_line=print)


def test_a_changed_stage_rebuilds_only_the_last_layer(
    host: DockerHost,
    build: Build,
    settings: Settings,
    tmp_path: Path,
) -> None:
    planned, _ = build("jp501")
    stage = "src/mmdet_jetson/stages/engine.py"
    source = planned.files[stage].read_text()
    planned.files[stage] = tmp_path / "engine.py"

    def build_changed(word: str) -> Image:
        planned.files[stage].write_text(f"{source}\n# {word}\n")
        return images.build(host, planned, settings, print)

    # Both are built here: `docker image prune` keeps an image, but takes the steps it was made of.
    before, after = build_changed("before"), build_changed("after")
    # Not earlier: with an image go the steps that no other image was made of.
    for image in (before, after):
        host.remove_image(image.id)
    assert after.layers[:-1] == before.layers[:-1]
    assert after.layers[-1] != before.layers[-1]
