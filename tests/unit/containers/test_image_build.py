import fnmatch
import io
import shutil
import tarfile
from pathlib import Path

import msgspec
import pytest

from mmdet_jetson.config.images import Pin, load_images, write_pins
from mmdet_jetson.config.settings import Settings
from mmdet_jetson.containers.image_build import ImageBuild, image_build

ROOT = Path(__file__).resolve().parents[3]
COPIED = ("docker", "configs", "src", "tests", "Dockerfile.train", "Dockerfile.l4t")


@pytest.fixture
def copy(settings: Settings, tmp_path: Path) -> Settings:
    """A copy of the project, to change files in."""
    root = tmp_path / "project"
    root.mkdir()
    for name in COPIED:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, root / name)
    return msgspec.structs.replace(settings, root=root)


def decide(settings: Settings, name: str = "jp501", base_id: str = "sha256:1") -> ImageBuild:
    images = load_images(settings.root / "configs/images.toml")
    return image_build(name, images, settings, base_id)


@pytest.mark.parametrize(
    ("changed", "renames"),
    [
        ("Dockerfile.l4t", True),
        ("docker/deploy-emulated.lock", True),
        ("docker/image/check-packages", True),
        ("src/mmdet_jetson/stages/engine.py", True),
        ("src/mmdet_jetson/contract/job.py", True),
        ("src/mmdet_jetson/cli/verbs.py", False),
        ("configs/images.toml", False),
        ("docker/train.lock", False),
        ("Dockerfile.train", False),
        ("tests/containers/l4t/test_stages.py", False),
    ],
)
def test_only_what_an_image_is_made_of_changes_its_name(
    copy: Settings, changed: str, renames: bool
) -> None:
    before = decide(copy).tag
    with (copy.root / changed).open("a") as stream:
        stream.write("\n# changed\n")
    assert (decide(copy).tag != before) is renames


def test_a_changed_test_changes_the_name_of_the_image_with_tests(copy: Settings) -> None:
    before = decide(copy).test_tag
    with (copy.root / "tests/containers/l4t/test_stages.py").open("a") as stream:
        stream.write("\n")
    assert decide(copy).test_tag != before


def test_another_base_is_another_image(settings: Settings) -> None:
    assert decide(settings, base_id="sha256:1").tag != decide(settings, base_id="sha256:2").tag


def test_a_pin_reaches_the_build_and_the_name(copy: Settings) -> None:
    real = msgspec.structs.replace(copy, bases="registry")
    before = decide(real, "pc", base_id="")
    pins = {"ubuntu:24.04": Pin("sha256:" + "a" * 64, "2026-11-26")}
    write_pins(copy.root / "configs/images.toml", pins)
    pinned = decide(real, "pc", base_id="")
    assert before.arguments["BASE_IMAGE"] == "ubuntu:24.04"
    assert pinned.arguments["BASE_IMAGE"] == "ubuntu:24.04@sha256:" + "a" * 64
    assert pinned.arguments["BUILDER_IMAGE"] == pinned.arguments["BASE_IMAGE"]
    assert pinned.tag != before.tag


def test_real_bases_come_with_their_own_locks(settings: Settings) -> None:
    real = msgspec.structs.replace(settings, bases="registry")
    train, device = decide(real, "train"), decide(real)
    assert train.arguments["LOCK"] == "docker/train-cu113.lock"
    assert train.arguments["INDEX"] == "cu113"
    assert (device.arguments["LOCK"], device.arguments["PYTHON"]) == (
        "docker/deploy-py38.lock",
        "python3.8",
    )
    assert not device.is_stand_in


def test_stand_ins_come_with_the_locks_for_their_python(settings: Settings) -> None:
    train, device = decide(settings, "train"), decide(settings)
    assert train.arguments["LOCK"] == "docker/train.lock"
    assert train.arguments["INDEX"] == ""
    assert device.arguments["PYTHON"] == "python3.11"
    assert device.arguments["BASE_IMAGE"] == "mmdet-jetson/stand-in:arm64"
    assert device.is_stand_in


def test_the_context_holds_what_is_needed_and_nothing_of_when_or_who(
    settings: Settings, tmp_path: Path
) -> None:
    extra = tmp_path / "bundle"
    extra.write_text("certificates")
    context = b"".join(decide(settings).context({"certificates.pem": extra}))
    with tarfile.open(fileobj=io.BytesIO(context)) as tar:
        members = tar.getmembers()
    names = {member.name for member in members}
    stage, contract = "src/mmdet_jetson/stages/engine.py", "src/mmdet_jetson/contract/job.py"
    assert {"Dockerfile.l4t", "certificates.pem", stage, contract} <= names
    assert not [name for name in names if "__pycache__" in name or "/cli/" in name]
    assert {(m.mtime, m.uid, m.gid, m.uname) for m in members} == {(0, 0, 0, "")}
    modes = {member.name: member.mode for member in members}
    assert modes["docker/image/check-packages"] == 0o755
    assert modes["Dockerfile.l4t"] == 0o644


def test_a_dockerfile_copies_nothing_that_the_context_lacks(settings: Settings) -> None:
    for name in ("train", "jp501", "pc"):
        planned = decide(settings, name)
        held = {*planned.files, *planned.test_files}
        text = (ROOT / planned.dockerfile).read_text()
        for key, value in planned.arguments.items():
            text = text.replace(f"${{{key}}}", value)
        for line in text.splitlines():
            if line.startswith("COPY ") and "--from" not in line:
                for source in line.split()[1:-1]:
                    wanted = source.rstrip("/")
                    is_there = any(each == wanted or each.startswith(wanted + "/") for each in held)
                    assert is_there or "[" in source, (name, line)


@pytest.mark.parametrize("name", ["train", "jp501", "pc"])
def test_a_build_by_hand_gets_the_same_files(settings: Settings, name: str) -> None:
    """What .dockerignore admits; like Docker, the last line that matches decides."""
    planned = decide(settings, name)
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    for file in {*planned.files, *planned.test_files} - {planned.dockerfile}:
        matching = [each for each in patterns if matches(file, each.removeprefix("!"))]
        assert matching[-1].startswith("!"), file


def matches(file: str, pattern: str) -> bool:
    folders = [file, *map(str, Path(file).parents)]
    return any(fnmatch.fnmatch(each, pattern) for each in folders)
