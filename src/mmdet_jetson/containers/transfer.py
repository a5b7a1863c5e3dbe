"""What comes out of a container, on its way into a folder of this machine."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from mmdet_jetson.fetching.archive import unpack
from mmdet_jetson.files import remove


def receive(chunks: Iterable[bytes], into: Path) -> None:
    """Put what a Docker host has packed, one file or folder, at ``into``; all of it or nothing.

    Every member is checked before anything is written, as in an archive from elsewhere: what comes
    out of a container can be trusted no more than what ran in it. Names are as they are: a stage
    that runs on this machine may choose the same.

    Raises:
        UserError: it holds a link, a special file or a path that leads outside.
    """
    arriving = into.with_name(f".{into.name}.arriving")
    remove(arriving)
    arriving.mkdir(parents=True)
    try:
        with (arriving / "packed.tar").open("wb") as stream:
            for chunk in chunks:
                stream.write(chunk)
        unpack(arriving / "packed.tar", arriving / "unpacked", portable=False)
        (content,) = (arriving / "unpacked").iterdir()
        remove(into)
        content.rename(into)
    finally:
        shutil.rmtree(arriving)
