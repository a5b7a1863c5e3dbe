"""What the steps of a run share, and who is told of them."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

from mmdet_jetson.contract.job import Progress
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning.keys import Ingredients
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.registry.shared import SharedStore
from mmdet_jetson.runtimes.protocol import Runtimes
from mmdet_jetson.store import Artifact, Store


class Listener(Protocol):
    """Who is told how a step goes."""

    def started(self, step: Step) -> None: ...  # noqa: D102
    def waiting(self, step: Step) -> None: ...  # noqa: D102
    def progress(self, step: Step, progress: Progress) -> None: ...  # noqa: D102
    def finished(self, step: Step, artifact: Artifact, *, cached: bool) -> None: ...  # noqa: D102
    def in_registry(self, step: Step, artifact: Artifact) -> None: ...  # noqa: D102
    def left_out(self, step: Step, why: str) -> None: ...  # noqa: D102
    def held_up(self, step: Step, why: str) -> None: ...  # noqa: D102
    def failed(self, step: Step, error: UserError) -> None: ...  # noqa: D102
    def ended(self, endings: Sequence["Ending"]) -> None: ...  # noqa: D102


@dataclass(frozen=True)
class Ending:
    """How a step of a run ended, in a word, and why where that is not plain.

    The word is made, cached, in the registry, left out, failed, or not made.
    """

    step: Step
    word: str
    where: str = ""
    seconds: float = 0
    """That it was at work, in this run."""
    why: str = ""


class Turn(Protocol):
    """What a step minds of the others of its run: see `running.room`."""

    def rests(self) -> None: ...  # noqa: D102
    def goes_on(self) -> None: ...  # noqa: D102
    def at_work(self) -> AbstractContextManager[None]:
        """Have a place meanwhile; it may take a while to get it."""


class Alone:
    """There are no others."""

    def rests(self) -> None: ...  # noqa: D102
    def goes_on(self) -> None: ...  # noqa: D102

    def at_work(self) -> AbstractContextManager[None]:
        """Begin at once."""
        return nullcontext()


class Recorder(Protocol):
    """Who keeps what steps tell while they run."""

    def recording(  # noqa: D102
        self, step: Step, now: Ingredients
    ) -> AbstractContextManager[Callable[[Progress], None]]: ...


class NotRecorded:
    """Keeps nothing."""

    def recording(
        self, step: Step, now: Ingredients
    ) -> AbstractContextManager[Callable[[Progress], None]]:
        """Give whom everything is told in vain."""
        return nullcontext(lambda _: None)


Maker = Callable[["Step", "RunContext", Mapping[str, Artifact], str], Artifact]
"""Makes a step as `run_step` does, given the artifacts of those before it and its result's tag."""


@dataclass(frozen=True)
class RunContext:
    """What every step of a run shares: where it runs, where results go, who is told.

    Steps are run side by side, so ``listener`` and ``recorder`` are told from several threads.
    """

    runtimes: Runtimes
    store: Store
    listener: Listener
    again: frozenset[str] = frozenset()
    """Steps to run even if their result is known."""
    shared: SharedStore | None = None
    """A registry that is asked for what the store does not have."""
    pushes: bool = False
    """Whether results go to that registry, each as soon as it is there."""
    recorder: Recorder = field(default_factory=NotRecorded)
    makers: Mapping[str, Maker] = field(default_factory=dict)
    """Who makes a step, by its name, where that is not `run_step`: it is run by somebody else, who
    is followed, and so takes none of what this machine bears."""
    jobs: int | None = None
    """How many steps run at once, in all and at each place; by default one at each."""
    turn: Turn = field(default_factory=Alone)
    """The step's own, which tells when it may begin."""
    name: str = ""
    """The run's, for who waits for it elsewhere."""

    def bring(self, artifact: Artifact) -> None:
        """Have an artifact in the store that only the registry may have.

        Raises:
            Lost: the registry does not give it.
        """
        if self.shared:
            self.shared.fetch(artifact)

    def is_here(self, artifact: Artifact) -> bool:
        """Whether an artifact is in the store; one may only be known to be in the registry."""
        return self.shared is None or self.store.find(artifact.digest) is not None
