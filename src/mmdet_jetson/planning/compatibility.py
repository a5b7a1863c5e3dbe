"""Whether a target's engine can be built and run where a run goes: told before anything starts.

That machine is this one, or the one of the Docker host that runs its containers. `Machine` says
what it is, whichever it is.
"""

from collections.abc import Callable, Iterator

from mmdet_jetson.config.images import Images
from mmdet_jetson.config.pipeline import Project
from mmdet_jetson.config.targets import Target
from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.contract.nvidia import (
    groups_of,
    how_to_open,
    is_version,
    jetpack_of,
    lacks_dla,
    module_of,
)
from mmdet_jetson.environments.this_machine import Machine
from mmdet_jetson.errors import UserError

COMPILING = ("engine", "build-jetson-engine")  # these make what need not run on that machine
ON_ITS_DEVICE = (
    "{build} builds it on its device, with --docker-host ssh://user@jetson from here, or started "
    "there with --onnx FOLDER; on the PC with the dataset {pack} FOLDER makes that folder"
)
NOT_IN_CONTAINERS = (
    "leave out --runtime docker and --docker-host, and take it out of [hosts] if it is there"
)
ELSEWHERE = (
    "add --runtime docker, which emulates it, or go to such a machine: "
    "{build} --docker-host ssh://user@jetson"
)


def check_targets(
    project: Project, command: str, machine_of: Callable[[str], Machine], images: Images
) -> None:
    """Refuse to start what cannot be finished where it would run.

    ``command`` is the command that was asked for; ``machine_of`` gives a target's machine.

    Raises:
        UserError: a target does not fit; says why, and what does.
    """
    for name, target in project.used_targets.items():
        machine = machine_of(name)
        for problem, hint in _problems(target, command, machine, _architecture(target, images)):
            raise UserError(
                f"{command}: {machine.name} does not fit target {name!r}: {problem}",
                hint.format(
                    build=project.command("build-jetson-engine", name),
                    engine=project.command("engine", name),
                    pack=project.command("pack", name),
                ),
            )


def misfit(name: str, target: Target, command: str, machine: Machine, images: Images) -> str:
    """Why that machine cannot finish a command for a target, as a sentence; "" if it can."""
    for problem, _ in _problems(target, command, machine, _architecture(target, images)):
        return f"{machine.name} does not fit target {name!r}: {problem}"
    return ""


def _architecture(target: Target, images: Images) -> str:
    platform = images.image(target.image).platform if target.image else ""
    return platform.removeprefix("linux/")


def can_run(target: Target, machine: Machine) -> bool:
    """Whether what that machine builds for the target runs on it, too."""
    backend = BACKENDS[target.backend]
    if backend.builds_on_its_device or not backend.needs_gpu:
        return True
    return machine.has_gpu and machine.sm in (None, *target.compute_capabilities)


def _problems(
    target: Target, command: str, machine: Machine, architecture: str
) -> Iterator[tuple[str, str]]:
    """What speaks against it, and what to do about it; ``architecture`` of its image, if any."""
    if machine.in_containers and not target.image:
        yield "there is no container image for it", NOT_IN_CONTAINERS
    for problem in _other_versions(target, machine):
        yield problem, ON_ITS_DEVICE
    if BACKENDS[target.backend].builds_on_its_device:
        for problem in _no_such_jetson(target, machine):
            yield problem, ON_ITS_DEVICE
        yield from _closed(machine)
    elif architecture not in ("", machine.architecture) and not machine.in_containers:
        yield (
            f"its processor is {machine.architecture}, and the target needs {architecture}",
            ELSEWHERE,
        )
    if command not in COMPILING and not can_run(target, machine):
        yield _no_such_gpu(target, machine), "{engine} compiles it all the same"


def _no_such_gpu(target: Target, machine: Machine) -> str:
    if not machine.has_gpu:
        return "such an engine runs on a GPU only, and this machine has none that CUDA finds"
    listed = " or ".join(map(str, target.compute_capabilities))
    return f"its GPU has compute capability {machine.sm}, and such an engine runs on {listed} only"


def _other_versions(target: Target, machine: Machine) -> Iterator[str]:
    """What the machine reports otherwise than the target says, release by release.

    What it does not report speaks against nothing. In containers CUDA and TensorRT are the image's:
    the stage that builds the engine compares them.
    """
    jetpack = machine.jetpack
    reported = {
        "l4t": ("L4T", machine.l4t),
        "jetpack": ("JetPack", jetpack_of(machine.l4t)),
        "cuda": ("CUDA", jetpack.cuda if jetpack else ""),
        "tensorrt": ("TensorRT", jetpack.tensorrt.partition("-")[0] if jetpack else ""),
    }
    for fact, needed in target.facts.items():
        name, found = reported.get(fact, ("", ""))
        if found and not is_version(found, needed):
            yield f"it runs {name} {found}, and the target needs {name} {needed}"


def _no_such_jetson(target: Target, machine: Machine) -> Iterator[str]:
    """What is missing where TensorRT should build for one of NVIDIA's boards."""
    if machine.architecture != "arm64":
        yield f"its processor is {machine.architecture}, and a Jetson's is arm64"
    if not machine.l4t:
        told = f"though its board is {machine.board}" if machine.board else "so it is not a Jetson"
        yield f"it reports no release of Jetson Linux (L4T), {told}"
    if machine.in_containers and not machine.has_gpu:
        yield "it has no NVIDIA runtime, which gives containers the GPU"
    if not machine.in_containers and not machine.jetpack:
        yield "its Python has no TensorRT (apt-get install python3-libnvinfer)"
    sm = machine.jetpack.sm if machine.jetpack else machine.sm
    needed = target.facts.get("sm", "")
    if sm and needed and not is_version(str(sm), needed):
        yield f"its GPU has compute capability {sm}, the target needs {needed}"
    if target.module and module_of(machine.board) not in (None, target.module):
        yield f"its board is an {machine.board}, and the target is for a Jetson {target.module}"
    lacks = "" if target.dla is None else lacks_dla(machine.board, target.dla)
    if lacks:
        yield (
            f"its board is an {machine.board}, which {lacks}, and the target asks for "
            f"DLA {target.dla}"
        )


def _closed(machine: Machine) -> Iterator[tuple[str, str]]:
    """What keeps a user from the GPU of this machine, where TensorRT would only fail to start.

    A file that belongs to root alone is none that CUDA needs, or the driver will say so.
    """
    if groups_of(machine.closed):
        files = " and ".join(machine.closed[:2])
        yield f"the GPU is closed to you: {files} cannot be opened", how_to_open(machine.closed)
