"""The page of a dataset, drawn by another process while this one goes on.

Importing Matplotlib and drawing take half a second, in which a stage reads and writes files.
"""

from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Optional, Type

from mmdet_jetson.stages.annotations.glance_file import Glance
from mmdet_jetson.stages.annotations.splitting import SplitRecord
from mmdet_jetson.stages.annotations.summary import DatasetSummary
from mmdet_jetson.stages.reporting import dataset_page


class PageAside:
    """A page to come: first `begin`, later `text`. Behind the block the other process has ended."""

    def __enter__(self) -> "PageAside":
        fork = get_context("fork")
        self._connection, theirs = fork.Pipe()
        self._process = fork.Process(target=_draw, args=(self._connection, theirs), daemon=True)
        self._process.start()
        theirs.close()
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self._connection.close()
        self._process.join()

    def begin(self, summary: DatasetSummary, glance: Glance, split: Optional[SplitRecord]) -> None:
        """Have it drawn, as `dataset_page.render` does."""
        self._asked = summary, glance, split
        with suppress(OSError):  # `text` sees that nobody is there
            self._connection.send(self._asked)

    def text(self) -> str:
        """Wait for it.

        Where the other process has failed it is drawn by this one, whose errors are told as any.
        """
        try:
            text: str = self._connection.recv()
        except (EOFError, OSError):
            return dataset_page.render(*self._asked)
        return text


def _draw(ours: Connection, theirs: Connection) -> None:
    ours.close()  # so that there is an end to what is read once that process has gone
    with suppress(ImportError):  # not every environment has it
        import matplotlib.backends.backend_svg  # noqa: PLC0415
        import matplotlib.figure  # noqa: F401, PLC0415
    with suppress(EOFError, OSError):
        theirs.send(dataset_page.render(*theirs.recv()))
