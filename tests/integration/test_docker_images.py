"""Real images, and ones with a defect each: what their own suites say of them."""

import io
import json
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from needed import absent

from mmdet_jetson.config.settings import Settings, read_settings
from mmdet_jetson.containers import image_tests, images
from mmdet_jetson.containers import outdated as leftovers
from mmdet_jetson.containers.docker_host import DockerHost
from mmdet_jetson.containers.image_build import ImageBuild
from mmdet_jetson.containers.objects import ContainerSpec
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
def engine(local_engine: DockerHost) -> DockerHost:
    return local_engine


@pytest.fixture(scope="module")
def build(engine: DockerHost, settings: Settings) -> Callable[..., tuple[ImageBuild, str]]:
    """Give an image, or the one with its suite on top."""

    def build(name: str, *, tests: bool = False) -> tuple[ImageBuild, str]:
        try:
            made = images.decide(engine, name, settings)
        except images.NoStandIn as error:
            absent(f"{error.message}: {error.hint}")
        return made, images.build(engine, made, settings, print, tests=tests).reference

    return build


@pytest.fixture
def spoiled(
    engine: DockerHost, build: Callable[..., tuple[ImageBuild, str]]
) -> Iterator[Callable[..., str]]:
    """Make an image with its suite and one defect."""
    tag = "mmdet-jetson/spoiled:test"

    def spoil(name: str, command: str) -> str:
        _, sound = build(name, tests=True)
        context = packed(f"FROM {sound}\nUSER root\nRUN {command}\nUSER stage\n")
        return engine.build(context, dockerfile="Dockerfile", tag=tag, on_line=print).reference

    yield spoil
    engine.remove_image(tag)


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_fails_and_is_named(
    engine: DockerHost, build: Callable[..., tuple[ImageBuild, str]], spoiled: Callable[..., str],
    tmp_path: Path, defect: str,
) -> None:  # fmt: skip
    name, command, said = DEFECTS[defect]
    made, _ = build(name)
    image = engine.find_image(spoiled(name, command))
    assert image is not None
    store, lines = Store(tmp_path / "store"), list[str]()
    artifact: Artifact = image_tests.run_suite(
        engine, made, image, image, store=store, say=lines.append
    )
    assert artifact.provenance.metrics["failed"] > 0
    assert image_tests.proof(store, image) is None
    assert said in "\n".join(lines)


def test_a_writable_root_fails_and_is_named(build: Callable[..., tuple[ImageBuild, str]]) -> None:
    _, tag = build("jp501", tests=True)
    done = subprocess.run(
        [
            "docker", "run", "--rm", "--network=none", "--cap-drop=ALL",
            "--security-opt=no-new-privileges", "--user=10001", "--platform=linux/arm64", tag,
            "python", "-m", "pytest", "-c", "tests/containers/pytest.ini", "tests/containers/image",
        ],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 1
    assert "the root file system is writable" in done.stdout
    assert done.stdout.count("\nFAILED ") == 1 or "test_the_root_is_read_only" in done.stdout


@pytest.mark.parametrize("name", ["train", "jp501"])
def test_no_layer_holds_the_certificates_of_the_build(
    build: Callable[..., tuple[ImageBuild, str]], settings: Settings, tmp_path: Path, name: str
) -> None:
    if settings.certificates is None:
        absent("no certificates are handed to builds here: MMDET_JETSON_CERTIFICATES")
    _, tag = build(name)
    saved = tmp_path / "image.tar"
    with saved.open("wb") as stream:
        subprocess.run(["docker", "save", tag], stdout=stream, check=True)
    size = settings.certificates.stat().st_size
    with tarfile.open(saved) as outer:
        (manifest,) = json.load(outer.extractfile("manifest.json"))  # type: ignore[arg-type]
        for layer in manifest["Layers"]:
            with tarfile.open(fileobj=outer.extractfile(layer)) as inner:
                names = [
                    member.name
                    for member in inner
                    if member.size == size or member.name.endswith("certificates.pem")
                ]
            assert names == []
        config = outer.extractfile(manifest["Config"]).read().decode()  # type: ignore[union-attr]
    assert "CERT" not in json.dumps(json.loads(config)["config"]["Env"])


def test_the_device_image_adds_at_most_350_mb_to_its_base(
    engine: DockerHost, build: Callable[..., tuple[ImageBuild, str]]
) -> None:
    made, tag = build("jp501")
    image, base = engine.find_image(tag), engine.find_image(made.arguments["BASE_IMAGE"])
    assert image is not None
    assert base is not None
    assert image.layers[: len(base.layers)] == base.layers
    assert image.size - base.size <= 350e6


def test_outdated_images_are_told_from_current_ones_and_removed(
    engine: DockerHost, settings: Settings
) -> None:
    tag = "mmdet-jetson/trial:0123456789abcdef"
    images_made = []
    for lock in ("former", "latest"):
        context = packed(f"FROM scratch\nLABEL io.mmdet-jetson.lock={lock}\nCMD x\n")
        images_made.append(engine.build(context, dockerfile="Dockerfile", tag=tag, on_line=print))
    untagged = images_made[0].id
    assert {tag, untagged}.isdisjoint(leftovers.outdated(engine, settings))
    found = leftovers.outdated(engine, settings, days=0)
    assert {tag, untagged} <= set(found)
    assert not [each for each in found if "stand-in" in each]
    with engine.container(ContainerSpec(tag, ["x"])):
        assert leftovers.remove(engine, [untagged, tag]) == 1
    assert leftovers.remove(engine, [tag]) == 1
    assert engine.find_image(tag) is engine.find_image(untagged) is None


def packed(dockerfile: str) -> io.BytesIO:
    """A build context that is nothing but a Dockerfile."""
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        member = tarfile.TarInfo("Dockerfile")
        member.size = len(dockerfile)
        tar.addfile(member, io.BytesIO(dockerfile.encode()))
    context.seek(0)
    return context


def test_a_changed_stage_rebuilds_only_the_last_layer(
    engine: DockerHost, build: Callable[..., tuple[ImageBuild, str]], settings: Settings, tmp_path: Path
) -> None:
    made, tag = build("jp501")
    before = engine.find_image(tag)
    changed = tmp_path / "engine.py"
    stage = "src/mmdet_jetson/stages/engine.py"
    changed.write_text(made.files[stage].read_text() + "\n# changed\n")
    made.files[stage] = changed
    lines: list[str] = []
    after = images.build(engine, made, settings, lines.append)
    engine.remove_image(made.tag)
    assert before is not None
    assert after.layers[:-1] == before.layers[:-1]
    assert after.layers[-1] != before.layers[-1]
