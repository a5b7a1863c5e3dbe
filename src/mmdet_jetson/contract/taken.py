"""Files that an artifact takes out of an input instead of holding a copy.

A dataset is its pictures, and copying 50 GB of them into a job's output only to have the store copy
them again takes hours. So the host side tells a stage the SHA-256 of each file of an input that is
a folder of the user's (``digests.json`` in the job's folder), and a stage tells which of them are a
part of what it makes (``taken.json``). The host side reads them from where they lie, and refuses
one that is not what was told.
"""

import json
import re
from pathlib import Path
from typing import Mapping, Tuple

from mmdet_jetson.contract.files import write_whole
from mmdet_jetson.contract.records import ContractError

# A part of a path that is nothing, "." or "..".
_ELSEWHERE = re.compile(r"(?:^|/)\.{0,2}(?:/|\Z)")

DIGESTS, TAKEN = "digests.json", "taken.json"

Digests = Mapping[str, Mapping[str, str]]
"""By an input's name: SHA-256 in hex by a file's path below it, with slashes."""
TakenFiles = Mapping[str, Tuple[str, str]]
"""By a file's path in the output: an input's name, and the file's path below that."""


def write_digests(folder: Path, digests: Digests) -> None:
    """Write what is known of the files of inputs into a job's folder."""
    write_whole(folder / DIGESTS, json.dumps(digests).encode())


def read_digests(folder: Path) -> Digests:
    """Read what is known of the files of inputs; nothing where nothing is told."""
    path = folder / DIGESTS
    digests: Digests = json.loads(path.read_bytes()) if path.exists() else {}
    return digests


def write_taken(folder: Path, taken: TakenFiles) -> None:
    """Write which files of inputs are a part of the output, into a job's folder."""
    write_whole(folder / TAKEN, json.dumps(taken).encode())


def read_taken(folder: Path) -> TakenFiles:
    """Read which files of inputs are a part of the output.

    Raises:
        ContractError: it does not say that, or a path leads out of its folder.
    """
    path = folder / TAKEN
    if not path.exists():
        return {}
    try:
        told = json.loads(path.read_bytes())
        taken = {place: (name, inside) for place, (name, inside) in told.items()}
        paths = [*taken, *(inside for _, inside in taken.values())]
        wrong = [each for each in paths if _ELSEWHERE.search(each)]
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ContractError(f"{TAKEN}: {error}") from error
    if wrong:
        raise ContractError(f"{TAKEN}: {wrong[0]!r} leads elsewhere")
    return taken
