"""What a job tells whoever is attached, as it goes: lines of JSON in its submission's folder."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from mmdet_jetson.contract.job import Progress
from mmdet_jetson.contract.records import encode
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.running.context import Ending
from mmdet_jetson.slurm.records import Event
from mmdet_jetson.store import Artifact


class Events:
    """Tells whoever is attached how the step goes; a listener of `running`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.has_started = False

    def started(self, step: Step) -> None:
        """Tell that the stage begins."""
        self.has_started = True
        self._write(Event(what="started"))

    def waiting(self, step: Step) -> None:
        """Tell that another run of ours is making this very result."""
        self._write(Event(what="waiting"))

    def progress(self, step: Step, progress: Progress) -> None:
        """Tell how far it is; what is only recorded is recorded here."""
        if not progress.recorded:
            self._write(Event(what="progress", progress=encode(progress)))

    def finished(self, step: Step, artifact: Artifact, *, cached: bool) -> None:
        """The outcome tells it."""

    def in_registry(self, step: Step, artifact: Artifact) -> None:
        """A job asks no registry."""

    def left_out(self, step: Step, why: str) -> None:
        """The outcome tells it."""

    def held_up(self, step: Step, why: str) -> None:
        """Tell what it waits for."""
        self.say(f"{step.name:<28} {why}")

    def failed(self, step: Step, error: UserError) -> None:
        """The outcome tells it."""

    def ended(self, endings: Sequence[Ending]) -> None:
        """The outcome tells it."""

    def say(self, sentence: str, what: str = "say") -> None:
        """Tell something else, as a line; ``what`` is "time" where its time is up."""
        print(sentence, flush=True)
        self._write(Event(what=what, text=sentence))

    def _write(self, event: Event) -> None:
        with self._path.open("ab") as stream:
            stream.write(msgspec.json.encode(event) + b"\n")
