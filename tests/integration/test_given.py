"""An engine, its evidence and its verdict on a machine with environment `deploy` only.

What is typed there, and on the PC before, is what the tutorial says.
"""

import os
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from commands import ROOT, TINY, Commands, new_commands
from needed import absent

from mmdet_jetson.config.settings import read_settings
from mmdet_jetson.containers.docker_host import DockerHost
from mmdet_jetson.containers.images import find
from mmdet_jetson.contract.records import decode
from mmdet_jetson.contract.report import PASS, Verdict
from mmdet_jetson.store import Artifact, Store

PC, ARM = "pc-onnxruntime", "jetson-onnxruntime"
SECTION = "## 7. On a Jetson without Docker"
IN_THE_TUTORIAL = {"target": "orin-jp62", "folder": "usb/mugs"}
STAND_INS = {"MMDET_JETSON_BASES": "stand-in"}


def typed(target: str, folder: Path) -> Iterator[list[str]]:
    """The `invoke` commands of the tutorial's section, in order, for another target and folder."""
    section = (ROOT / "docs/tutorial.md").read_text().split(SECTION)[1].split("\n## ")[0]
    for line in re.findall(r"(?m)^\$ invoke (.*)$", section):
        words = shlex.split(line)
        ours = {IN_THE_TUTORIAL["target"]: target, IN_THE_TUTORIAL["folder"]: str(folder)}
        yield [ours.get(word, word) for word in words]


def made(commands: Commands, step: str, run: str = "demo") -> Artifact:
    artifact = Store(commands.artifacts).find(f"{run}.{step}")
    assert artifact, step
    return artifact


def verdict(commands: Commands, run: str = "demo") -> Verdict:
    content = Store(commands.artifacts).read(made(commands, "report", run), "verdict.json")
    return decode(Verdict, msgspec.json.decode(content))


@pytest.fixture(scope="module")
def folder(demo_run: Commands, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the PC hands over."""
    folder = tmp_path_factory.mktemp("usb") / "demo"
    pack, *_ = typed(PC, folder)
    assert pack[0] == "pack"
    done = demo_run.run(*pack)
    assert done.returncode == 0, done.stderr
    return folder


def device(folder: Path, pipeline: str = "") -> Commands:
    """A machine without any environment yet, and a clone with the demo's configuration."""
    commands = new_commands(folder, pipeline or (ROOT / "configs/demo.toml").read_text())
    # Of no use there: neither the training's config nor the pictures' source would be.
    text = commands.config.read_text()
    commands.config.write_text(text.replace("configs/train/rtmdet_tiny_demo.py", "not/here.py"))
    return replace(commands, env={"MMDET_JETSON_CACHE": str(folder / "cache")})


@pytest.fixture(scope="module")
def on_device(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """The tutorial's commands, typed on such a machine."""
    commands = device(tmp_path_factory.mktemp("device"))
    _, *there = typed(PC, folder)
    assert [words[0] for words in there] == ["build-jetson-engine", "report"]
    for words in there:
        done = commands.run(*words)
        assert done.returncode == 0, done.stdout + done.stderr
    return commands


def test_a_device_needs_environment_deploy_only(on_device: Commands) -> None:
    built = (on_device.folder / "cache/environments").iterdir()
    assert {path.name.rpartition("-")[0] for path in built} == {"deploy"}


def test_its_verdict_is_the_one_at_home(demo_run: Commands, on_device: Commands) -> None:
    """Gate by gate and sentence by sentence, with the agreement with PyTorch among them."""
    there = verdict(on_device)

    assert there == verdict(demo_run)
    assert there.verdict == PASS
    assert {"proof", "max_AP_difference", "min_AP50"} <= {
        gate.name.split(":")[0] for gate in there.gates
    }


def test_its_report_is_made_of_what_was_handed_over(
    demo_run: Commands, on_device: Commands
) -> None:
    told = made(on_device, "report").provenance.parameters["artifacts"]
    assert isinstance(told, list)
    steps = {each["step"] for each in told}
    assert {"export-documented", "evaluate-checkpoint", f"export-{PC}", f"profile-{PC}"} <= steps
    export = made(on_device, f"engine-{PC}").provenance.inputs["onnx"]
    assert export == made(demo_run, f"export-{PC}").content


def test_nothing_is_made_twice(on_device: Commands, folder: Path) -> None:
    *_, report = typed(PC, folder)
    again = on_device.run(*report)
    assert again.returncode == 0
    assert "started" not in again.stderr


@pytest.mark.parametrize("damaged", ["a picture's bit", "a file less"])
def test_a_damaged_folder_is_refused_before_anything_runs(
    folder: Path, tmp_path: Path, damaged: str
) -> None:
    copied = tmp_path / "usb"
    shutil.copytree(folder, copied)
    (layer,) = (
        layer
        for artifact in Store(copied).artifacts()
        for layer in artifact.layers
        if layer.title == "val"
    )
    blob = copied / "blobs/sha256" / layer.blob.digest.removeprefix("sha256:")
    blob.chmod(0o644)
    if damaged == "a file less":
        blob.unlink()
    else:
        content = bytearray(blob.read_bytes())
        content[len(content) // 2] ^= 1
        blob.write_bytes(content)
    commands = device(tmp_path / "device")

    _, build, _ = typed(PC, copied)
    done = commands.run(*build)

    assert done.returncode == 1
    assert "demo.dataset in" in done.stderr
    assert "damaged" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (commands.folder / "cache/environments").exists()


def test_an_engine_in_8_bits_is_calibrated_with_what_comes_along(
    demo_run: Commands, folder: Path, tmp_path: Path
) -> None:
    target = f"{PC}-int8"
    pack, build, _ = typed(target, tmp_path / "usb")
    packed = demo_run.run(*pack)
    assert packed.returncode == 0, packed.stderr
    commands = device(tmp_path / "device")

    engine = commands.run("engine", *build[1:])

    assert engine.returncode == 0, engine.stderr
    inputs = made(commands, f"engine-{target}").provenance.inputs
    assert inputs["training"] == made(demo_run, "dataset").content_of(["train", "train.json"])
    without = commands.run("engine", "--target", target, "--onnx", str(folder))
    assert "comes without pictures to calibrate an engine in 8 bits with" in without.stderr


def test_a_folder_is_not_written_over(demo_run: Commands, folder: Path) -> None:
    pack, *_ = typed(PC, folder)
    done = demo_run.run(*pack)
    assert done.returncode == 1
    assert "exists already" in done.stderr


def test_an_export_alone_is_an_engine_and_no_evidence(demo_run: Commands, tmp_path: Path) -> None:
    export = tmp_path / "export"
    assert demo_run.run("checkout", f"demo.export-{PC}", str(export)).returncode == 0
    commands = device(tmp_path / "device")
    _, build, report = typed(PC, export)

    built, judged = commands.run(*build), commands.run(*report)

    assert built.returncode == 0, built.stderr
    assert "not measured: " in built.stdout
    assert made(commands, f"engine-{PC}")
    assert judged.returncode == 1
    assert "is an export alone" in judged.stderr
    assert f"invoke pack --config {commands.config} --target {PC}" in judged.stderr


def test_an_arm64_device_comes_to_the_same_verdict(
    tiny_run: Commands, local_docker_host: DockerHost, tmp_path: Path
) -> None:
    """In the image of a Jetson, on a stand-in base: emulated, unless this machine is arm64."""
    settings = read_settings({**os.environ, **STAND_INS})
    if find(local_docker_host, "jp501", settings) is None:
        absent("no image jp501 here: MMDET_JETSON_BASES=stand-in invoke images.build --name jp501")
    folder = tmp_path / "usb"
    pack, *_ = typed(PC, folder)
    packed = tiny_run.run(*pack)
    assert packed.returncode == 0, packed.stderr
    commands = device(tmp_path / "device", TINY)
    _, *there = typed(ARM, folder)
    for words in there:
        done = commands.run(*words, "--runtime", "docker", "--untested", env=STAND_INS)
        assert done.returncode == 0, done.stdout + done.stderr

    outcomes = {gate.name: gate.outcome for gate in verdict(tiny_run, "tiny").gates}
    theirs = verdict(commands, "tiny")
    assert theirs.verdict == PASS
    assert {gate.name.replace(ARM, PC): gate.outcome for gate in theirs.gates} == outcomes
    assert not (commands.folder / "cache/environments").exists()
    assert made(commands, f"profile-{ARM}", "tiny").provenance.environment.startswith("jp501")
