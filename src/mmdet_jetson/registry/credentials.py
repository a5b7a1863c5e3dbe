"""What a user has told Docker or Podman about registries: names and passwords, asked of helpers.

Docker's SDK knows its configuration and the helpers. It takes half a second to import, so that is
done where a registry asks who is there and a configuration may know, and nowhere else.
"""

import json
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmdet_jetson.registry.place import PlaceError

_TOKEN_USER = "<token>"  # noqa: S105 - how helpers say that the secret is a token
_BROKEN = "mend it, or remove the entry and log in again"


@dataclass(frozen=True)
class Credentials:
    """Who one is for a registry. Nothing shows the secrets."""

    source: str
    """The file that knew them, or names the helper that did."""
    user: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)


def find_credentials(
    host: str, repository: str, environ: Mapping[str, str] = os.environ
) -> Credentials | None:
    """Find what Podman's or Docker's configuration knows for a registry, in that order.

    Raises:
        PlaceError: a configuration cannot be read, or a helper that it names fails.
    """
    for path in _files(environ):
        try:
            content = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise PlaceError(f"{path} cannot be read: {error.strerror}", _BROKEN) from error
        if found := _look_up(path, _parse(path, content), host, repository):
            return found
    return None


def _files(environ: Mapping[str, str]) -> Iterator[Path]:
    """Where credentials are: ``containers-auth.json(5)`` of Podman and skopeo, then Docker's."""
    if named := environ.get("REGISTRY_AUTH_FILE"):
        yield Path(named)
        return
    home = Path(environ.get("HOME") or Path.home())
    runtime = environ.get("XDG_RUNTIME_DIR")
    yield (
        Path(runtime) / "containers/auth.json"
        if runtime
        else Path(f"/run/containers/{os.getuid()}/auth.json")
    )
    yield Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "containers/auth.json"
    yield Path(environ.get("DOCKER_CONFIG") or home / ".docker") / "config.json"


def _parse(path: Path, content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise PlaceError(f"{path} is not JSON: {error}", _BROKEN) from error
    if not isinstance(value, dict) or not isinstance(value.get("auths", {}), dict):
        raise PlaceError(f"{path} is not a configuration of Docker or Podman", _BROKEN)
    return value


def _look_up(path: Path, config: dict[str, Any], host: str, repository: str) -> Credentials | None:
    known = {
        name: config[name] for name in ("auths", "credsStore", "credHelpers") if config.get(name)
    }
    if not known:
        return None
    try:
        entry = _resolve(known, host, repository)
    except _HelperFailed as error:
        raise PlaceError(
            f"{path} names a credential helper for {host}, and it fails: {error}",
            "install it, or remove it from there and log in again",
        ) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        # Not the error's own words, which may hold what could not be decoded.
        raise PlaceError(f"{path} has an entry for {host} that cannot be read", _BROKEN) from error
    return _credentials(str(path), entry or {})


class _HelperFailed(Exception):
    """A credential helper is missing, or says that something is wrong."""


def _resolve(known: dict[str, Any], host: str, repository: str) -> dict[str, Any] | None:
    """Ask the SDK, with Podman's entries for parts of a registry put before the registry's own."""
    from docker import auth, errors  # noqa: PLC0415 - see above

    parts = [host, *repository.split("/")]
    auths = known.get("auths", {})
    for count in range(len(parts), 1, -1):
        if "/".join(parts[:count]) in auths:
            only = {"/".join(parts[:count]): auths["/".join(parts[:count])]}
            entry: dict[str, Any] = auth.AuthConfig.parse_auth(only, raise_on_error=True)
            return dict(*entry.values())
    others = {key: value for key, value in auths.items() if not _is_part(key)}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the SDK's, of a helper that is missing
            config = auth.AuthConfig.load_config(None, {**known, "auths": others})
            found: dict[str, Any] | None = config.resolve_authconfig(host)
    except errors.InvalidConfigFile as error:
        raise ValueError("an entry is no table") from error
    except errors.DockerException as error:
        reason = str(error.__cause__ or error)
        raise _HelperFailed(" ".join(reason.split())[:300]) from error
    return found


def _is_part(key: str) -> bool:
    """Whether an entry is for a part of a registry; Docker's old ones end with ``/v1/``."""
    rest = key.partition("://")[2] or key
    path = rest.partition("/")[2].strip("/")
    return bool(path) and path not in ("v1", "v2")


def _credentials(source: str, entry: dict[str, Any]) -> Credentials | None:
    values = {name.lower(): value for name, value in entry.items() if isinstance(value, str)}
    user, password = values.get("username", ""), values.get("password", "")
    if token := values.get("identitytoken") or (password if user == _TOKEN_USER else ""):
        return Credentials(source, identity_token=token)
    return Credentials(source, user, password) if user or password else None
