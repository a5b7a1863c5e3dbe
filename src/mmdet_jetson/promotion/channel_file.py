"""Channel files: ``channels/NAME.toml``, which git keeps and promotions append to.

Reading one says in a sentence what is wrong with it; what is wrong with the chain of its records is
`chain`'s to say.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from mmdet_jetson.config.settings import Settings
from mmdet_jetson.config.toml import convert
from mmdet_jetson.contract.files import refuse_special, write_whole
from mmdet_jetson.errors import ConfigError, UserError
from mmdet_jetson.files import disk_errors, make_folder
from mmdet_jetson.promotion import conflicts
from mmdet_jetson.promotion.chain import chain_flaws
from mmdet_jetson.promotion.channel_text import header_of, tables_in, text_of
from mmdet_jetson.promotion.records import Record
from mmdet_jetson.store.disk import sync_folder

__all__ = [
    "append",
    "chain_flaws",
    "channel_folder",
    "channel_names",
    "channel_path",
    "is_channel_name",
    "numbered",
    "parse",
    "read_channel",
]
_NAME = re.compile(r"(?!.*-[0-9]+$)[A-Za-z0-9_][A-Za-z0-9_-]{0,47}")


def channel_folder(settings: Settings) -> Path:
    """The folder of the channel files."""
    return settings.channels or settings.root / "channels"


def channel_path(settings: Settings, name: str) -> Path:
    """The file of a channel, be it there or not.

    Raises:
        UserError: no channel can be called so: its name is a part of tags.
    """
    if not is_channel_name(name):
        raise UserError(
            f"{name!r} is no name for a channel",
            "up to 48 letters, digits, '_' and '-', not with a number behind the last '-', which a "
            "record's tag has there: channel-NAME-17",
        )
    return channel_folder(settings) / f"{name}.toml"


def is_channel_name(name: str) -> bool:
    """Whether a channel can be called so."""
    return bool(_NAME.fullmatch(name))


def channel_names(settings: Settings) -> list[str]:
    """The channels that have a file, in alphabetical order."""
    folder = channel_folder(settings)
    with disk_errors(folder):
        names = [path.stem for path in folder.glob("*.toml")] if folder.is_dir() else []
    return sorted(name for name in names if is_channel_name(name))


def read_channel(path: Path) -> tuple[Record, ...]:
    """The records of a channel; none where there is no file.

    Raises:
        UserError: it cannot be read, or git left in it what two branches say.
    """
    try:
        if path.is_symlink():  # what it leads to may be changed without a review
            raise UserError(f"{path} is a link, not a channel's file", "git log -- channels")
        refuse_special(path)
        content = path.read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}", "check the file") from error
    return parse(content, str(path))


def parse(content: bytes, where: str, hint: str = "") -> tuple[Record, ...]:
    """The records in a channel file's content; ``where`` is what to call it.

    ``hint`` is what to try where that is no file: nobody is to mend one by hand.

    Raises:
        UserError: as `read_channel`.
    """
    hint = hint or f"git has it as it was: git checkout -- {where}"
    try:
        text = content.decode()
        if sides := conflicts.sides(text):
            raise conflicts.refusal(where, *(_records(side, where) for side in sides))
        return _records(text, where)
    except ConfigError as error:
        raise UserError(error.message, hint) from error
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(
            f"{where} is no channel file: line {line} is no text in UTF-8", hint
        ) from error
    except (TypeError, ValueError, RecursionError) as error:  # msgspec's errors are among them
        raise UserError(f"{where} is no channel file: {_first_line(error)}", hint) from error


def append(path: Path, record: Record) -> None:
    """Add a record at the end, all or nothing; what stands there stays byte by byte.

    The caller holds the channel's lock, so what a killed writer left beside it is removed.

    Raises:
        UserError: the disk is full or cannot be written; the file is as it was.
    """
    with disk_errors(path):
        make_folder(path.parent)
        for left in path.parent.glob(f".{path.name}.*.new"):
            left.unlink()
        before = path.read_bytes() if path.exists() else header_of(path.stem).encode()
        newline = b"" if before.endswith(b"\n") or not before else b"\n"
        write_whole(path, before + newline + text_of(record).encode())
        sync_folder(path.parent)


def _records(text: str, where: str) -> tuple[Record, ...]:
    tables, path = tables_in(text), Path(where)
    if not isinstance(tables, list):
        raise TypeError("its record is no list of tables")
    return tuple(
        convert(table, Record, path, f"record {place}")
        for place, table in enumerate(tables, start=1)
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def numbered(records: Sequence[Record], sequence: int) -> Record | None:
    """The record of a number; None where there is none."""
    return next((each for each in records if each.sequence == sequence), None)
