"""Steps of the tests' own for several targets, each on a Docker host, through the real scheduler.

As a program, it is one client: python several_hosts.py STORE FOLDER HOSTS SECONDS [JOBS], where HOSTS
is JSON: {"orin": {"address": ..., "certificates": ..., "targets": [...]}}.
"""

import json
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import trials
from rich.console import Console
from trial.copy import CopyParameters

from mmdet_jetson.cli.progress import Display
from mmdet_jetson.config.hosts import Host
from mmdet_jetson.containers.device_lock import hold_device
from mmdet_jetson.containers.docker_host import DockerHost
from mmdet_jetson.containers.workspace import Workspace
from mmdet_jetson.environments.timing import holder
from mmdet_jetson.planning import keys
from mmdet_jetson.planning.stages import DEPLOY, OF_TARGET, TRAIN
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.running.context import Ending, RunContext
from mmdet_jetson.running.run_steps import run_steps
from mmdet_jetson.runtimes.docker import DockerRuntime
from mmdet_jetson.runtimes.hosts import open_hosts
from mmdet_jetson.runtimes.protocol import OnWait, Place, Runtimes
from mmdet_jetson.runtimes.selection import RuntimeOptions
from mmdet_jetson.store import Artifact, Store

BUILD = replace(trials.COPY, verb="build", environment=OF_TARGET, runs_engines=True)
TIME = replace(BUILD, verb="time", measures_device=True, makes="profile")


@dataclass(frozen=True)
class Known:
    """A Docker host of a test: how it is reached, and what it builds."""

    address: str
    certificates: str
    targets: Sequence[str]


class Apart(DockerRuntime):
    """A Docker host that passes for a machine of its own, though its socket is on this one."""

    @property
    def place(self) -> Place:
        return replace(super().place, machine=super().place.name)

    @contextmanager
    def alone(self, step: Step, run: str, on_wait: OnWait) -> Iterator[None]:
        us = holder(step.name, run)
        with hold_device(self.host, self._image(step).id, us, on_wait):
            yield


class Heard(Display):
    """Shows what any display does, and keeps how the steps ended."""

    def __init__(self) -> None:
        super().__init__(Console(file=sys.stdout, width=150))
        self.endings: dict[str, Ending] = {}

    def ended(self, endings: Sequence[Ending]) -> None:
        super().ended(endings)
        self.endings = {each.step.name: each for each in endings}


def steps_of(folder: Path, targets: Sequence[str], seconds: float) -> list[Step]:
    """For each target an engine that takes so long to build, and then to time."""
    steps: list[Step] = []
    for number, target in enumerate(targets):
        build = Step(
            stage=BUILD,
            subject=target,
            parameters=CopyParameters(10, seconds / 10, number),
            inputs={"data": trials.folder_input(folder)},
            environment=DEPLOY,
        )
        time = Step(
            stage=TIME,
            subject=target,
            parameters=CopyParameters(5, seconds / 10, number),
            inputs={"engine": build.output()},
            environment=DEPLOY,
            judges=build.name,
        )
        steps += [build, time]
    return steps


def context_of(
    store: Store,
    hosts: Mapping[str, Known],
    listener: Display,
    jobs: int | None = None,
    kind: type[DockerRuntime] = DockerRuntime,
) -> RunContext:
    """What runs them, each target on the hosts that can; the trial image is there."""

    def open_with(options: RuntimeOptions) -> DockerRuntime:
        known = hosts[options.name]
        host = DockerHost(known.address, Path(known.certificates) if known.certificates else None)
        workspace = Workspace(host, store.root, listener.say)
        workspace.sweep()
        return kind(
            workspace,
            lambda _: host.find_image(trials.TAG),
            lambda _: True,
            name=options.name,
            jobs=options.jobs,
        )

    first, known = next(iter(hosts.items()))
    told = {
        name: Host(address=each.address, targets=tuple(each.targets))
        for name, each in hosts.items()
    }
    here = open_with(RuntimeOptions(docker_host=known.address, name=first))
    targets = sorted({target for each in hosts.values() for target in each.targets})
    runtimes = open_hosts(
        Runtimes({TRAIN: here, DEPLOY: here}), told, targets, RuntimeOptions(), open_with,
        say=listener.say,
    )  # fmt: skip
    return RunContext(runtimes, store, listener, jobs=jobs)


def run(steps: Sequence[Step], context: RunContext) -> dict[str, Artifact]:
    """Run steps of the trial stages, whose sources are not among the package's."""
    with mock.patch.object(keys, "source_digest", trials._source_digest):
        return run_steps(steps, context, "mine")


def main() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    root, folder, told, seconds, *jobs = sys.argv[1:]
    hosts = {name: Known(**each) for name, each in json.loads(told).items()}
    listener = Heard()
    targets = sorted({target for each in hosts.values() for target in each.targets})
    context = context_of(Store(Path(root)), hosts, listener, int(jobs[0]) if jobs else None)
    with listener:
        run(steps_of(Path(folder), targets, float(seconds)), context)
    print("made all")


if __name__ == "__main__":
    main()
