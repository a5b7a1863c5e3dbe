"""What a target says of its device: several will do of a list, and what no device is is refused."""

import re
from pathlib import Path

import pytest

from mmdet_jetson.config.pipeline import Project, load_project
from mmdet_jetson.contract.nvidia import CHIPS, LINUX_FOR, MODULES
from mmdet_jetson.errors import ConfigError

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
JETSON = '[new]\ndescription = "a Jetson"\nbackend = "tensorrt"\n'


def project_of(folder: Path, target: str) -> Project:
    for name in ("pipeline.toml", "sources.toml"):
        (folder / name).write_text((CONFIGS / name).read_text())
    shipped = (CONFIGS / "targets.toml").read_text()
    (folder / "targets.toml").write_text(f"{shipped}\n{target}")
    return load_project(folder / "pipeline.toml", ['targets=["new"]'])


def like(other: str, *lines: str) -> str:
    return "\n".join(("[new]", 'description = ""', f'like = "{other}"', *lines))


def test_a_target_may_be_for_several_gpus(tmp_path: Path) -> None:
    project = project_of(tmp_path, like("orin-jp72", "sm = [87, 110]"))
    assert project.targets["new"].facts["sm"] == "87 or 110"


@pytest.mark.parametrize(
    "lines",
    [
        'module = "Orin NX"\nsm = 87',
        'module = "AGX Xavier"\nl4t = "35"',
        'l4t = ["36.4", "36.5"]\njetpack = ["6.1", "6.2.2"]',
        'l4t = "36"\njetpack = "6.9"',
        'l4t = "40.1"\njetpack = "8.0"\nsm = 121',
    ],
    ids=["module", "module-alone", "lists", "jetpack-unknown-here", "all-unknown-here"],
)
def test_what_may_be_is_taken(tmp_path: Path, lines: str) -> None:
    project_of(tmp_path, JETSON + lines)


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (JETSON + 'module = "AGX Xavier"\nsm = 87', "new.sm: .* AGX Xavier has .* 72, and this"),
        (JETSON + 'module = "Orin NX"\nsm = 72', "new.sm: .* Orin NX has .* 87, and this is 72"),
        (JETSON + 'module = "Orin NX"\nsm = [72, 87]', "new.sm: .* 87, and this is 72 or 87"),
        (like("orin-nano-jp62-fp16", "sm = 110"), "new.sm: .* Orin Nano has .* 87"),
        (like("thor-jp7", "sm = 87"), "new.l4t: L4T 38 runs on .* 110, and the target is for 87"),
        (JETSON + 'module = "AGX Xavier"\nl4t = "36.4"', "new.l4t: L4T 36.4 runs on .* 87, and"),
        (JETSON + 'l4t = "36.4"\njetpack = "5.1"', "new.jetpack: L4T 36.4 is JetPack 6.1 or 6.2"),
        (
            JETSON + 'l4t = "36.4.3"\njetpack = ["6.2", "5.1"]',
            "new.jetpack: L4T 36.4.3 is JetPack 6.2, and never 5.1",
        ),
        (JETSON + "l4t = []", "new.l4t: lists nothing"),
        (JETSON + "sm = []", "new.sm: lists nothing"),
        (JETSON + 'l4t = ""', "new.l4t: a version is .* and this is ''"),
        (JETSON + 'cuda = ["12.6", ""]', "new.cuda: a version is .* and this is ''"),
        (JETSON + 'cuda = ["12.6", "12.6"]', "new.cuda: '12.6' is listed twice"),
        (JETSON + "sm = [87, 87]", "new.sm: 87 is listed twice"),
        (like("pc-onnxruntime", 'module = "Orin NX"'), "new.module: .* 'onnxruntime' are built on"),
        (like("pc-openvino", "sm = 87"), "new.sm: engines of backend 'openvino' are built on any"),
        (like("pc-rtx", 'l4t = "36"'), "new.l4t: engines of backend 'tensorrt_rtx' are built on"),
    ],
)
def test_what_no_device_is_is_refused(tmp_path: Path, target: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        project_of(tmp_path, target)
    assert re.search(told, caught.value.message)
    assert caught.value.hint


def test_every_chip_has_a_module_and_a_linux() -> None:
    assert set(MODULES.values()) == set(CHIPS.values())
    assert {sm for gpus in LINUX_FOR.values() for sm in gpus} == set(CHIPS.values())
