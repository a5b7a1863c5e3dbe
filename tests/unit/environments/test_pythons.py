import os
import stat
import sys
from pathlib import Path

import pytest

from mmdet_jetson.config.settings import Settings
from mmdet_jetson.environments import pythons
from mmdet_jetson.environments.pythons import find_python, installed_python
from mmdet_jetson.errors import UserError


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose PATH, pyenv and uv know no Python but the ones that a test makes."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "uv"))
    return tmp_path


def fake_python(path: Path, says: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{says}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_path_comes_before_pyenv(bare_machine: Path, settings: Settings) -> None:
    fake_python(bare_machine / "pyenv/versions/3.8.18/bin/python", "echo 3.8")
    on_path = fake_python(bare_machine / "bin/python3.8", "echo 3.8")
    assert find_python("3.8", settings, print) == on_path


def test_a_shim_that_does_not_run_is_passed_over(bare_machine: Path, settings: Settings) -> None:
    fake_python(bare_machine / "bin/python3.8", "echo 'command not found' >&2; exit 127")
    pyenv = fake_python(bare_machine / "pyenv/versions/3.8.18/bin/python", "echo 3.8")
    assert find_python("3.8", settings, print) == pyenv


def test_the_setting_comes_first(bare_machine: Path, settings: Settings) -> None:
    fake_python(bare_machine / "bin/python3.8", "echo 3.8")
    mine = fake_python(bare_machine / "mine/python", "echo 3.8")
    chosen = Settings(**{**_fields(settings), "python38": str(mine)})
    assert find_python("3.8", chosen, print) == mine


@pytest.mark.parametrize(
    ("says", "message"), [("echo 3.9", "which runs Python 3.9"), ("exit 1", "which cannot be run")]
)
def test_a_setting_that_is_wrong_is_refused(
    bare_machine: Path, settings: Settings, says: str, message: str
) -> None:
    mine = fake_python(bare_machine / "mine/python", says)
    chosen = Settings(**{**_fields(settings), "python38": str(mine)})
    with pytest.raises(UserError, match=message):
        find_python("3.8", chosen, print)


def test_none_anywhere_is_one_sentence_with_a_hint(settings: Settings) -> None:
    assert installed_python("3.8", settings) is None
    with pytest.raises(UserError, match=r"Python 3\.8 was not found on PATH, in pyenv or in uv"):
        find_python("3.8", settings, print)


def test_uv_fetches_only_when_nothing_else_is_there(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    asked: list[str] = []
    monkeypatch.setattr(
        pythons, "_uv", lambda verb, version: asked.append(verb) or iter(() if verb == "find" else [Path("/fetched")])
    )  # fmt: skip
    online = Settings(**{**_fields(settings), "offline": False})
    assert find_python("3.8", online, said.append) == Path("/fetched")
    assert asked == ["find", "install"]
    assert said == ["fetching Python 3.8: none was found on PATH, in pyenv or in uv"]


def test_we_ourselves_are_a_python(settings: Settings) -> None:
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    found = find_python(ours, settings, print)
    assert os.access(found, os.X_OK)


def _fields(settings: Settings) -> dict[str, object]:
    return {name: getattr(settings, name) for name in settings.__struct_fields__}
