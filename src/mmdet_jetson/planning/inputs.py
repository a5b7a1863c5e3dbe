"""Inputs from outside the pipeline: sources by name, and the user's own folders and files."""

import shutil
from collections.abc import Callable, Collection
from difflib import get_close_matches
from pathlib import Path

from mmdet_jetson.config.pipeline import Project
from mmdet_jetson.config.settings import Settings
from mmdet_jetson.config.sources import Sources, filename_of, is_archive
from mmdet_jetson.config.toml import nearest
from mmdet_jetson.contract.files import SpecialFile, refuse_special
from mmdet_jetson.errors import ConfigError, UserError
from mmdet_jetson.fetching.archive import unpack
from mmdet_jetson.fetching.digests import file_digest, sha256_file, tree_digest, tree_files
from mmdet_jetson.fetching.source_lock import recorded_digest
from mmdet_jetson.fetching.sources import fetch
from mmdet_jetson.planning.steps import ExternalInput

DATASET = "dataset.source"
OnBytes = Callable[[str, int, int | None], None]


def sources_of(sources: Sources, *, archives: bool) -> list[str]:
    """The names that stand for archives, or for other files."""
    return [name for name, each in sources.sources.items() if is_archive(each.filename) == archives]


def meant_by(named: str, path: Path, known: Collection[str]) -> str:
    """Say what may have been meant by a name of nothing: a file beside it, or something known."""
    if "://" in named:
        name = Path(filename_of(named)).stem or "NAME"
        return f'give it a name in sources.toml: [sources.{name}] url = "{named}"'
    beside = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
    near = get_close_matches(path.name, beside, n=1)
    if near and ("/" in named or path.suffix):
        return f"did you mean {str(Path(named).parent / near[0])!r}?"
    return nearest(named, known)


class Inputs:
    """Turns what a config names into inputs of steps; fetches only when a step asks."""

    def __init__(self, project: Project, settings: Settings, on_bytes: OnBytes) -> None:
        self.project = project
        self.settings = settings
        self.on_bytes = on_bytes

    def dataset(self, named: str) -> ExternalInput:
        """Return a folder of pictures: the user's own, or an archive's."""
        path = self._own(named, DATASET)
        if path and path.is_dir():
            folder = path
            return ExternalInput(
                lambda: self._tree(folder),
                lambda _: folder,
                files=lambda digest: tree_files(folder, self._digests, digest),
            )
        return self._file(named, path, _unpack)

    def weights(self, named: str, field: str = "train.weights") -> ExternalInput:
        """Return a folder with one checkpoint file; ``field`` of the configuration names it."""
        path = self._own(named, field)
        if path and path.is_dir():
            raise ConfigError(
                f"{self.project.path}: {field}: {named!r} is a folder",
                "name the .pth file in it",
            )
        source = self.project.sources.sources.get(named)
        file = source.filename if source else Path(named).name
        if is_archive(file):
            raise ConfigError(
                f"{self.project.path}: {field}: {named!r} is an archive ({file}) and no checkpoint",
                "name a .pth file; one in an archive has to be unpacked first",
            )
        return self._file(named, path, _put)

    def plugin(self, named: str, field: str) -> ExternalInput:
        """Return a folder with the library of TensorRT plugins, which only its device has."""
        path = self.settings.root / Path(named).expanduser()

        def found() -> Path:
            if not path.is_file():
                raise ConfigError(
                    f"{field}: {path} is not a file",
                    'compile it on the device, or set graph = "fused", which needs none',
                )
            return path

        return ExternalInput(
            lambda: self._own_digest(found()), lambda into: _put(found(), into), path.is_file
        )

    def _file(
        self, named: str, path: Path | None, place: Callable[[Path, Path], Path]
    ) -> ExternalInput:
        return ExternalInput(
            lambda: self._digest(named, path),
            lambda into: place(path, into) if path else self._fetched(named, place, into),
            lambda: bool(path or self._known_digest(named)),
            fetch=lambda: path or self._fetch(named),
        )

    def _fetched(self, named: str, place: Callable[[Path, Path], Path], into: Path) -> Path:
        file = self._fetch(named)
        try:
            return place(file, into)
        except UserError as error:
            if self.project.sources.sources[named].sha256:
                raise
            again = (
                f"if that was never the right file, delete it and {named!r} in {self._lock_file}"
            )
            raise UserError(error.message, f"{error.hint}; {again}") from error

    def _own(self, named: str, field: str) -> Path | None:
        """Return the user's own path; None when the name is one of ``sources.toml``."""
        if named in self.project.sources.sources:
            return None
        path = self.settings.root / Path(named).expanduser()
        if path.exists():
            self._check(path, named, field)
            return path
        archives = field == DATASET
        raise ConfigError(
            f"{self.project.path}: {field}: {named!r} is neither a name in sources.toml nor a path"
            " that exists",
            meant_by(named, path, sources_of(self.project.sources, archives=archives)),
        )

    def _check(self, path: Path, named: str, field: str) -> None:
        """Refuse what cannot be read to an end while it is planned, as its digest comes later."""
        try:
            refuse_special(path)
        except SpecialFile as error:
            raise ConfigError(
                f"{self.project.path}: {field}: {named!r} cannot be read: {error.strerror}",
                "save what it gives as a file, and name that",
            ) from error

    def _digest(self, named: str, path: Path | None) -> str:
        """Return the SHA-256 of a file; one whose digest is known need not be here for that."""
        if path:
            return self._own_digest(path)
        return self._known_digest(named) or sha256_file(self._fetch(named))

    def _known_digest(self, named: str) -> str | None:
        source = self.project.sources.sources[named]
        return source.sha256 or recorded_digest(self._lock_file, named, source.url)

    @property
    def _lock_file(self) -> Path:
        return self.project.folder / "sources.lock"

    def _fetch(self, named: str) -> Path:
        return fetch(
            named,
            self.project.sources.sources[named],
            downloads=self.settings.cache / "downloads",
            mirrors=(*self.settings.mirrors, *self.project.sources.mirrors),
            lock_file=self._lock_file,
            offline=self.settings.offline,
            progress=lambda done, total: self.on_bytes(named, done, total),
        )

    def _own_digest(self, file: Path) -> str:
        return file_digest(file, self._digests)

    def _tree(self, folder: Path) -> str:
        return tree_digest(folder, self._digests)

    @property
    def _digests(self) -> Path:
        return self.settings.cache / "digests.sqlite"


def _unpack(archive: Path, into: Path) -> Path:
    unpack(archive, into)
    return into


def _put(file: Path, into: Path) -> Path:
    into.mkdir(parents=True)
    shutil.copyfile(file, into / file.name)
    return into
