"""Names of places on the command line: what is a registry's, what a folder's, what an archive's."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from mmdet_jetson.registry.place import PlaceError
from mmdet_jetson.store.naming import is_tag

_DOCKER = "docker://HOST[:PORT]/REPOSITORY[:TAG][@sha256:DIGEST]"
_FORMS = f"{_DOCKER}, oci:FOLDER[:TAG] or oci-archive:FILE[:TAG]"
_DOCKER_HUB = "docker.io"

# Grammars of the OCI distribution specification, section "Pulling manifests".
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:.]+\])(?::([0-9]{{1,5}}))?")
_LONGEST = 255
"""Characters of host and repository, as the specification advises."""


@dataclass(frozen=True)
class RegistryReference:
    """A repository of a registry, and perhaps one thing in it."""

    host: str
    """With its port where one is given; Docker Hub is ``docker.io``, as for other programs."""
    repository: str
    tag: str | None = None
    digest: str | None = None

    @property
    def place(self) -> str:
        """The repository alone, as a user writes it."""
        return f"docker://{self.host}/{self.repository}"

    @property
    def reference(self) -> str | None:
        """The digest where there is one, which says more than a tag; else the tag."""
        return self.digest or self.tag


@dataclass(frozen=True)
class LayoutReference:
    """A folder in OCI layout or an archive of one, and perhaps a tag in it."""

    path: Path
    is_archive: bool
    tag: str | None = None

    @property
    def place(self) -> str:
        """The folder or the archive alone, as a user writes it."""
        return f"{'oci-archive' if self.is_archive else 'oci'}:{self.path}"


Reference = RegistryReference | LayoutReference


def is_digest(text: str) -> bool:
    """Whether it is a whole SHA-256 digest, the only kind that is used here."""
    return _DIGEST.fullmatch(text) is not None


def parse_place(named: str) -> Reference:
    """Parse what a user names a place, with or without a tag or a digest.

    Raises:
        PlaceError: it is in none of the forms; says which is near.
    """
    scheme, colon, rest = named.partition(":")
    if colon and scheme == "docker":
        return _registry(named, rest)
    if colon and scheme in ("oci", "oci-archive"):
        return _layout(named, scheme, rest)
    if colon and scheme in ("http", "https") and rest.startswith("//"):
        _refuse(_public(named), "a registry is named without http", f"docker:{_public(rest)}")
    if not colon and named.startswith(("/", "./", "../", "~")):
        _refuse(named, "it does not say what it is", f"oci:{named}")
    first = named.partition("/")[0]
    if "/" in named and "@" not in first and _HOST.fullmatch(first):
        _refuse(named, "it does not say what it is", f"docker://{named}")
    return _refuse(_public(named), "it does not say what it is", _FORMS)


def _registry(named: str, rest: str) -> RegistryReference:
    if not rest.startswith("//"):
        _refuse(_public(named), "two slashes are missing", f"docker://{_public(rest.lstrip('/'))}")
    rest = rest[2:]
    first = rest.partition("/")[0]
    if "@" in first and "/" in rest:
        host = first.rpartition("@")[2]
        raise PlaceError(
            f"docker://…@{host}/… holds a user or a password, which would end in logs",
            f"`docker login {host}`, and docker://{rest.partition('@')[2]}",
        )
    name, at, digest = rest.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        _refuse(_public(named), f"{digest!r} is no digest", "@sha256: and 64 digits of 0-9 and a-f")
    name, tag = _split_tag(named, name)
    host, repository = _split_host(named, name)
    return RegistryReference(host, repository, tag, digest or None)


def _split_tag(named: str, name: str) -> tuple[str, str | None]:
    folders, slash, last = name.rpartition("/")
    last, colon, tag = last.partition(":")
    if not slash and colon and tag.isdecimal():
        # A lone host and its port look like a name and its tag.
        _refuse(named, "it names no repository", f"docker://{name}/REPOSITORY")
    if colon and not is_tag(tag):
        _refuse(
            named,
            f"{tag!r} is no tag",
            "letters, digits, _ . and -, at most 128, and no . or - in front",
        )
    return f"{folders}{slash}{last}", tag or None


def _split_host(named: str, name: str) -> tuple[str, str]:
    """Tell host and repository apart as Docker does: a host has a dot, a port or is localhost."""
    first, slash, rest = name.partition("/")
    is_host = any(sign in first for sign in ".:[") or first.lower() == "localhost"
    host, repository = (first, rest) if is_host else (_DOCKER_HUB, name)
    match = _HOST.fullmatch(host)
    if not match or (match[1] and not 0 < int(match[1]) < 1 << 16):
        _refuse(named, f"{host!r} is no host", _DOCKER)
    if not repository or (is_host and not slash):
        _refuse(
            named, "it names no repository", f"docker://{host if is_host else 'HOST'}/REPOSITORY"
        )
    if host in (_DOCKER_HUB, f"index.{_DOCKER_HUB}"):
        host = _DOCKER_HUB
        repository = repository if "/" in repository else f"library/{repository}"
    _check_repository(named, host, repository)
    return host.lower(), repository


def _check_repository(named: str, host: str, repository: str) -> None:
    if repository != repository.lower():
        _refuse(
            named, "a repository has no capital letters", f"docker://{host}/{repository.lower()}"
        )
    if not _REPOSITORY.fullmatch(repository):
        _refuse(
            named,
            f"{repository!r} is no repository",
            "lower-case letters, digits, and between them . _ __ or -, in parts between slashes",
        )
    if len(host) + 1 + len(repository) > _LONGEST:
        _refuse(named[:80] + "…", f"its name has over {_LONGEST} characters", "a shorter one")


def _layout(named: str, scheme: str, rest: str) -> LayoutReference:
    form = f"{scheme}:{'FILE' if scheme == 'oci-archive' else 'FOLDER'}[:TAG]"
    if rest.startswith("//"):
        _refuse(
            _public(named), "it is an address, not a path", f"{form}, or docker:{_public(rest)}"
        )
    path, colon, tag = rest.partition(":")
    if not path:
        _refuse(named, "it names no path", form)
    if colon and not is_tag(tag):
        _refuse(named, f"{tag!r} is no tag", f"{form}, and a path without a colon")
    return LayoutReference(Path(path).expanduser(), scheme == "oci-archive", tag or None)


def _public(named: str) -> str:
    """What may be shown of what somebody typed: nothing in front of an @ in a host."""
    start, slashes, rest = named.rpartition("//") if "//" in named else ("", "", named)
    first, slash, path = rest.partition("/")
    if "@" in first and not _DIGEST.fullmatch(first.partition("@")[2]):
        first = f"…@{first.rpartition('@')[2]}"
    return f"{start}{slashes}{first}{slash}{path}"


def _refuse(named: str, problem: str, form: str) -> NoReturn:
    raise PlaceError(f"{named!r} is not the name of a place: {problem}", form)
