"""Find a Python of a given version where people have it, before fetching one."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from mmdet_jetson.config.settings import Settings
from mmdet_jetson.errors import UserError
from mmdet_jetson.processes import ProcessFailed, output_of

PRINT_VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"


def find_python(version: str, settings: Settings, say: Callable[[str], None]) -> Path:
    """Find Python ``version`` ("3.8"): a setting, what uv finds here, or what it fetches.

    Raises:
        UserError: there is none and it cannot be fetched; or the setting names another version.
    """
    if version == "3.8" and settings.python38:
        return _from_setting(Path(settings.python38), version)
    found = _uv_find(version)
    if not found and not settings.offline:
        say(f"fetching Python {version}: none was found on PATH, in pyenv or in uv")
        found = _uv_install(version)
    if found:
        return found
    raise UserError(
        f"Python {version} was not found on PATH, in pyenv or in uv, and could not be fetched",
        f"pyenv install {version}, or uv python install {version}"
        + (", or set MMDET_JETSON_PYTHON38" if version == "3.8" else ""),
    )


def installed_python(version: str, settings: Settings) -> Path | None:
    """Like :func:`find_python`, without fetching: None where there is none."""
    if version == "3.8" and settings.python38:
        python = Path(settings.python38)
        return python if version_of(python) == version else None
    return _uv_find(version)


def version_of(python: Path) -> str:
    """Ask a Python for its version, as in "3.8"; empty where it does not run."""
    try:
        return output_of([str(python), "-c", PRINT_VERSION])
    except ProcessFailed:
        return ""


def _from_setting(python: Path, version: str) -> Path:
    found = version_of(python)
    if found != version:
        what = f"runs Python {found}" if found else "cannot be run"
        raise UserError(
            f"MMDET_JETSON_PYTHON38 names {python}, which {what}",
            f"point it at a Python {version}, or unset it to search PATH and pyenv",
        )
    return python


def _uv_find(version: str, *options: str) -> Path | None:
    """Ask uv for a Python on PATH, or one that it has fetched; it passes over what does not run."""
    # uv knows nothing of pyenv but its shims, which run only the versions that are switched on;
    # and the Python that runs us may not be on PATH.
    also = [*_pyenv(version), Path(sys.executable).resolve().parent]
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *map(str, also)])
    try:
        found = output_of(
            _uv("find", "--no-project", "--system", *options, version),
            env={**os.environ, "PATH": path},
        )
    except ProcessFailed:
        return None
    return Path(found)


def _pyenv(version: str) -> list[Path]:
    """Find pyenv's Pythons; none where its folder is another user's, as after `su`."""
    try:
        root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
        return list(root.glob(f"versions/{version}.*/bin"))
    except OSError:
        return []


def _uv_install(version: str) -> Path | None:
    try:
        output_of(_uv("install", version))
    except ProcessFailed:
        return None
    return _uv_find(version, "--managed-python")


def _uv(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "uv", "--no-config", "python", *arguments]
