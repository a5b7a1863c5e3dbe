"""The Docker runtime: an environment is an image, on an engine of this machine or of another one.

Nothing of this machine is mounted, since the engine may not be on it: inputs travel as volumes, the
job folder is a volume too, and what a stage made comes back as an archive that is checked.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path

import msgspec

from mmdet_jetson.containers.objects import STDOUT, Attached, Box, EngineError, Exit, Image
from mmdet_jetson.containers.transfer import ended, pack, pack_file, receive
from mmdet_jetson.containers.workspace import CONTENT, Shelf
from mmdet_jetson.environments.this_machine import MACHINES, RELEASE_FILE, Machine, release_of
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.runtimes.host import SPIN_COUNT
from mmdet_jetson.runtimes.outcome import KILLED, Progress, StageFailed, StageResult, hear, outcome

STAGE_ID = 10001
ENVIRON = {
    "GOMP_SPINCOUNT": SPIN_COUNT,
    "HOME": "/tmp",  # noqa: S108 - inside the container
    "MPLBACKEND": "Agg",
    "MPLCONFIGDIR": "/tmp/matplotlib",  # noqa: S108
    "PYTHONHASHSEED": "0",
    "MMDET_JETSON_WATCH_STDIN": "1",
}
NAME_MACHINE = "import platform; print(platform.machine())"
NAME_GPU = "from mmdet_jetson.stages.inference.device import gpu_architecture as a; print(a())"


class DockerRuntime:
    """Runs stages in containers, each in the image of its step.

    ``find`` looks up the image of a name in ``images.toml``; ``is_proven`` tells whether an image
    has passed its own tests, which ``untested`` waives.
    """

    def __init__(
        self,
        shelf: Shelf,
        find: Callable[[str], Image | None],
        is_proven: Callable[[Image], bool],
        *,
        untested: bool = False,
    ) -> None:
        self.shelf, self.engine = shelf, shelf.engine
        self.untested = untested
        self._find, self._is_proven = cache(find), is_proven
        self._answer = cache(self._answer_inside)

    @cached_property
    def machine(self) -> Machine:
        """The engine's; on a Jetson its release file is read."""
        facts = self.engine.facts
        release = self.engine.host_file(f"/{RELEASE_FILE}") if facts.is_jetson else None
        return Machine(
            architecture=facts.architecture,
            has_gpu=facts.has_gpu,
            l4t=release_of((release or b"").decode(errors="replace")),
            in_containers=True,
            name=f"the engine at {self.engine.address}",
        )

    def identity(self, step: Step) -> str:
        """Digest of all layers but the last, the stages' source, which is in a key by itself.

        What a device's GPU builds and runs also depends on its architecture and on the L4T release.
        """
        image = self._image(step)
        digest = hashlib.sha256("\n".join(image.layers[:-1]).encode()).hexdigest()
        base = ":stand-in" if image.is_stand_in else ""
        identity = f"{step.image}:{digest[:16]}:{image.architecture}{base}"
        if not (step.uses_gpu and step.environment != "train" and self.machine.has_gpu):
            return identity
        return f"{identity}:l4t{self.machine.l4t}:sm{self._answer(image.id, NAME_GPU, gpu=True)}"

    def evidence(self, step: Step) -> str:
        """Emulated, unless the step's code runs on the machine that its image is made for."""
        image = self._image(step)
        grade = "measured" if self._is_at_home(step, image) else "emulated"
        return f"{grade}, stand-in base" if image.is_stand_in else grade

    def device(self, step: Step) -> str:
        """Name the engine's machine."""
        facts = self.engine.facts
        return f"{facts.name} {facts.id} {facts.architecture} x {facts.cores}"

    def prepare(self, step: Step) -> Image:
        """Look whether the step's image is there, has passed its tests, and runs there.

        Raises:
            EngineError: one of these is not so; says which command mends it.
        """
        image = self._image(step)
        if not self.untested and not self._is_proven(image):
            raise EngineError(
                f"the image {image.reference} has not passed its own tests",
                f"invoke images.test --name {step.image}, or --untested to do without",
            )
        machine = self._answer(image.id, NAME_MACHINE) if self._is_foreign(image) else ""
        if self._is_foreign(image) and MACHINES.get(machine) != image.architecture:
            raise EngineError(
                f"the engine at {self.engine.address} is {self.engine.facts.architecture} and runs"
                f" no {image.architecture} programs, as {image.reference} has them",
                "install an emulator there: apt-get install qemu-user-static",
            )
        return image

    def check(self, steps: Sequence[Step]) -> None:
        """Look at every image that the steps need, as `prepare` does."""
        for step in {step.image: step for step in steps}.values():
            self.prepare(step)

    def run(
        self,
        step: Step,
        job: Path,
        inputs: Mapping[str, str],
        on_progress: Callable[[Progress], None],
        *,
        keep_open: Sequence[int] = (),
    ) -> StageResult:
        """Run a step's stage in a container and read its result.

        Raises:
            StageFailed: there is no ``result.json``, whatever the exit code.
            EngineError: the engine refuses something or is out of reach.
        """
        image = self.prepare(step)
        command = ["python", "-m", f"mmdet_jetson.stages.{step.stage}", "/job"]
        box = Box(image.id, command, self._upload(job, inputs), ENVIRON, gpu=step.uses_gpu)
        with self.shelf.stage(box, job.name, resumable=step.resumable) as container:
            self._put(container, job)
            ended_as = self.engine.run(container, _Output(job / "log.txt", on_progress))
            self._fetch(container, job)
            result = _outcome(step, job, ended_as)
        return self._signed(step, image, result)

    def _image(self, step: Step) -> Image:
        if not step.image:
            raise EngineError(
                f"{step.name}: there is no container image for its target",
                "leave out --runtime docker and --engine",
            )
        image = self._find(step.image)
        if image is None:
            raise EngineError(
                f"the engine at {self.engine.address} has no image {step.image!r}, as its sources"
                " are now",
                f"invoke images.build --name {step.image}",
            )
        return image

    def _is_foreign(self, image: Image) -> bool:
        return image.architecture != self.engine.facts.architecture

    def _is_at_home(self, step: Step, image: Image) -> bool:
        facts = self.engine.facts
        for_jetsons = step.environment == "deploy" and image.architecture == "arm64"
        return not self._is_foreign(image) and (facts.is_jetson or not for_jetsons)

    def _answer_inside(self, image: str, question: str, *, gpu: bool = False) -> str:
        """What a line of Python prints in an image; empty where no program starts there."""
        said: dict[int, bytes] = defaultdict(bytes)

        def listen(stream: int, content: bytes) -> None:
            said[stream] += content

        with self.engine.container(Box(image, ["python", "-c", question], gpu=gpu)) as container:
            self.engine.run(container, listen)
        return said[STDOUT].decode(errors="replace").strip()

    def _upload(self, job: Path, digests: Mapping[str, str]) -> list[Attached]:
        """Bring the inputs to the engine, and tell the stage where it finds them there."""
        description = json.loads((job / "job.json").read_text())
        mounts = {
            name: self.shelf.upload(job.name, name, digests[name], job / folder)
            for name, folder in description["inputs"].items()
        }
        description["inputs"] = {name: f"{each.target}/{CONTENT}" for name, each in mounts.items()}
        (job / "job.json").write_text(json.dumps(description, indent=1))
        return list(mounts.values())

    def _put(self, container: str, job: Path) -> None:
        files = pack_file(job / "job.json", "job.json", STAGE_ID)
        folders = [pack(job / name, name, STAGE_ID) for name in ("output", "work")]
        self.engine.put(container, "/job", ended(files, *folders))

    def _fetch(self, container: str, job: Path) -> None:
        """Bring home what the stage said and, if it came to a result, what it made."""
        for name in ("failure.json", "output", "result.json"):
            packed = self.engine.get(container, f"/job/{name}")
            if packed is None and name == "output":
                return  # without its output a result is none
            if packed is not None:
                receive(packed, job / name)

    def _signed(self, step: Step, image: Image, result: StageResult) -> StageResult:
        """Add to the result where it was made, and what speaks against trusting it."""
        foreign, tested = self._is_foreign(image), self._is_proven(image)
        engine = self.engine.facts
        facts = {
            "image": image.reference,
            "image_digest": image.id,
            "image_tested": tested,
            "stand_in": image.is_stand_in,
            "emulated": foreign,
            "engine": f"{engine.name} ({engine.product} {engine.version})",
        }
        doubts = {
            f"emulated: {image.architecture} code on {engine.architecture}": foreign,
            f"the base of image {step.image!r} is a stand-in, not the real one": image.is_stand_in,
            f"image {step.image!r} has not passed its own tests": not tested,
        }
        warnings = [sentence for sentence, holds in doubts.items() if holds]
        return msgspec.structs.replace(
            result, facts={**result.facts, **facts}, warnings=[*result.warnings, *warnings]
        )


class _Output:
    """Takes what a stage says: progress line by line, everything else into the log."""

    def __init__(self, log: Path, on_progress: Callable[[Progress], None]) -> None:
        self.log, self.on_progress = log, on_progress
        self._line = b""

    def __call__(self, stream: int, content: bytes) -> None:
        if stream != STDOUT:
            with self.log.open("ab") as log:
                log.write(content)
            return
        *lines, self._line = (self._line + content).split(b"\n")
        for line in lines:
            hear(f"{line.decode(errors='replace')}\n", self.log, self.on_progress)


def _outcome(step: Step, job: Path, ended_as: Exit) -> StageResult:
    said_something = (job / "result.json").exists() or (job / "failure.json").exists()
    if ended_as.code not in KILLED or said_something:
        return outcome(step.stage, ended_as.code, job)
    if ended_as.out_of_memory:
        raise StageFailed(
            f"{step.stage}: memory ran out on the engine's machine",
            f"lower train.batch_size or train.workers; the log is {job / 'log.txt'}",
        )
    unknown = ended_as.out_of_memory is None
    how = "killed: memory ran out," if unknown else "killed with memory left:"
    raise StageFailed(
        f"{step.stage}: it was {how} someone stopped it, or the connection to the engine was cut",
        "run again",
    )
