"""The machines of a command: what runs its steps, and whether its targets fit there."""

from functools import partial

from mmdet_jetson.cli.progress import Display
from mmdet_jetson.config.images import load_images
from mmdet_jetson.config.pipeline import Project
from mmdet_jetson.config.references import images_file
from mmdet_jetson.config.settings import Settings
from mmdet_jetson.environments.this_machine import Machine
from mmdet_jetson.planning import compatibility
from mmdet_jetson.runtimes.hosts import open_hosts, used_hosts
from mmdet_jetson.runtimes.protocol import Runtime, Runtimes
from mmdet_jetson.runtimes.selection import (
    RuntimeOptions,
    open_for_device,
    open_runtime,
    open_runtimes,
)
from mmdet_jetson.store import Store

NOT_USED = "[hosts] is not used: --docker-host says where containers run"


def open_machines(
    options: RuntimeOptions,
    project: Project,
    settings: Settings,
    store: Store,
    display: Display,
    *,
    for_device: bool = False,
) -> Runtimes:
    """Open what the options and ``[hosts]`` say; of these, ``--docker-host`` counts.

    ``for_device``: a Docker host of the options only builds and measures engines.

    Raises:
        UserError: the options make no sense together, or a Docker host does not answer.
    """
    choose = open_for_device if for_device else open_runtimes
    hosts, targets = project.pipeline.hosts, project.pipeline.targets
    named = used_hosts(hosts, targets)
    if not named or options.docker_host:
        if named:
            display.say(NOT_USED)
        return choose(options, settings, store, display.say)

    def open_with(there: RuntimeOptions) -> Runtime:
        return open_runtime(there, settings, store, display.say)

    here = choose(options.here, settings, store, display.say)
    return open_hosts(here, hosts, targets, options, open_with, say=display.say)


def check_targets(project: Project, runtimes: Runtimes, settings: Settings, command: str) -> None:
    """Refuse targets that a command cannot be finished for where they would go, or could.

    Raises:
        UserError: one does not fit a machine.
    """
    images = load_images(images_file(settings.root))
    several = max(map(len, runtimes.others.values()), default=0)

    def machine_of(number: int, target: str) -> Machine:
        every = runtimes.every_of_target(target)
        return every[min(number, len(every) - 1)].machine

    for number in range(several + 1):
        compatibility.check_targets(project, command, partial(machine_of, number), images)
