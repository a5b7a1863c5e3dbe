"""What is recorded of a training while it runs, and of what was made of it."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mmdet_jetson.contract.job import EVENT_FILES, Progress
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning import stages
from mmdet_jetson.planning.keys import Ingredients
from mmdet_jetson.planning.steps import Step, name_of
from mmdet_jetson.store import Artifact, Store
from mmdet_jetson.tracking.event_files import EventFiles, place
from mmdet_jetson.tracking.server import PATIENCE, Server


class Trainings:
    """Records the trainings of a command that makes artifacts called ``name``.

    ``say`` prints a line; what goes wrong is said once, for no training ends because of it.
    """

    def __init__(self, store: Store, name: str, say: Callable[[str], None]) -> None:
        self._store, self._name, self._say = store, name, say
        self._said = set[str]()
        self._patience = PATIENCE

    @contextmanager
    def recording(self, step: Step, now: Ingredients) -> Iterator[Callable[[Progress], None]]:
        """Give whom the progress of a step is told, and mark how it ended."""
        if step.stage is not stages.TRAINING:
            yield lambda _: None
            return
        files = EventFiles(self._store, self._name, now.key)
        self._say(f"{step.name:<28} its curves: tensorboard --logdir {self._shown()}")
        server = Server(self._name, now.key, self._warn)
        server.begin(now)

        def hear(progress: Progress) -> None:
            recorded = progress.recorded
            if recorded:
                self._try(lambda: files.heard(recorded))
                server.heard(recorded)

        try:
            yield hear
        except BaseException as error:
            self._close(server, "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
            raise
        self._try(files.ended)
        self._close(server, "FINISHED")

    def made(self, artifacts: Mapping[str, Artifact]) -> None:
        """Record at the end of a command what there is of a training, by step."""
        checkpoint = artifacts.get(name_of(stages.TRAINING))
        if checkpoint is None or checkpoint.provenance.stage != stages.TRAINING.module:
            return
        if self._store.find(checkpoint.digest):
            self._try(lambda: place(self._store, self._name, checkpoint))
        server = Server(self._name, checkpoint.provenance.key, self._warn)
        server.made(checkpoint.provenance, artifacts)
        self._close(server, "FINISHED")

    def _close(self, server: Server, status: str) -> None:
        began = time.monotonic()
        server.close(status, self._patience)
        self._patience = max(self._patience - (time.monotonic() - began), 0.0)

    def _shown(self) -> str:
        folder, here = self._store.root / EVENT_FILES, Path.cwd()
        return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)

    def _try(self, action: Callable[[], object]) -> None:
        try:
            action()
        except (OSError, ValueError, UserError) as error:
            self._warn(f"TensorBoard's files are not all there ({error})")

    def _warn(self, sentence: str) -> None:
        """Warn of a thing once, however often it goes wrong; a bracket in the sentence says how."""
        thing = sentence.partition(" (")[0]
        if thing not in self._said:
            self._said.add(thing)
            self._say(f"  warning: {sentence}")
