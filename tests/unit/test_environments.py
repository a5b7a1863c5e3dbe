from pathlib import Path

import pytest

from mmdet_jetson.environments import Uv
from mmdet_jetson.settings import Settings


def test_uv_trusts_what_the_machine_trusts(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UV_SYSTEM_CERTS", raising=False)
    assert Uv(tmp_path / "log", settings, 0).env["UV_SYSTEM_CERTS"] == "1"
    monkeypatch.setenv("UV_SYSTEM_CERTS", "0")
    assert Uv(tmp_path / "log", settings, 0).env["UV_SYSTEM_CERTS"] == "0"
