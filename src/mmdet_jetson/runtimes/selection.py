"""Where stages run, as options say: which runtime has which environment.

Each runtime is a module of this folder with a function ``open_runtime``. It is imported when it is
asked for: the SDK of Docker takes half a second, which a run with nothing to do does not have.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module

from mmdet_jetson.config.settings import Settings
from mmdet_jetson.config.toml import nearest
from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning.stages import TRAIN
from mmdet_jetson.runtimes.protocol import Runtime, Runtimes
from mmdet_jetson.store import Store

RUNTIMES = ("host", "docker", "slurm")
DEVICE_ENVIRONMENTS = tuple(sorted({backend.environment for backend in BACKENDS.values()}))
Say = Callable[[str], None]


@dataclass(frozen=True)
class RuntimeOptions:
    """The options ``--runtime``, ``--docker-host`` and ``--untested``.

    ``docker_host`` is an address or the name of a Docker context; ``name`` and ``jobs`` are what a
    configuration says of it.
    """

    runtime: str = "host"
    docker_host: str = ""
    untested: bool = False
    name: str = ""
    jobs: int | None = None

    @property
    def uses_docker(self) -> bool:
        """Whether they ask for a Docker host; without an address, the one in use."""
        return self.runtime == "docker" or bool(self.docker_host)

    @property
    def here(self) -> "RuntimeOptions":
        """The options for what does not go to a device's Docker host."""
        untested = self.untested and self.runtime == "docker"
        return replace(self, docker_host="", untested=untested)

    def check(self) -> None:
        """Refuse a runtime that does not exist."""
        if self.runtime not in RUNTIMES:
            raise UserError(
                f"there is no runtime {self.runtime!r}", nearest(self.runtime, RUNTIMES)
            )


def open_runtimes(options: RuntimeOptions, settings: Settings, store: Store, say: Say) -> Runtimes:
    """Open one runtime for all environments.

    Raises:
        UserError: the options make no sense together, or no Docker host answers.
    """
    runtime = open_runtime(options, settings, store, say)
    return Runtimes(dict.fromkeys((TRAIN, *DEVICE_ENVIRONMENTS), runtime))


def open_for_device(
    options: RuntimeOptions, settings: Settings, store: Store, say: Say
) -> Runtimes:
    """Open the runtimes of a build for one device.

    With ``--docker-host`` that device's Docker host builds and measures engines, and ``--runtime``
    is for the steps before, here.

    Raises:
        UserError: as `open_runtimes`.
    """
    if not options.docker_host:
        return open_runtimes(options, settings, store, say)
    here = open_runtime(options.here, settings, store, say)
    there = open_runtime(replace(options, runtime="docker"), settings, store, say)
    return Runtimes({TRAIN: here, **dict.fromkeys(DEVICE_ENVIRONMENTS, there)})


def open_runtime(options: RuntimeOptions, settings: Settings, store: Store, say: Say) -> Runtime:
    """Open the runtime that options name.

    Raises:
        UserError: there is none of that name, or it cannot be used.
    """
    options.check()
    module = import_module(f"mmdet_jetson.runtimes.{options.runtime}")
    runtime: Runtime = module.open_runtime(options, settings, store, say)
    return runtime
