"""Addresses that cannot be used; what answers is tested with real Docker hosts."""

import json
from pathlib import Path

import pytest

from mmdet_jetson.containers.connection import Connection
from mmdet_jetson.containers.objects import DockerHostError


def test_a_port_that_cannot_be_is_one_sentence() -> None:
    with pytest.raises(
        DockerHostError, match="ssh://localhost:99999 is not the address of a Docker host"
    ):
        Connection("ssh://localhost:99999", None)


def test_a_damaged_context_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    meta = tmp_path / ".docker/contexts/meta/abc"
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text("{")
    (tmp_path / ".docker/config.json").write_text(json.dumps({"currentContext": "gone"}))
    with pytest.raises(DockerHostError, match="ontext"):
        Connection("", None)
