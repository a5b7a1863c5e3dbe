"""What builds and runs engines: one module a backend, each with the functions of `Backend`.

To run an engine they need numpy and their own library only, so that they also run from the file
``infer.py`` of an engine, on a device that has nothing else. What only building needs is imported
by ``build``.
"""

from importlib import import_module
from pathlib import Path
from typing import Dict, Mapping, Optional, Protocol, cast

from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.stages.building.request import BuildRequest, Built
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.graph import Graph
from mmdet_jetson.stages.inference.network import Network
from mmdet_jetson.stages.inference.preprocessing import Preprocessing


class Backend(Protocol):
    """The functions that a backend's module has."""

    def build(self, request: BuildRequest) -> Built:
        """Build an engine and keep it in the request's folder."""

    def open_session(
        self, engine: Path, precision: str, graph: Graph, settings: Mapping[str, object]
    ) -> Network:
        """Load an engine of that precision, ready to run on one batch at a time.

        Its inputs and outputs are in the order of ``graph``, whatever the engine's is. ``settings``
        are those of its passport.
        """

    def taking_pictures(
        self, network: Network, preprocessing: Preprocessing, batch: int
    ) -> Optional[Network]:
        """Let a network that takes a tensor take one picture instead, uint8 [1, height, width, 3].

        None where the backend or this machine cannot.
        """

    def versions(self) -> Dict[str, str]:
        """Name the libraries that an engine's results depend on."""

    def can_run(self, request: BuildRequest) -> bool:
        """Whether this machine has what an engine runs on that is built for the request."""


def load_backend(name: str) -> Backend:
    """Give a backend of `contract.backends.BACKENDS`: the module here of that name.

    Its library exists only where it runs, so it is imported no earlier than here.

    Raises:
        StageError: there is no such backend, or its library is not installed here.
    """
    if name not in BACKENDS:
        raise StageError(
            f"there is no backend called {name!r}",
            f"set the target's backend to one of: {', '.join(BACKENDS)}",
        )
    try:
        return cast("Backend", import_module(f"{__name__}.{name}"))
    except ImportError as error:
        raise StageError(
            f"backend {name!r} needs the library {error.name}, which is not installed here",
            "install it in this Python, or run this on the engine's device; `invoke doctor` tells "
            "what a machine can do",
        ) from error
