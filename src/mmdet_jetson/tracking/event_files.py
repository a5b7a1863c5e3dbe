"""TensorBoard's files of a training, where a person looks: ``tensorboard/`` of the store's folder.

Each training has a folder there, ``NAME-KEY`` with the beginning of its key. It ends in
`UNFINISHED` until the training has ended well, so one that was interrupted is seen to be, and goes
on in the same folder.
"""

import re
import shutil
from base64 import b64decode
from pathlib import Path

from mmdet_jetson.contract.job import EVENT_FILES, Recorded
from mmdet_jetson.store import Artifact, Store

UNFINISHED = ".unfinished"
# A name that leads nowhere else: it comes from a stage, which may have run anywhere.
NAME = re.compile(r"events\.out\.tfevents\.[\w.-]+")


class EventFiles:
    """The files of one training, as it writes them."""

    def __init__(self, store: Store, name: str, key: str) -> None:
        self.folder = folder_of(store, name, key)
        self.unfinished = self.folder.with_name(self.folder.name + UNFINISHED)

    def heard(self, recorded: Recorded) -> None:
        """Write what is new, or remove what is of no more use."""
        if recorded.begins:
            shutil.rmtree(self.unfinished, ignore_errors=True)
        if not NAME.fullmatch(recorded.file):
            return
        self.unfinished.mkdir(parents=True, exist_ok=True)
        path = self.unfinished / recorded.file
        with path.open("r+b" if path.exists() else "wb") as stream:
            stream.seek(recorded.offset)
            stream.write(b64decode(recorded.content))

    def ended(self) -> None:
        """Call the training finished."""
        if self.unfinished.exists():
            shutil.rmtree(self.folder, ignore_errors=True)
            self.unfinished.rename(self.folder)


def folder_of(store: Store, name: str, key: str) -> Path:
    """Where the files of a training lie once it has ended."""
    return store.root / EVENT_FILES / f"{name}-{key[:8]}"


def place(store: Store, name: str, checkpoint: Artifact) -> None:
    """Put the files of a training that ran elsewhere where those of one here lie."""
    folder = folder_of(store, name, checkpoint.provenance.key)
    if folder.exists() or EVENT_FILES not in checkpoint.titles:
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    whole = folder.with_name(f".{folder.name}")
    shutil.rmtree(whole, ignore_errors=True)
    store.checkout(checkpoint, whole, (EVENT_FILES,))
    (whole / EVENT_FILES).rename(folder)
    shutil.rmtree(whole)
