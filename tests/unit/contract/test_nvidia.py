"""NVIDIA's releases for Jetson, and how versions are compared."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mmdet_jetson.contract.nvidia import (
    DLA_CORES,
    MODULES,
    closed_to_user,
    groups_of,
    how_to_open,
    is_version,
    jetpack_of,
    lacks_dla,
    release_of,
)

NOBODY = 65534


@pytest.mark.parametrize(
    ("line", "release"),
    [
        ("# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref, EABI: aarch64", "35.4.1"),
        ("# R34 (release), REVISION: 1.1, GCID: 30414990, BOARD: t186ref", "34.1.1"),
        ("# R36 (release), REVISION: 4.3, GCID: 1", "36.4.3"),
        ("\ufffd?", ""),
    ],
)
def test_a_release_is_read_in_its_parts(line: str, release: str) -> None:
    assert release_of(line) == release


@pytest.mark.parametrize(
    ("l4t", "jetpack"),
    [
        ("34.1.1", "5.0.1"),
        ("35.4.1", "5.1.2"),
        ("36.4.3", "6.2"),
        ("36.4.7", "6.2.1"),
        ("36.5.0", "6.2.2"),
        ("38.2.1", "7.0"),
        ("38.4.0", "7.1"),
        ("39.2.0", "7.2"),
        ("39.2.1", "7.2.1"),
        ("36.4.30", None),
        ("36.9.0", None),
        ("", None),
    ],
)
def test_a_release_of_jetson_linux_is_one_jetpack(l4t: str, jetpack: str | None) -> None:
    assert jetpack_of(l4t) == jetpack


@pytest.mark.parametrize(
    ("found", "needed", "same"),
    [
        ("8.4.0.11", "8.4", True),
        ("8.4.0.11", "8.4.0", True),
        ("8.4.0", "8.4.0", True),
        ("8.40.1", "8.4", False),
        ("8.4", "8.4.0", False),
        ("11.4.20220427", "11.4", True),
        ("36.5.0", "36.4 or 36.5", True),
        ("36.50", "36.4 or 36.5", False),
    ],
)
def test_versions_are_compared_as_far_as_they_go(found: str, needed: str, same: bool) -> None:
    assert is_version(found, needed) == same


def as_nobody(ask: Callable[[], object], folder: Path) -> object:
    """What ``ask`` finds as a user without rights, in a folder; root may open any file."""
    folder.chmod(0o755)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.chdir(folder)
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        os.write(writing, json.dumps(ask()).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        found = json.load(answer)
    os.waitpid(child, 0)
    return found


def device(root: Path, name: str, mode: int) -> Path:
    file = root / "dev" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    file.chmod(mode)
    return file


def test_device_files_that_cuda_cannot_open_are_named(tmp_path: Path) -> None:
    for name in ("dri/renderD128", "nvgpu/igpu0/prof", "dri/card0", "nvidia0"):
        device(tmp_path, name, 0o000)
    device(tmp_path, "nvmap", 0o666)
    device(tmp_path, "nvgpu/igpu0/ctrl", 0o444)
    closed = as_nobody(lambda: closed_to_user(Path()), tmp_path)
    # neither what profilers and displays open nor what may be opened already
    assert closed == ["dev/nvgpu/igpu0/ctrl", "dev/dri/renderD128"]


def test_thor_has_the_driver_of_a_card(tmp_path: Path) -> None:
    for name in ("nvmap", "nvidia0", "nvidiactl", "dri/renderD128"):
        device(tmp_path, name, 0o000)
    assert as_nobody(lambda: closed_to_user(Path()), tmp_path) == [
        "dev/nvmap", "dev/dri/renderD128", "dev/nvidia0", "dev/nvidiactl",
    ]  # fmt: skip


def test_a_pcs_own_render_node_is_no_matter_of_cuda(tmp_path: Path) -> None:
    device(tmp_path, "dri/renderD128", 0o000)
    device(tmp_path, "nvidia0", 0o666)
    device(tmp_path, "nvidiactl", 0o000)
    assert as_nobody(lambda: closed_to_user(Path()), tmp_path) == ["dev/nvidiactl"]


def test_groups_are_named_once_and_roots_is_none_to_join(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = {"nvmap": 44, "dri/renderD128": 90104, "nvhost-gpu": 44, "nvhost-ctrl": 0}
    paths = [str(device(tmp_path, name, 0o660)) for name in groups]

    def stat(path: Path) -> os.stat_result:
        number = groups[str(path.relative_to(tmp_path / "dev"))]
        return os.stat_result((0o20660, 0, 0, 1, 0, number, 0, 0, 0, 0))

    monkeypatch.setattr(Path, "stat", stat)
    assert groups_of(paths) == ("video", "90104")
    assert how_to_open(paths) == "sudo usermod -aG video,90104 $USER, log out and in again"
    assert "belong to root alone" in how_to_open(paths[3:])


@pytest.mark.parametrize(
    ("board", "cores"),
    [
        ("Jetson AGX Xavier", {0, 1}),
        ("AGX Orin", {0, 1}),
        ("NVIDIA Jetson Orin NX Engineering Reference Developer Kit Super", {0, 1}),
        ("NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super", set()),
        ("NVIDIA Jetson AGX Thor Developer Kit", set()),
        ("NVIDIA Jetson Xavier NX Developer Kit", {0, 1, 2}),
        ("", {0, 1, 2}),
    ],
)
def test_a_module_has_so_many_accelerators(board: str, cores: set[int]) -> None:
    """One that is not known may have any of them."""
    assert {core for core in range(3) if not lacks_dla(board, core)} == cores
    assert set(DLA_CORES) == set(MODULES)
