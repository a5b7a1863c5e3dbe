"""Who times something on a device: one at a time, alone there, from whatever machine it is reached.

The lock is in the device's Docker host: a container of a fixed name, of which there can be one. It
does nothing, and lives as long as its input is open and somebody writes to it now and then. So it
is released when its client ends, however that is, and within `SILENCE` where that client's machine
or its network is gone.

Stages of other clients wait with their start while somebody has it, and whoever has just got it
waits for those that run. So nobody has to lock the device for what is not timed.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, fields, replace

from mmdet_jetson import stopping
from mmdet_jetson.containers.docker_host import DockerHost
from mmdet_jetson.containers.objects import (
    LABEL,
    ConnectionLost,
    ContainerSpec,
    ContainerSummary,
    DockerHostError,
    NotThere,
)
from mmdet_jetson.containers.workspace import KIND, STAGE
from mmdet_jetson.environments.timing import Holder

NAME = "mmdet-jetson-timing"
BEAT, SILENCE = 10, 60  # seconds between two signs of life, and without any
POLL = 1.0  # seconds between two looks of who waits
STARTING = 1.0  # seconds from a look whether there is a lock to the start of a stage
GOING = 3  # looks in which a container may be neither there nor gone
BEGINNING = 30.0  # seconds within which whoever created the container has started it
LIVES = (
    "import os, select\n"
    f"while select.select([0], [], [], {SILENCE})[0] and os.read(0, 4096):\n"
    "    pass"
)
RUNNING = ("running", "paused")


@contextmanager
def hold_device(
    host: DockerHost, image: str, us: Holder, on_wait: Callable[[str], None]
) -> Iterator[None]:
    """Hold the lock meanwhile, in a container of an image with Python; ``on_wait`` is told by whom.

    Raises:
        DockerHostError: the Docker host refuses, or the lock was lost meanwhile.
        ConnectionLost: it does not answer.
    """
    spec = ContainerSpec(image, ["python", "-c", LIVES], name=NAME)
    with ExitStack() as held:
        write = None
        while write is None:
            container = _create(host, spec, us, on_wait)
            held.callback(_remove, host, container)
            with suppress(NotThere):  # it took so long to start it that somebody removed it
                write = held.enter_context(host.feed(container))
        held.enter_context(_beating(write))
        _wait_for_stages(host, on_wait)
        yield
        found = _look(host, container)
        if found is None or found.state not in RUNNING:
            raise DockerHostError(
                f"{us.step}: the lock on the Docker host at {host.address} was lost meanwhile, so"
                " somebody else may have timed something there",
                "run again",
            )


def wait_while_timed(host: DockerHost, on_wait: Callable[[str], None]) -> None:
    """Wait until nobody times anything there; ``on_wait`` is told who does."""
    told = ""
    while found := find_holder(host):
        if told != (told := str(found)):
            on_wait(f"waiting: {told}")
        stopping.current().pause(POLL)


def _wait_for_stages(host: DockerHost, on_wait: Callable[[str], None]) -> None:
    """Let stages end that run there; one that saw no lock just now may only be starting."""
    stopping.current().pause(STARTING)
    is_told = False
    while any(each.state in RUNNING for each in host.containers({KIND: STAGE})):
        if not is_told:
            on_wait("waiting: another stage runs there, and what is timed is timed alone")
            is_told = True
        stopping.current().pause(POLL)


def find_holder(host: DockerHost) -> Holder | None:
    """Who times something on a Docker host's machine now, if anybody does."""
    found = _look(host)
    return _holder(found) if found and found.state in RUNNING else None


def _create(
    host: DockerHost, spec: ContainerSpec, us: Holder, on_wait: Callable[[str], None]
) -> str:
    """Create the container as soon as nobody else has it."""
    told, nobody, begins = "", 0, dict[str, float]()
    while True:
        told_of_us = asdict(us.from_now).items()
        labels = {f"{LABEL}.timing.{name}": value for name, value in told_of_us}
        try:
            return host.create(replace(spec, labels=labels))
        except DockerHostError:
            found = _look(host)
            nobody = nobody + 1 if found is None else 0
            if nobody > GOING:
                raise
        if found is None:
            stopping.current().pause(POLL)
            continue
        is_begun = found.state in RUNNING
        waited = time.monotonic() - begins.setdefault(found.id, time.monotonic())
        if not is_begun and (found.state != "created" or waited > BEGINNING):
            _remove(host, found.id)  # of a client that was killed
        elif is_begun and told != (told := str(_holder(found))):
            on_wait(f"waiting: {told}")
        stopping.current().pause(POLL)


def _look(host: DockerHost, container: str = NAME) -> ContainerSummary | None:
    """Look a container up; Podman refuses to tell of one that just goes."""
    try:
        return host.find_container(container)
    except ConnectionLost:
        raise
    except DockerHostError:
        return None


def _remove(host: DockerHost, container: str) -> None:
    """Remove it, unless it goes by itself, or out of reach."""
    with suppress(DockerHostError):
        host.remove(container)


def _holder(found: ContainerSummary) -> Holder:
    told = {
        each.name: found.labels.get(f"{LABEL}.timing.{each.name}", "") for each in fields(Holder)
    }
    return Holder(**told)


@contextmanager
def _beating(write: Callable[[bytes], None]) -> Iterator[None]:
    """Give signs of life meanwhile."""
    ended = threading.Event()

    def beat() -> None:
        with suppress(OSError):  # it is looked at in the end whether they arrived
            while not ended.wait(BEAT):
                write(b".")

    thread = threading.Thread(target=beat, name="signs of life", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(BEAT)
