"""The first command that anybody types, with whatever Python a machine has."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Runs the code it is given, as a Python of another version would.
OLD = """#!/bin/sh
shift
exec {python} -c 'import sys; sys.version_info = (3, 8, 10); exec(sys.argv.pop(1))' "$@"
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What make looks at before it installs anything; nothing is set up here yet."""
    folder = tmp_path / "clone"
    (folder / "docker").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "docker/host.lock"):
        shutil.copyfile(ROOT / name, folder / name)
    return folder


def make(clone: Path, python: Path, goal: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["make", goal, f"PYTHON={python}"], cwd=clone, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("goal", ["demo", "setup", "test"])
@pytest.mark.parametrize("folder", ["bin", "a folder"])
def test_an_old_python_is_refused_with_the_way_to_a_newer_one(
    clone: Path, tmp_path: Path, goal: str, folder: str
) -> None:
    """JetPack 5 has Python 3.8."""
    python = tmp_path / folder / "python3"
    python.parent.mkdir()
    python.write_text(OLD.format(python=sys.executable))
    python.chmod(0o755)

    done = make(clone, python, goal)

    assert done.returncode != 0
    assert f"error: {python} is Python 3.8, and the menu needs 3.10 or newer" in done.stderr
    assert "uv python install 3.12" in done.stderr
    assert 'make setup PYTHON="$(python3 -m uv python find 3.12)"' in done.stderr
    assert "Traceback" not in done.stderr
    assert not (clone / ".venv").exists()


def test_a_python_that_is_not_there_is_refused(clone: Path, tmp_path: Path) -> None:
    done = make(clone, tmp_path / "python3.12", "setup")
    assert done.returncode != 0
    assert "make setup PYTHON=" in done.stderr
