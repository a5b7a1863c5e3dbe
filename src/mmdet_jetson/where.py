"""Where stages run, as the menu is told: on this machine, in containers, or some here, some there.

The SDK of Docker takes half a second to import, so only runs that need it do.
"""

import functools
import inspect
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mmdet_jetson.config import Project, Target, nearest
from mmdet_jetson.containers.box import MACHINES
from mmdet_jetson.containers.spec import load_images
from mmdet_jetson.errors import UserError
from mmdet_jetson.runtimes.contract import Progress, StageResult
from mmdet_jetson.runtimes.host import HostRuntime
from mmdet_jetson.settings import Settings
from mmdet_jetson.stage import Runtime
from mmdet_jetson.steps import Step
from mmdet_jetson.store import Store

if TYPE_CHECKING:
    from mmdet_jetson.containers.engine import Engine
    from mmdet_jetson.containers.volumes import Shelf

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

    ``engine`` is an address or the name of a Docker context. With ``only_deploy`` it is where the
    environment ``deploy`` lives, and ``runtime`` is for the other steps, here.
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
            here = replace(self, engine="", only_deploy=False)
            there = replace(self, runtime="docker", only_deploy=False)
            return ByEnvironment(
                {
                    "train": here.choose(settings, store, say),
                    "deploy": there.choose(settings, store, say),
                }
            )
        if self.runtime not in RUNTIMES:
            raise UserError(f"--runtime {self.runtime}", nearest(self.runtime, RUNTIMES))
        if self.runtime == "docker":
            return _in_containers(self, settings, store, say)
        if self.engine:
            raise UserError("--engine says where containers run", "add --runtime docker")
        return HostRuntime(settings, say)

    def check_targets(self, project: Project, settings: Settings) -> None:
        """Refuse to build here for a target that is another kind of machine.

        Raises:
            UserError: the runtime is the host, and a target's image is not for its architecture.
        """
        if self.runtime != "host" or self.only_deploy:
            return
        images = load_images(settings.root / "configs/images.toml")
        here = MACHINES.get(platform.machine(), platform.machine())
        for name, target in project.used_targets.items():
            there = images.image(target.image).platform if target.image else f"linux/{here}"
            if there != f"linux/{here}":
                raise UserError(
                    f"target {name!r} is built for {there}, and this machine is linux/{here}",
                    "add --runtime docker, which emulates it, or use invoke build-jetson-engine",
                )

    def check_fit(self, settings: Settings, name: str, target: Target) -> None:
        """Refuse an engine whose machine does not fit a target on a Jetson.

        Raises:
            UserError: says what does not fit.
        """
        from mmdet_jetson.containers.fit import check_fit  # noqa: PLC0415

        check_fit(connect(self.engine, settings), name, target)


@dataclass(frozen=True)
class ByEnvironment:
    """Sends each step to the runtime of its environment."""

    runtimes: Mapping[str, Runtime]

    def identity(self, step: Step) -> str:
        """As the step's own runtime has it."""
        return self.runtimes[step.environment].identity(step)

    def evidence(self, step: Step) -> str:
        """As the step's own runtime has it."""
        return self.runtimes[step.environment].evidence(step)

    def device(self, step: Step) -> str:
        """As the step's own runtime has it."""
        return self.runtimes[step.environment].device(step)

    def prepare(self, step: Step) -> object:
        """As the step's own runtime does it."""
        return self.runtimes[step.environment].prepare(step)

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
        runtime = self.runtimes[step.environment]
        return runtime.run(step, job, inputs, on_progress, keep_open=keep_open)


def connect(engine: str, settings: Settings) -> "Engine":
    """Connect to the engine of that name, or else to the one that the settings name."""
    from mmdet_jetson.containers.engine import Engine  # noqa: PLC0415

    return Engine(engine or settings.engine, settings.engine_certificates)


def shelf_of(engine: str, settings: Settings, store: Store, say: Say) -> "Shelf":
    """What this store has on an engine, swept of what runs that were killed left there."""
    from mmdet_jetson.containers.volumes import Shelf  # noqa: PLC0415

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
