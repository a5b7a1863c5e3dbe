import re
from pathlib import Path

import pytest

from mmdet_jetson.config.settings import ROOT, Settings
from mmdet_jetson.environments.packages import Uv, device_environment, train_environment


def test_uv_trusts_what_the_machine_trusts(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UV_SYSTEM_CERTS", raising=False)
    assert Uv(tmp_path / "log", settings, 0).env["UV_SYSTEM_CERTS"] == "1"
    monkeypatch.setenv("UV_SYSTEM_CERTS", "0")
    assert Uv(tmp_path / "log", settings, 0).env["UV_SYSTEM_CERTS"] == "0"


def test_pictures_are_read_by_the_same_opencv_everywhere(settings: Settings) -> None:
    """Decoders differ between versions, and training and engines must see the same pixels."""
    found = {
        lock.name: re.findall(r"^opencv-python-headless==(\S+)", lock.read_text(), re.MULTILINE)
        for lock in (settings.root / "docker").glob("*.lock")
    }
    versions = {name: version for name, version in found.items() if version}
    assert {"train.lock", "deploy.lock", "deploy-py38.lock"} < versions.keys()
    assert len({tuple(version) for version in versions.values()}) == 1


def test_what_is_made_on_a_pc_has_the_same_key_on_a_jetson(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So a Jetson finds a training and its exports in a registry; its engines are its own."""
    on_pc = (train_environment(ROOT, "cpu").identity, device_environment(ROOT, "deploy").identity)
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    on_jetson = train_environment(ROOT, "cpu").identity
    assert on_jetson == on_pc[0]
    assert on_jetson.endswith(":py3.8:x86_64")
    assert device_environment(ROOT, "deploy").identity != on_pc[1]
