"""Where stages run, as the menu is told: on this machine, in containers, or some here, some there.

The SDK of Docker takes half a second to import, so only runs that need it do.
"""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mmdet_jetson.config.settings import Settings
from mmdet_jetson.config.toml import nearest
from mmdet_jetson.environments.this_machine import Machine
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.running.run_step import Runtime
from mmdet_jetson.runtimes.host import HostRuntime
from mmdet_jetson.runtimes.outcome import Progress, StageResult
from mmdet_jetson.store import Store

if TYPE_CHECKING:
    from mmdet_jetson.containers.docker_host import Engine
    from mmdet_jetson.containers.workspace import Shelf

RUNTIMES = ("host", "docker")
WHERE_HELP = {
    "runtime": "host or docker: where stages run (default: host)",
    "engine": "of docker: ssh://user@host, tcp://host:port or a context (default: the one in use)",
    "untested": "take images that have not passed their own tests",
}
Say = Callable[[str], None]
F = TypeVar("F", bound=Callable[..., Any])


def placed(verb: F) -> F:
    """Give an entry of the menu the words of `Where`, and hand them to it as ``where``."""
    words = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
        for name, default in (("runtime", "host"), ("engine", ""), ("untested", False))
    ]
    signature = inspect.signature(verb)
    others = [each for each in signature.parameters.values() if each.name != "where"]

    @functools.wraps(verb)
    def run(*arguments: Any, runtime: str, engine: str, untested: bool, **options: Any) -> Any:
        return verb(*arguments, where=Where(runtime, engine, untested), **options)

    run.__signature__ = signature.replace(parameters=[*others, *words])  # type: ignore[attr-defined]
    return run  # type: ignore[return-value]


@dataclass(frozen=True)
class Where:
    """The menu's words for it: ``--runtime``, ``--engine``, ``--untested``.

    ``engine`` is an address or the name of a Docker context. With ``only_deploy`` it is where
    engines are built and measured, and ``runtime`` is for the steps before, here.
    """

    runtime: str = "host"
    engine: str = ""
    untested: bool = False
    only_deploy: bool = False

    def choose(self, settings: Settings, store: Store, say: Say) -> Runtime:
        """Make the runtime; an engine is asked whether it is there, and swept of what we left.

        Raises:
            UserError: the words make no sense together, or no engine answers.
        """
        if self.only_deploy:
            here = replace(
                self,
                engine="",
                untested=self.untested and self.runtime == "docker",
                only_deploy=False,
            )
            there = replace(self, runtime="docker", only_deploy=False)
            return Divided(here.choose(settings, store, say), there.choose(settings, store, say))
        self.check_runtime()
        if self.runtime == "docker":
            return _in_containers(self, settings, store, say)
        if self.engine:
            raise UserError("--engine says where containers run", "add --runtime docker")
        if self.untested:
            raise UserError("--untested is about containers' images", "add --runtime docker")
        return HostRuntime(settings, say)

    def check_runtime(self) -> None:
        """Refuse a runtime that does not exist."""
        if self.runtime not in RUNTIMES:
            raise UserError(f"--runtime {self.runtime}", nearest(self.runtime, RUNTIMES))


@dataclass(frozen=True)
class Divided:
    """Runs what needs environment `train` on one runtime, and what a device does on another."""

    training: Runtime
    device_side: Runtime

    @property
    def machine(self) -> Machine:
        """The one that engines are built and measured on."""
        return self.device_side.machine

    def _of(self, step: Step) -> Runtime:
        return self.training if step.environment == "train" else self.device_side

    def identity(self, step: Step) -> str:
        """As the step's own runtime has it."""
        return self._of(step).identity(step)

    def evidence(self, step: Step) -> str:
        """As the step's own runtime has it."""
        return self._of(step).evidence(step)

    def device(self, step: Step) -> str:
        """As the step's own runtime has it."""
        return self._of(step).device(step)

    def check(self, steps: Sequence[Step]) -> None:
        """Let each runtime look at its own steps."""
        for runtime in (self.training, self.device_side):
            runtime.check([step for step in steps if self._of(step) is runtime])

    def prepare(self, step: Step) -> object:
        """As the step's own runtime does it."""
        return self._of(step).prepare(step)

    def run(
        self,
        step: Step,
        job: Path,
        inputs: Mapping[str, str],
        on_progress: Callable[[Progress], None],
        *,
        keep_open: Sequence[int] = (),
    ) -> StageResult:
        """As the step's own runtime does it."""
        return self._of(step).run(step, job, inputs, on_progress, keep_open=keep_open)


def connect(engine: str, settings: Settings) -> "Engine":
    """Connect to the engine of that name, or else to the one that the settings name."""
    from mmdet_jetson.containers.docker_host import Engine  # noqa: PLC0415

    return Engine(engine or settings.engine, settings.engine_certificates)


def shelf_of(engine: str, settings: Settings, store: Store, say: Say) -> "Shelf":
    """What this store has on an engine, swept of what runs that were killed left there."""
    from mmdet_jetson.containers.workspace import Shelf  # noqa: PLC0415

    shelf = Shelf(connect(engine, settings), store.root, say)
    shelf.sweep()
    return shelf


def _in_containers(where: Where, settings: Settings, store: Store, say: Say) -> Runtime:
    from mmdet_jetson.containers import image_tests, images  # noqa: PLC0415
    from mmdet_jetson.runtimes.docker import DockerRuntime  # noqa: PLC0415

    shelf = shelf_of(where.engine, settings, store, say)
    return DockerRuntime(
        shelf,
        find=lambda name: images.find(shelf.engine, name, settings),
        is_proven=lambda image: image_tests.proof(store, image) is not None,
        untested=where.untested,
    )
