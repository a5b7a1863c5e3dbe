"""Which place a user means, and opening it."""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from mmdet_jetson.config.settings import Settings
from mmdet_jetson.errors import ConfigError
from mmdet_jetson.files import refuse_inside
from mmdet_jetson.registry.archive import read_archive, write_archive
from mmdet_jetson.registry.folder import open_folder
from mmdet_jetson.registry.place import Place
from mmdet_jetson.registry.reference import RegistryReference, parse_place
from mmdet_jetson.registry.repository import Repository
from mmdet_jetson.registry.session import Access

REGISTRY, FOLDER, ARCHIVE = "docker://", "oci:", "oci-archive:"
FORMS = "docker://HOST/REPOSITORY, oci:FOLDER or oci-archive:FILE"
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")


@dataclass(frozen=True)
class Options:
    """How a registry is reached: a CA's certificates in a file, and whether HTTP will do."""

    ca: str = ""
    plain_http: bool = False


@dataclass(frozen=True)
class Where:
    """A place as it was named: its form, the folder, file or repository, and what of it."""

    form: str
    path: str
    name: str
    """A tag, or a digest; "" for all that is there."""

    def __str__(self) -> str:
        return f"{self.form}{self.path}"


def is_place(named: str) -> bool:
    """Whether this names a place, and no artifact."""
    return named.startswith((REGISTRY, FOLDER, ARCHIVE))


def parse(named: str) -> Where:
    """Take the name of a place apart.

    Raises:
        ConfigError: it is none.
    """
    form = next((each for each in (REGISTRY, FOLDER, ARCHIVE) if named.startswith(each)), "")
    rest = named.removeprefix(form)
    if not form:
        looks = "/" in named and "." in named.partition("/")[0]
        hint = f"docker://{named}" if looks else FORMS
        raise ConfigError(f"{named!r} is not a place", f"name it as {hint}")
    path, name = _repository(rest) if form == REGISTRY else _file(rest)
    if not path:
        raise ConfigError(f"{named!r} names no {_noun(form)}", f"name it as {FORMS}")
    if name and not (_TAG.fullmatch(name) or name.startswith("sha256:")):
        raise ConfigError(
            f"{name!r} in {named!r} is not a tag", f"a {_noun(form)} with a colon cannot be named"
        )
    return Where(form, path, name)


def _repository(rest: str) -> tuple[str, str]:
    """Split ``HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]``; a digest says more than a tag."""
    rest, _, digest = rest.partition("@")
    host, slash, repository = rest.partition("/")
    repository, _, tag = repository.partition(":")
    return f"{host}{slash}{repository}", digest or tag


def _file(rest: str) -> tuple[str, str]:
    path, _, tag = rest.partition(":")
    return path, tag


def _noun(form: str) -> str:
    return {REGISTRY: "repository", FOLDER: "folder", ARCHIVE: "file"}[form]


@contextmanager
def open_place(
    where: Where, settings: Settings, *, writing: bool, options: Options | None = None
) -> Iterator[Place]:
    """Open a place to read or to write; an archive that is written is there at the end.

    Raises:
        UserError: there is none to read, it cannot be written, or it is this machine's store.
        PlaceError: a registry cannot be reached.
    """
    with _opened(where, settings, options or Options(), writing=writing) as place:
        yield place


def _opened(
    where: Where, settings: Settings, options: Options, *, writing: bool
) -> AbstractContextManager[Place]:
    if where.form == REGISTRY:
        reference = parse_place(str(where))
        assert isinstance(reference, RegistryReference)
        access = Access((Path(options.ca),) if options.ca else (), options.plain_http)
        return nullcontext(Repository(reference, access, settings.artifacts / ".uploads"))
    path = Path(where.path).expanduser().absolute()
    if writing:
        refuse_inside(settings.artifacts, path, str(where), "name one elsewhere")
    if where.form == FOLDER:
        return open_folder(str(where), path, writing=writing)
    return (write_archive if writing else read_archive)(str(where), path)
