"""Which engines can be built and run where: on a PC, on a Jetson, in containers here and there."""

import os
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from jetsons import ORIN as ORIN_NX
from jetsons import THOR, XAVIER

from mmdet_jetson.config.images import Images, load_images
from mmdet_jetson.config.pipeline import Project, load_project
from mmdet_jetson.config.targets import Target
from mmdet_jetson.contract.nvidia import MODULES, board_of, how_to_open
from mmdet_jetson.environments.this_machine import JetPack, Machine
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning import compatibility
from mmdet_jetson.planning.compatibility import can_run

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
PC = Machine("amd64", has_gpu=False)
GPU = replace(PC, has_gpu=True)
LOCAL = replace(PC, in_containers=True, name="the Docker host at unix:///docker.sock")
JETPACK = JetPack("34.1.1", Path("/usr/bin/python3"), "3.8", "8.4.0-1+cuda11.4", 87)
ORIN = Machine("arm64", has_gpu=True, l4t="34.1.1", jetpack=JETPACK)
REMOTE = replace(ORIN, jetpack=None, in_containers=True, name="the Docker host at ssh://orin")


def check_targets(project: Project, command: str, machine: Machine, images: Images) -> None:
    """Check all targets against one machine."""
    compatibility.check_targets(project, command, lambda _: machine, images)


def project(*targets: str) -> Project:
    names = ", ".join(f'"{name}"' for name in targets)
    return load_project(CONFIGS / "pipeline.toml", [f"targets=[{names}]"])


def check(target: str, machine: Machine, goal: str = "pipeline") -> None:
    check_targets(
        project("pc-onnxruntime", target), goal, machine, load_images(CONFIGS / "images.toml")
    )


@pytest.mark.parametrize(
    ("target", "machine", "goal"),
    [
        ("pc-onnxruntime-int8", PC, "pipeline"),
        ("jetson-onnxruntime", LOCAL, "pipeline"),
        ("pc-rtx", PC, "engine"),
        ("pc-rtx", PC, "build-jetson-engine"),
        ("pc-rtx", GPU, "pipeline"),
        ("pc-rtx", replace(GPU, sm=89), "pipeline"),
        ("pc-rtx", replace(GPU, sm=90), "engine"),
    ],
)
def test_what_fits(target: str, machine: Machine, goal: str) -> None:
    check(target, machine, goal)


@pytest.mark.parametrize(
    "machine", [ORIN, REMOTE, replace(ORIN, jetpack=replace(JETPACK, sm=None))]
)
def test_a_jetson_builds_for_itself(machine: Machine) -> None:
    images = load_images(CONFIGS / "images.toml")
    check_targets(project("agx-orin-jp501"), "profile", machine, images)


@pytest.mark.parametrize(
    ("target", "machine", "told"),
    [
        ("jetson-onnxruntime", PC, "its processor is amd64, and the target needs arm64"),
        ("agx-orin-jp501", PC, "its processor is amd64, and a Jetson's is arm64"),
        ("agx-orin-jp501", LOCAL, "its processor is amd64, and a Jetson's is arm64"),
        ("pc-rtx", PC, "runs on a GPU only"),
        ("pc-rtx", replace(GPU, sm=90), "compute capability 90, .* runs on 86 or 89 only"),
        ("pc-rtx", LOCAL, "there is no container image for it"),
    ],
)
def test_what_a_pc_cannot_do_is_one_sentence(target: str, machine: Machine, told: str) -> None:
    with pytest.raises(UserError, match=told) as refused:
        check(target, machine)
    assert "\n" not in refused.value.message
    assert f"pipeline: {machine.name} does not fit target '{target}'" in refused.value.message
    assert "{" not in refused.value.hint


def test_without_an_image_every_way_into_containers_is_named() -> None:
    with pytest.raises(UserError) as refused:
        check("pc-rtx", LOCAL)
    for way in ("--runtime docker", "--docker-host", "[hosts]"):
        assert way in refused.value.hint


@pytest.mark.parametrize(
    ("machine", "told"),
    [
        (replace(REMOTE, has_gpu=False), "no NVIDIA runtime"),
        (replace(REMOTE, l4t=""), "so it is not a Jetson"),
        (replace(REMOTE, l4t="", board="A Board"), "no release .* though its board is A Board"),
        (replace(REMOTE, l4t="35.4.1"), r"runs L4T 35\.4\.1, and the target needs L4T 34\.1\.1"),
        (replace(REMOTE, l4t="34.1.10"), r"runs L4T 34\.1\.10"),
        (
            replace(ORIN, jetpack=replace(JETPACK, tensorrt="8.5.2-1+cuda11.4")),
            r"runs TensorRT 8\.5\.2, and the target needs TensorRT 8\.4\.0",
        ),
        (
            replace(ORIN, jetpack=replace(JETPACK, cuda="12.2.140")),
            r"runs CUDA 12\.2\.140, and the target needs CUDA 11\.4",
        ),
        (replace(ORIN, jetpack=None), "python3-libnvinfer"),
        (
            replace(ORIN, jetpack=replace(JETPACK, sm=72)),
            "compute capability 72, the target needs 87",
        ),
        (replace(REMOTE, sm=72), "compute capability 72, the target needs 87"),
    ],
    ids=[
        "no-runtime",
        "other-board",
        "no-release",
        "other-release",
        "by-its-parts",
        "other-tensorrt",
        "other-cuda",
        "no-tensorrt",
        "other-gpu",
        "other-chip-in-containers",
    ],
)
def test_another_jetson_is_one_sentence(machine: Machine, told: str) -> None:
    with pytest.raises(UserError, match=told) as refused:
        check_targets(
            project("agx-orin-jp501"), "engine", machine, load_images(CONFIGS / "images.toml")
        )
    assert "invoke build-jetson-engine --target agx-orin-jp501" in refused.value.hint


def test_a_hint_names_the_configuration_that_is_in_use() -> None:
    """Else it builds an engine for another project, or trains one."""
    typed = "--config configs/demo.toml --precision fp16"
    demo = msgspec.structs.replace(project("agx-orin-jp501"), typed=typed)
    with pytest.raises(UserError) as refused:
        check_targets(demo, "report", LOCAL, load_images(CONFIGS / "images.toml"))
    for verb in ("build-jetson-engine", "pack"):
        assert f"invoke {verb} {typed} --target agx-orin-jp501" in refused.value.hint


def test_a_board_without_an_accelerator_is_known_before_the_training() -> None:
    """Two Orins differ in nothing else that is compared."""
    images, plain = load_images(CONFIGS / "images.toml"), project("agx-orin-jp501")
    target = msgspec.structs.replace(plain.targets["agx-orin-jp501"], precision="fp16", dla=1)
    on_dla = msgspec.structs.replace(plain, targets={"agx-orin-jp501": target})
    nano = replace(REMOTE, board="NVIDIA Jetson Orin Nano Developer Kit")
    for board in ("NVIDIA Jetson AGX Orin", "NVIDIA Jetson Orin NX", "A Board", ""):
        check_targets(on_dla, "engine", replace(nano, board=board), images)
    check_targets(plain, "engine", nano, images)
    with pytest.raises(UserError, match=r"Orin Nano Developer Kit, which has no DLA, .* for DLA 1"):
        check_targets(on_dla, "engine", nano, images)


@pytest.mark.parametrize(
    ("board", "module"),
    [
        (board_of(XAVIER.model.decode()), "AGX Xavier"),
        (board_of(ORIN_NX.model.decode()), "Orin NX"),
        (board_of(THOR.model.decode()), "Thor"),
        ("NVIDIA Jetson AGX Orin Developer Kit", "AGX Orin"),
        ("NVIDIA Jetson Orin Nano Developer Kit", "Orin Nano"),
        ("NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super", "Orin Nano"),
        ("A Board", None),
        ("", None),
    ],
)
def test_a_target_for_one_module_is_refused_on_the_boards_of_others(
    board: str, module: str | None
) -> None:
    images, plain = load_images(CONFIGS / "images.toml"), project("agx-orin-jp501")
    machine = replace(REMOTE, board=board)
    for wanted in MODULES:
        target = msgspec.structs.replace(plain.targets["agx-orin-jp501"], module=wanted)
        for_one = msgspec.structs.replace(plain, targets={"agx-orin-jp501": target})
        if module in (None, wanted):
            check_targets(for_one, "engine", machine, images)
            continue
        with pytest.raises(UserError, match=f"its board is an {board}, .* for a Jetson {wanted}"):
            check_targets(for_one, "engine", machine, images)


def test_a_target_for_several_gpus_fits_each() -> None:
    images, plain = load_images(CONFIGS / "images.toml"), project("agx-orin-jp501")
    target = msgspec.structs.replace(plain.targets["agx-orin-jp501"], sm=(72, 87))
    both = msgspec.structs.replace(plain, targets={"agx-orin-jp501": target})
    for sm in (72, 87):
        check_targets(both, "engine", replace(REMOTE, sm=sm), images)
    with pytest.raises(UserError, match="capability 110, the target needs 72 or 87"):
        check_targets(both, "engine", replace(REMOTE, sm=110), images)


def test_who_may_not_open_the_gpu_is_told_the_groups(tmp_path: Path) -> None:
    images = load_images(CONFIGS / "images.toml")
    device = tmp_path / "nvmap"
    device.touch()
    closed = replace(ORIN, closed=(str(device),))
    if not os.geteuid():
        os.chown(device, 0, 0)
        check_targets(project("agx-orin-jp501"), "engine", closed, images)  # root's alone
        os.chown(device, 0, 90104)
    with pytest.raises(
        UserError, match=r"the GPU is closed to you: .*nvmap cannot be opened"
    ) as told:
        check_targets(project("agx-orin-jp501"), "engine", closed, images)
    assert told.value.hint == how_to_open([str(device)])
    assert "sudo usermod -aG" in told.value.hint
    check_targets(on_a_jetson(), "engine", closed, images)  # ONNX Runtime opens no GPU


@pytest.mark.parametrize("release", ["38", "38.2.0"])
def test_a_target_may_leave_the_minor_release_open(release: str) -> None:
    machine = replace(REMOTE, l4t=release)
    check_targets(project("thor-jp7"), "engine", machine, load_images(CONFIGS / "images.toml"))


def on_a_jetson(**facts: str) -> Project:
    """A target for ONNX Runtime on a Jetson, about which `targets.toml` says something."""
    project_ = project("jetson-onnxruntime")
    target = msgspec.structs.replace(project_.targets["jetson-onnxruntime"], **facts)
    return msgspec.structs.replace(project_, targets={"jetson-onnxruntime": target})


def test_jetpack_is_compared_whatever_the_backend() -> None:
    images = load_images(CONFIGS / "images.toml")
    for said in ({"jetpack": "5.0.1"}, {"jetpack": "5.0", "l4t": "34", "tensorrt": "8.4"}):
        check_targets(on_a_jetson(**said), "pipeline", ORIN, images)
    with pytest.raises(UserError, match=r"runs JetPack 5\.0\.1, and the target needs JetPack 5\.1"):
        check_targets(on_a_jetson(jetpack="5.1"), "pipeline", REMOTE, images)


def test_what_a_machine_does_not_report_speaks_against_nothing() -> None:
    """A release that came after us; a PC, which emulates a Jetson."""
    images = load_images(CONFIGS / "images.toml")
    newer = replace(ORIN, l4t="36.9.0", jetpack=replace(JETPACK, cuda=""))
    check_targets(on_a_jetson(jetpack="6.9", cuda="12.6"), "pipeline", newer, images)
    check_targets(on_a_jetson(jetpack="5.1", tensorrt="8.5"), "pipeline", LOCAL, images)


def test_only_what_needs_a_gpu_cannot_run_without() -> None:
    other = Target(description="", backend="onnxruntime")
    rtx = Target(description="", backend="tensorrt_rtx", compute_capabilities=(89,))
    assert (can_run(rtx, PC), can_run(rtx, GPU), can_run(other, PC)) == (False, True, True)
    assert [can_run(rtx, replace(GPU, sm=sm)) for sm in (89, 90)] == [True, False]
