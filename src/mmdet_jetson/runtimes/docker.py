"""The Docker runtime: an environment is an image on a Docker host, which may be another machine.

So nothing of this machine is mounted: inputs travel as volumes, the job folder is a volume too, and
what a stage made comes back as an archive that is checked.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import lru_cache
from itertools import chain
from pathlib import Path

from mmdet_jetson import tarballs
from mmdet_jetson.config.settings import Settings
from mmdet_jetson.containers import image_tests, images
from mmdet_jetson.containers.device_lock import hold_device, wait_while_timed
from mmdet_jetson.containers.lines import Lines
from mmdet_jetson.containers.objects import (
    STDOUT,
    ContainerSpec,
    DockerHostError,
    Exit,
    Image,
)
from mmdet_jetson.containers.transfer import receive
from mmdet_jetson.containers.uploads import CONTENT
from mmdet_jetson.containers.workspace import Input, Workspace, input_folder, open_workspace
from mmdet_jetson.contract.job import (
    FAILURE,
    JOB,
    LOG,
    OUTPUT,
    RESULT,
    WORK,
    Result,
    read_failure,
    read_job,
    read_result,
    stage_module,
    write_job,
)
from mmdet_jetson.contract.parameters.engine import EngineParameters
from mmdet_jetson.contract.process import ENVIRON
from mmdet_jetson.contract.taken import DIGESTS, TAKEN, read_digests
from mmdet_jetson.environments.this_machine import MACHINES, Machine
from mmdet_jetson.environments.timing import hold_machine, holder
from mmdet_jetson.planning.compatibility import NOT_IN_CONTAINERS
from mmdet_jetson.planning.stage_source import source_state
from mmdet_jetson.planning.stages import TRAIN
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.runtimes.docker_machine import DockerMachine
from mmdet_jetson.runtimes.launching import check_one_machine, on_one_machine
from mmdet_jetson.runtimes.outcome import KILLED, StageFailed, hear, outcome
from mmdet_jetson.runtimes.protocol import HERE, OnProgress, OnWait, Place, StageRun
from mmdet_jetson.runtimes.selection import RuntimeOptions, Say
from mmdet_jetson.store import Store

STAGE_ID = 10001
NAME_MACHINE = "import platform; print(platform.machine())"


def open_runtime(
    options: RuntimeOptions, settings: Settings, store: Store, say: Say
) -> "DockerRuntime":
    """Connect to the Docker host, and clear away what runs that were killed left there."""
    workspace = open_workspace(options.docker_host, settings, store, say)
    return DockerRuntime(
        workspace,
        find=lambda name: images.find(workspace.host, name, settings),
        has_passed=lambda image: image_tests.passed_tests(store, image) is not None,
        untested=options.untested,
        name=options.name,
        jobs=options.jobs,
    )


class DockerRuntime:
    """Runs stages in containers, each in the image of its step.

    ``find`` looks up the image of a name in ``images.toml``; ``has_passed`` tells whether an image
    has passed its own tests, which ``untested`` waives. A configuration may give the Docker host a
    ``name`` and say how many ``jobs`` it bears.
    """

    def __init__(
        self,
        workspace: Workspace,
        find: Callable[[str], Image | None],
        has_passed: Callable[[Image], bool],
        *,
        untested: bool = False,
        name: str = "",
        jobs: int | None = None,
    ) -> None:
        self.workspace, self.host = workspace, workspace.host
        self.untested = untested
        self._name, self._jobs = name, jobs
        # An image of the sources as they were is not one of the sources as they are.
        self._find = lru_cache(lambda name, _state: find(name))
        self._has_passed = has_passed
        self._there = DockerMachine(self.host)

    @property
    def machine(self) -> Machine:
        """The Docker host's."""
        return self._there.machine

    @property
    def place(self) -> Place:
        """The Docker host; one on this machine competes with what runs here without it."""
        machine = HERE if self.host.is_here else self.host.address
        return Place(self._name or machine, machine, self._jobs)

    @contextmanager
    def alone(self, step: Step, run: str, on_wait: OnWait) -> Iterator[None]:
        """Keep everybody else from timing anything on the Docker host's machine meanwhile.

        It may be this machine; then it is kept from those, too, who do without Docker.
        """
        us = holder(step.name, run)
        with ExitStack() as held:
            if self.host.is_here:
                held.enter_context(hold_machine(us, on_wait, self.workspace.say))
            held.enter_context(hold_device(self.host, self._image(step).id, us, on_wait))
            yield

    def identity(self, step: Step) -> str:
        """Digests of the image's configuration and of all its layers but the last.

        That one is the stages' source, which is in a key by itself. What a GPU builds and measures
        also depends on that GPU.
        """
        image = self._image(step)
        digest = hashlib.sha256("\n".join(image.layers[:-1]).encode()).hexdigest()
        config, base = f"config {image.config[:16]}", "stand-in" if image.is_stand_in else ""
        gpu = self._there.identity(image) if step.belongs_to_gpu else ""
        parts = (step.image, digest[:16], image.architecture, config, base, gpu)
        return ":".join(filter(None, parts))

    def evidence(self, step: Step) -> str:
        """Emulated, unless the step's code runs on the machine that its image is made for."""
        image = self._image(step)
        grade = "measured" if self._runs_on_its_device(step, image) else "emulated"
        return f"{grade}, stand-in base" if image.is_stand_in else grade

    def device(self, step: Step) -> str:
        """Name the Docker host's machine, its power mode, and the GPU that the step uses."""
        return self._there.device(self._image(step), uses_gpu=step.uses_gpu)

    def prepare(self, step: Step) -> Image:
        """Look whether the step's image is there, has passed its tests, and runs there.

        Raises:
            DockerHostError: one of these is not so; says which command mends it.
        """
        image = self._image(step)
        if not self.untested and not self._has_passed(image):
            raise DockerHostError(
                f"the image {image.reference} has not passed its own tests",
                f"invoke images.test --name {step.image}, or --untested to do without",
            )
        machine = self._there.answer(image.id, NAME_MACHINE) if self._is_foreign(image) else ""
        if self._is_foreign(image) and MACHINES.get(machine) != image.architecture:
            raise DockerHostError(
                f"the Docker host at {self.host.address} is {self.host.facts.architecture} and"
                f" cannot run the {image.architecture} programs of {image.reference}",
                "install an emulator there: apt-get install qemu-user-static",
            )
        return image

    def check(self, steps: Sequence[Step]) -> None:
        """Look at every image that the steps need, as `prepare` does, and at the GPU in it.

        What a target needs of its device is compared now: its engine comes hours later.
        """
        check_one_machine(steps)
        for step in {step.image: step for step in steps}.values():
            self.prepare(step)
        for step in steps:
            told, image = step.parameters, self._image(step)
            if not isinstance(told, EngineParameters) or not told.needs or not step.uses_gpu:
                continue
            if self._runs_on_its_device(step, image) and self.host.facts.has_gpu:
                self._there.check(image, step.image, told)

    def run(self, stage: StageRun) -> Result:
        """Run a stage in a container and read its result.

        Raises:
            StageFailed: it left no result, whatever its exit code.
            DockerHostError: the Docker host refuses something or is out of reach.
        """
        step, folder = stage.step, stage.folder
        image = self.prepare(step)
        command = ["python", "-m", stage_module(step.stage.module), "/job"]
        launch = on_one_machine(command, step.spread)
        there = {**self._there.environ, **self._there.power_environ(step.stage)}
        spec = ContainerSpec(
            image.id,
            launch.command,
            environ={**ENVIRON, **there, **launch.environ},
            gpu=step.uses_gpu,
        )
        inputs = _mounted(folder, stage.inputs)
        may_resume = step.stage.may_resume
        with self.workspace.stage(spec, folder.name, inputs, resumable=may_resume) as container:
            self._put(container, folder)
            if not step.stage.measures_device:
                self._wait_while_timed(step)
            ended = self._run(container, folder / LOG, stage.on_progress)
            self._fetch(container, folder, step.remembers)
            result = _outcome(step, folder, ended)
        return self._with_origin(step, image, result)

    def _wait_while_timed(self, step: Step) -> None:
        """Disturb nobody who times something on that machine, as a client elsewhere may."""
        wait_while_timed(self.host, lambda why: self.workspace.say(f"{step.name:<28} {why}"))

    def _run(self, container: str, log: Path, on_progress: OnProgress) -> Exit:
        """Run a stage's container, and hear what it prints: progress, and lines for the log."""
        lines = Lines(lambda line: hear(f"{line}\n", log, on_progress))

        def listen(stream: int, content: bytes) -> None:
            if stream == STDOUT:
                lines.feed(content)
            else:
                with log.open("ab") as errors:
                    errors.write(content)

        ended = self.host.run(container, listen)
        lines.close()
        return ended

    def _image(self, step: Step) -> Image:
        if not step.image:
            raise DockerHostError(
                f"{step.name}: there is no container image for its target",
                NOT_IN_CONTAINERS,
            )
        image = self._find(step.image, source_state())
        if image is None:
            raise DockerHostError(
                f"the Docker host at {self.host.address} has no image {step.image!r} built from"
                " the current sources",
                f"invoke images.build --name {step.image}"
                + (f" --docker-host {self.host.address}" if self._name else ""),
            )
        return image

    def _is_foreign(self, image: Image) -> bool:
        return image.architecture != self.host.facts.architecture

    def _runs_on_its_device(self, step: Step, image: Image) -> bool:
        facts = self.host.facts
        for_jetsons = step.environment != TRAIN and image.architecture == "arm64"
        return not self._is_foreign(image) and (facts.is_jetson or not for_jetsons)

    def _put(self, container: str, folder: Path) -> None:
        job = tarballs.file(folder / JOB, JOB, STAGE_ID)
        if (folder / DIGESTS).exists():
            job = chain(job, tarballs.file(folder / DIGESTS, DIGESTS, STAGE_ID))
        folders = [tarballs.folder(folder / name, name, STAGE_ID) for name in (OUTPUT, WORK)]
        self.host.put(container, "/job", tarballs.archive(job, *folders))

    def _fetch(self, container: str, folder: Path, remembers: str) -> None:
        """Download what the stage said and, if it came to a result, what it made."""
        kept = [f"{WORK}/{remembers}"] if remembers else []
        for name in (FAILURE, *kept, TAKEN, OUTPUT, RESULT):
            packed = self.host.get(container, f"/job/{name}")
            if packed is None and name == OUTPUT:
                return  # a result without an output is not one
            if packed is not None:
                receive(packed, folder / name)

    def _with_origin(self, step: Step, image: Image, result: Result) -> Result:
        """Add to the result where it was made, and warn of what makes it less trustworthy."""
        foreign, tested = self._is_foreign(image), self._has_passed(image)
        host = self.host.facts
        facts = {
            "image": image.reference,
            "image_digest": image.id,
            "image_tested": tested,
            "stand_in": image.is_stand_in,
            "emulated": foreign,
            "docker_host": f"{host.name} ({host.product} {host.version})",
        }
        doubts = {
            f"emulated: {image.architecture} code on {host.architecture}": foreign,
            f"the base of image {step.image!r} is a stand-in, not the real one": image.is_stand_in,
            f"image {step.image!r} has not passed its own tests": not tested,
        }
        warnings = tuple(sentence for sentence, holds in doubts.items() if holds)
        return replace(
            result, facts={**result.facts, **facts}, warnings=(*result.warnings, *warnings)
        )


def _mounted(folder: Path, digests: Mapping[str, str]) -> dict[str, Input]:
    """The inputs of a job, which is written anew: its container has them in other folders."""
    job = read_job(folder)
    inside = {name: f"{input_folder(name)}/{CONTENT}" for name in job.inputs}
    write_job(folder, replace(job, inputs=inside))
    known = read_digests(folder)
    return {
        name: Input(digests[name], folder / path, known.get(name, {}))
        for name, path in job.inputs.items()
    }


def _outcome(step: Step, folder: Path, ended: Exit) -> Result:
    said_something = read_result(folder) or read_failure(folder)
    if ended.code not in KILLED or said_something:
        return outcome(step.stage.module, ended.code, folder)
    if ended.out_of_memory:
        raise StageFailed(
            f"{step.stage.module}: the Docker host ran out of memory",
            f"lower train.batch_size or train.workers; the log is {folder / LOG}",
        )
    unknown = ended.out_of_memory is None
    how = "killed: memory ran out," if unknown else "killed while memory was left:"
    raise StageFailed(
        f"{step.stage.module}: it was {how} someone stopped it, or the connection was lost",
        "run again",
    )
