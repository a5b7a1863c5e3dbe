"""Which place a user means, and opening it."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from mmdet_jetson.config.settings import Settings
from mmdet_jetson.errors import UserError
from mmdet_jetson.files import refuse_inside
from mmdet_jetson.registry.archive import read_archive, write_archive
from mmdet_jetson.registry.folder import open_folder
from mmdet_jetson.registry.place import Place
from mmdet_jetson.registry.reference import Reference, RegistryReference, parse_place

FORMS = "docker://HOST/REPOSITORY, oci:FOLDER or oci-archive:FILE"


@dataclass(frozen=True)
class Options:
    """How a registry is reached: a file with a CA's certificates, and whether HTTP will do."""

    ca: str = ""
    plain_http: bool = False


@dataclass(frozen=True)
class Where:
    """A place as it was named."""

    reference: Reference

    @property
    def name(self) -> str:
        """What of it was named: a tag or a digest, "" for all that is there."""
        named = self.reference
        found = named.reference if isinstance(named, RegistryReference) else named.tag
        return found or ""

    @property
    def is_registry(self) -> bool:
        """Whether it is reached over a network."""
        return isinstance(self.reference, RegistryReference)

    def __str__(self) -> str:
        return self.reference.place


def is_place(named: str) -> bool:
    """Whether this names a place, and no artifact."""
    return named.startswith(("docker:", "oci:", "oci-archive:"))


def parse(named: str) -> Where:
    """Take the name of a place apart.

    Raises:
        PlaceError: it is none.
    """
    return Where(parse_place(named))


def open_place(
    where: Where, settings: Settings, *, writing: bool, options: Options | None = None
) -> AbstractContextManager[Place]:
    """Open a place to read or to write; an archive that is written is there at the end.

    Nothing is asked of a registry yet.

    Raises:
        UserError: there is none to read, it cannot be written, it is this machine's store, or no
            connection may be opened.
    """
    if isinstance(where.reference, RegistryReference):
        return nullcontext(_registry(where.reference, settings, options or Options()))
    path = where.reference.path.absolute()
    if writing:
        refuse_inside(settings.artifacts, path, str(where), "name one elsewhere")
    if where.reference.is_archive:
        return (write_archive if writing else read_archive)(str(where), path)
    return open_folder(str(where), path, writing=writing)


def _registry(reference: RegistryReference, settings: Settings, options: Options) -> Place:
    from mmdet_jetson.registry.repository import Repository  # noqa: PLC0415 - imports urllib3
    from mmdet_jetson.registry.session import Access  # noqa: PLC0415

    if settings.offline:
        raise UserError(
            f"{reference.place} is not reached: MMDET_JETSON_OFFLINE is 1",
            "unset it, or name a folder or an archive",
        )
    given = Path(options.ca).expanduser() if options.ca else None
    authorities = tuple(each for each in (given, settings.certificates) if each)
    # Who reads notes can write to uploads, so they are not in the store, which others may get.
    notes = settings.cache / "uploads"
    return Repository(reference, Access(authorities, options.plain_http), notes)
