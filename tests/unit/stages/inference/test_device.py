import ctypes
from pathlib import Path
from types import SimpleNamespace

import pytest

from mmdet_jetson.stages.inference import device
from mmdet_jetson.stages.inference.device import device_facts, gpu_architecture, l4t_release


@pytest.mark.parametrize(
    ("line", "release"),
    [
        ("# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref, EABI: aarch64", "35.4.1"),
        ("# R34 (release), REVISION: 1.1, GCID: 30414990, BOARD: t186ref", "34.1.1"),
        ("something else", None),
    ],
)
def test_the_release_of_jetson_linux(tmp_path: Path, line: str, release: str | None) -> None:
    (tmp_path / "nv_tegra_release").write_text(line + "\n")

    assert l4t_release(tmp_path / "nv_tegra_release") == release


def test_a_pc_has_no_jetson_linux(tmp_path: Path) -> None:
    assert l4t_release(tmp_path / "absent") is None


class Driver:
    """The four calls of libcuda.so.1, on a machine with an Orin or with no GPU at all."""

    def __init__(self, gpus: int) -> None:
        self.gpus = gpus

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return 0 if self.gpus else 100

    def cuDeviceGet(self, device: object, ordinal: int) -> int:  # noqa: N802
        return 0

    def cuDeviceGetAttribute(self, value: SimpleNamespace, attribute: int, device: object) -> int:  # noqa: N802
        value._obj.value = {75: 8, 76: 7}[attribute]
        return 0


@pytest.mark.parametrize(("gpus", "sm"), [(1, 87), (0, None)])
def test_the_gpu_is_what_the_driver_says(
    monkeypatch: pytest.MonkeyPatch, gpus: int, sm: int | None
) -> None:
    asked: list[str] = []

    def load(name: str) -> Driver:
        asked.append(name)
        return Driver(gpus)

    library = SimpleNamespace(CDLL=load, c_int=ctypes.c_int, byref=ctypes.byref)
    monkeypatch.setattr(device, "ctypes", library)

    assert gpu_architecture() == sm
    assert asked == ["libcuda.so.1"]


def test_without_a_driver_there_is_no_gpu() -> None:
    assert gpu_architecture("libno-such-driver.so.1") is None


def test_facts_hold_the_versions_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "gpu_architecture", lambda: 87)
    monkeypatch.setattr(device, "l4t_release", lambda: "35.4.1")

    facts = device_facts({"tensorrt": "8.5.2.2"})

    assert facts.by_name() == {"sm": 87, "l4t": "35.4.1", "tensorrt": "8.5.2.2"}
