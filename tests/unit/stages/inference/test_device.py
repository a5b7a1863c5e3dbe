import ctypes
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from mmdet_jetson.contract.nvidia import Gpu, how_to_open
from mmdet_jetson.runtimes.protocol import gpu_of
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference import device
from mmdet_jetson.stages.inference.device import (
    check_target,
    cuda_version,
    device_facts,
    first_gpu,
    gpu_architecture,
    l4t_release,
)


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
    """The calls of libcuda.so.1, on a machine with an Orin or with no GPU at all."""

    def __init__(self, gpus: int, uuid: bytes = bytes(16)) -> None:
        self.gpus, self.uuid = gpus, uuid

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return 0 if self.gpus else 100

    def cuDeviceGet(self, device: object, ordinal: int) -> int:  # noqa: N802
        return 0

    def cuDeviceGetAttribute(self, value: SimpleNamespace, attribute: int, device: object) -> int:  # noqa: N802
        value._obj.value = {75: 8, 76: 7}[attribute]
        return 0

    def cuDeviceGetName(  # noqa: N802
        self, name: "ctypes.Array[ctypes.c_char]", size: int, device: object
    ) -> int:
        name.value = b"Orin"
        return 0

    def cuDeviceGetUuid(self, uuid: "ctypes.Array[ctypes.c_char]", device: object) -> int:  # noqa: N802
        uuid.raw = self.uuid
        return 0

    def cuDriverGetVersion(self, version: SimpleNamespace) -> int:  # noqa: N802
        version._obj.value = 12020
        return 0


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Driver], None]:
    """Puts a driver in the place of this machine's."""
    monkeypatch.setattr(device, "DRIVER_VERSION", tmp_path / "version")
    monkeypatch.setattr(device, "CUDA_VERSIONS", tmp_path / "version.json")

    def put(answering: Driver) -> None:
        def load(name: str) -> Driver:
            assert name == "libcuda.so.1"
            return answering

        library = SimpleNamespace(
            CDLL=load,
            c_int=ctypes.c_int,
            byref=ctypes.byref,
            create_string_buffer=ctypes.create_string_buffer,
        )
        monkeypatch.setattr(device, "ctypes", library)

    return put


@pytest.mark.parametrize(("gpus", "sm"), [(1, 87), (0, None)])
def test_the_gpu_is_what_the_driver_says(
    driver: Callable[[Driver], None], gpus: int, sm: int | None
) -> None:
    driver(Driver(gpus))
    assert gpu_architecture() == sm


def test_a_gpu_is_told_by_its_name_its_number_and_its_driver(
    driver: Callable[[Driver], None], tmp_path: Path
) -> None:
    driver(Driver(1))
    assert first_gpu() == Gpu("Orin", "", 87, "for CUDA 12.2", "12.2")
    (tmp_path / "version").write_text("550.54.15\n")
    driver(Driver(1, bytes(range(16))))
    assert first_gpu() == Gpu("Orin", bytes(range(16)).hex(), 87, "550.54.15", "12.2")


@pytest.mark.parametrize("gpus", [0, 1])
def test_the_host_side_reads_what_is_printed(
    driver: Callable[[Driver], None], gpus: int, capsys: pytest.CaptureFixture[str]
) -> None:
    driver(Driver(gpus))
    device.print_gpu()
    printed = capsys.readouterr().out
    assert gpu_of(printed) == first_gpu()
    assert json.loads(printed) is None or gpus


def test_the_cuda_that_is_installed_goes_before_what_the_driver_runs(
    driver: Callable[[Driver], None], tmp_path: Path
) -> None:
    driver(Driver(0))
    assert cuda_version() is None
    driver(Driver(1))
    assert cuda_version() == "12.2"
    installed = {"cuda": {"name": "CUDA SDK", "version": "11.4.20220427"}}
    (tmp_path / "version.json").write_text(json.dumps(installed))
    assert cuda_version() == "11.4.20220427"


def test_without_a_driver_there_is_no_gpu() -> None:
    assert gpu_architecture("libno-such-driver.so.1") is None


def test_facts_hold_the_versions_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "gpu_architecture", lambda: 87)
    monkeypatch.setattr(device, "l4t_release", lambda: "35.4.1")
    monkeypatch.setenv("MMDET_JETSON_HOST_BOARD", "NVIDIA Jetson AGX Orin Developer Kit")

    facts = device_facts({"tensorrt": "8.5.2.2"})

    assert facts.by_name() == {"sm": 87, "l4t": "35.4.1", "tensorrt": "8.5.2.2"}
    assert facts.board == "NVIDIA Jetson AGX Orin Developer Kit"


def test_a_jetson_says_its_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MMDET_JETSON_HOST_BOARD", raising=False)
    monkeypatch.setattr(device, "BOARD", tmp_path / "model")
    assert device_facts({}).board == ""
    (tmp_path / "model").write_bytes(b"NVIDIA Jetson Orin Nano Developer Kit\0")
    assert device_facts({}).board == "NVIDIA Jetson Orin Nano Developer Kit"


@pytest.fixture
def orin(driver: Callable[[Driver], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of a Jetson Orin with JetPack 5.1.2."""
    driver(Driver(1))
    release = "# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref, EABI: aarch64"
    (tmp_path / "nv_tegra_release").write_text(f"{release}\n")
    monkeypatch.setattr(device, "L4T_RELEASE", tmp_path / "nv_tegra_release")
    (tmp_path / "version.json").write_text('{"cuda": {"version": "11.4.20220427"}}')
    return tmp_path


def test_in_a_container_the_hosts_release_counts(
    orin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Docker shows the image's file where the runtime mounts none, and that is another release."""
    monkeypatch.setenv("MMDET_JETSON_HOST_L4T", "35.6.1")
    assert l4t_release() == "35.6.1"
    assert device_facts(TENSORRT).by_name()["l4t"] == "35.6.1"
    with pytest.raises(StageError, match=r"JetPack 5\.1\.2, and this device has JetPack 5\.1\.5"):
        check_target("orin", {"jetpack": "5.1.2"}, TENSORRT)


def test_a_gpu_that_is_closed_to_the_user_is_one_sentence_with_the_groups(
    driver: Callable[[Driver], None], orin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = (str(orin / "nv_tegra_release"),)
    monkeypatch.setattr(device, "closed_to_user", lambda _: closed)
    assert check_target("orin", NEEDS, TENSORRT) == []  # the driver answers all the same
    driver(Driver(0))
    with pytest.raises(StageError, match=r"the GPU cannot be used: .* cannot be opened") as told:
        check_target("orin", NEEDS, TENSORRT)
    assert told.value.hint == how_to_open(closed)
    assert check_target("orin", {"l4t": "35"}, TENSORRT) == []  # ONNX Runtime needs no GPU


TENSORRT = {"tensorrt": "8.5.2.2"}
NEEDS = {"l4t": "35.4.1", "jetpack": "5.1.2", "cuda": "11.4", "tensorrt": "8.5.2", "sm": "87"}


def test_a_device_that_is_as_its_target_says(orin: Path) -> None:
    assert check_target("orin", NEEDS, TENSORRT) == []
    assert check_target("orin", {"jetpack": "5", "tensorrt": "8"}, TENSORRT) == []


@pytest.mark.parametrize(
    ("fact", "needed", "told"),
    [
        ("l4t", "35.3", r"needs Jetson Linux \(L4T\) 35\.3, and this device has .* 35\.4\.1"),
        ("jetpack", "5.0.1", r"needs JetPack 5\.0\.1, and this device has JetPack 5\.1\.2"),
        ("cuda", "12.2", r"needs CUDA 12\.2, and this device has CUDA 11\.4\.20220427"),
        ("tensorrt", "8.4.0", r"needs TensorRT 8\.4\.0, and this device has TensorRT 8\.5\.2\.2"),
        ("sm", "72", r"needs compute capability 72, and this device has compute capability 87"),
    ],
)
def test_a_device_that_contradicts_its_target_is_refused(
    orin: Path, fact: str, needed: str, told: str
) -> None:
    with pytest.raises(StageError, match=told) as refused:
        check_target("orin", {**NEEDS, fact: needed}, TENSORRT)
    assert "targets.toml" in refused.value.hint


def test_what_a_device_does_not_say_is_a_warning(
    driver: Callable[[Driver], None], orin: Path
) -> None:
    driver(Driver(0))
    (orin / "version.json").unlink()
    (orin / "nv_tegra_release").write_text("# R36 (release), REVISION: 9.0\n")
    (doubt,) = check_target("orin", {**NEEDS, "l4t": "36"}, TENSORRT)
    assert "needs JetPack 5.1.2, CUDA 11.4, compute capability 87: this device does not" in doubt
