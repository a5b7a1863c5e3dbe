import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import pytest

from mmdet_jetson.config.settings import Settings
from mmdet_jetson.environments import pythons
from mmdet_jetson.environments.pythons import find_python, installed_python
from mmdet_jetson.errors import UserError
from mmdet_jetson.processes import ProcessFailed

OURS = f"{sys.version_info.major}.{sys.version_info.minor}"
NEITHER = "2.6"  # a version that no machine has and that uv cannot fetch


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose PATH, pyenv and uv know no Python but the ones that a test makes."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "uv"))
    return tmp_path


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def ours_at(path: Path) -> Path:
    """The Python that runs the tests, under another path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(Path(sys.executable).resolve())
    return path


def choosing(settings: Settings, python38: Path) -> Settings:
    return msgspec.structs.replace(settings, python38=str(python38))


def test_path_comes_before_pyenv(bare_machine: Path, settings: Settings) -> None:
    ours_at(bare_machine / f"pyenv/versions/{OURS}.1/bin/python{OURS}")
    on_path = ours_at(bare_machine / f"bin/python{OURS}")
    assert find_python(OURS, settings, print) == on_path


def test_a_shim_that_does_not_run_is_passed_over(bare_machine: Path, settings: Settings) -> None:
    program(bare_machine / f"bin/python{OURS}", "echo 'command not found' >&2; exit 127")
    pyenv = ours_at(bare_machine / f"pyenv/versions/{OURS}.1/bin/python{OURS}")
    assert find_python(OURS, settings, print) == pyenv
    assert installed_python(OURS, settings) == pyenv


def test_the_python_that_runs_us_is_found_wherever_it_is(settings: Settings) -> None:
    assert find_python(OURS, settings, print).parent == Path(sys.executable).resolve().parent


def test_the_setting_comes_first(bare_machine: Path, settings: Settings) -> None:
    program(bare_machine / "bin/python3.8", "echo 3.8")
    mine = program(bare_machine / "mine/python", "echo 3.8")
    chosen = choosing(settings, mine)
    assert find_python("3.8", chosen, print) == installed_python("3.8", chosen) == mine


@pytest.mark.parametrize(
    ("script", "message"),
    [("echo 3.9", "which runs Python 3.9"), ("exit 1", "which cannot be run")],
)
def test_a_setting_that_is_wrong_is_refused(
    bare_machine: Path, settings: Settings, script: str, message: str
) -> None:
    chosen = choosing(settings, program(bare_machine / "mine/python", script))
    assert installed_python("3.8", chosen) is None
    with pytest.raises(UserError, match=message):
        find_python("3.8", chosen, print)


def test_none_anywhere_is_one_sentence_with_a_hint(settings: Settings) -> None:
    assert installed_python(NEITHER, settings) is None
    with pytest.raises(UserError, match=r"Python 2\.6 was not found on PATH, in pyenv or in uv"):
        find_python(NEITHER, settings, print)


def test_uv_fetches_only_when_nothing_else_is_there(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    asked: list[str] = []

    def uv(command: Sequence[str], env: Mapping[str, str] | None = None) -> str:
        asked.append(" ".join(command[command.index("python") + 1 :]))
        if asked[-1] == "find --no-project --system 3.8":
            raise ProcessFailed(command, 2, "No interpreter found", None)
        return "/fetched"

    monkeypatch.setattr(pythons, "output_of", uv)
    online = msgspec.structs.replace(settings, offline=False)
    assert find_python("3.8", online, said.append) == Path("/fetched")
    assert asked == [
        "find --no-project --system 3.8",
        "install 3.8",
        "find --no-project --system --managed-python 3.8",
    ]
    assert said == ["fetching Python 3.8: none was found on PATH, in pyenv or in uv"]


def test_nothing_is_fetched_offline(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pythons, "_uv_install", lambda _: pytest.fail("it was fetched"))
    with pytest.raises(UserError, match="could not be fetched"):
        find_python(NEITHER, settings, print)
