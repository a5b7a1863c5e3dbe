"""Find a Python of a given version where people have it, before fetching one."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from mmdet_jetson.config.settings import Settings
from mmdet_jetson.errors import UserError
from mmdet_jetson.processes import ProcessFailed, output_of

PROBE = "import sys, sysconfig; print('%d.%d' % sys.version_info[:2])"


def find_python(version: str, settings: Settings, say: Callable[[str], None]) -> Path:
    """Find Python ``version`` ("3.8"): a setting, us, PATH, pyenv, uv's own; last, let uv fetch it.

    Raises:
        UserError: there is none and it cannot be fetched; or the setting names another version.
    """
    if version == "3.8" and settings.python38:
        return _from_setting(Path(settings.python38), version)
    for candidate in (*_installed(version), *_uv("find", version)):
        if _version_of(candidate) == version:
            return candidate
    if not settings.offline:
        say(f"fetching Python {version}: none was found on PATH, in pyenv or in uv")
        for candidate in _uv("install", version):
            return candidate
    raise UserError(
        f"Python {version} was not found on PATH, in pyenv or in uv, and could not be fetched",
        f"pyenv install {version}, or uv python install {version}"
        + (", or set MMDET_JETSON_PYTHON38" if version == "3.8" else ""),
    )


def installed_python(version: str, settings: Settings) -> Path | None:
    """Like :func:`find_python`, without fetching: None where there is none."""
    if version == "3.8" and settings.python38:
        candidates = [Path(settings.python38)]
    else:
        candidates = [*_installed(version), *_uv("find", version)]
    return next((path for path in candidates if _version_of(path) == version), None)


def _from_setting(python: Path, version: str) -> Path:
    found = _version_of(python)
    if found != version:
        what = f"runs Python {found}" if found else "cannot be run"
        raise UserError(
            f"MMDET_JETSON_PYTHON38 names {python}, which {what}",
            f"point it at a Python {version}, or unset it to search PATH and pyenv",
        )
    return python


def _installed(version: str) -> Iterator[Path]:
    if f"{sys.version_info.major}.{sys.version_info.minor}" == version:
        yield Path(sys.executable).resolve()
    on_path = shutil.which(f"python{version}")
    if on_path:
        yield Path(on_path)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(pyenv.glob(f"versions/{version}.*/bin/python"), reverse=True)


def _uv(verb: str, version: str) -> Iterator[Path]:
    """Ask uv for a Python that it manages (``find``), or let it fetch one (``install``)."""
    uv = [sys.executable, "-m", "uv", "--no-config", "python"]
    find = [*uv, "find", "--managed-python", "--offline", "--no-project", version]
    try:
        if verb == "install":
            output_of([*uv, "install", version])
        yield Path(output_of(find))
    except ProcessFailed:
        return


def _version_of(python: Path) -> str:
    """A shim on PATH may exist and yet not run: only an answer counts."""
    try:
        return output_of([str(python), "-c", PROBE])
    except ProcessFailed:
        return ""
