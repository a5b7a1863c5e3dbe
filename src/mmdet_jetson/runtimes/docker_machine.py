"""The machine of a Docker host: asked of the host itself, and of programs in its containers."""

import json
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from functools import cache, cached_property

from mmdet_jetson.containers.docker_host import DockerHost
from mmdet_jetson.containers.host_files import read_file
from mmdet_jetson.containers.objects import (
    STDERR,
    STDOUT,
    ContainerSpec,
    DockerHostError,
    Image,
)
from mmdet_jetson.contract.nvidia import (
    BOARD_FILE,
    CHIP_FILE,
    DEVICE_TREE_FOLDER,
    FACTS,
    OF_HOST,
    RELEASE_FILE,
    Gpu,
    board_of,
    is_version,
    release_of,
    sm_of,
)
from mmdet_jetson.contract.parameters.engine import EngineParameters
from mmdet_jetson.contract.power import MODES_FILE, STATUS_FILE, PowerModes, modes_of, told
from mmdet_jetson.environments.this_machine import Machine
from mmdet_jetson.planning.stages import Stage
from mmdet_jetson.runtimes.protocol import ASK_CLOCKS, ASK_GPU, ASK_REPORTED, gpu_of


class DockerMachine:
    """What a Docker host's machine is. All but its power mode and clocks is asked once."""

    def __init__(self, host: DockerHost) -> None:
        self.host = host
        self._said = cache(self._run)

    @cached_property
    def machine(self) -> Machine:
        """The machine; on a Jetson three of its files are read."""
        facts = self.host.facts
        return Machine(
            architecture=facts.architecture,
            has_gpu=facts.has_gpu,
            l4t=release_of(self._jetson_file(RELEASE_FILE)),
            board=board_of(self._jetson_file(f"{DEVICE_TREE_FOLDER}/{BOARD_FILE}")),
            sm=sm_of(self._jetson_file(f"{DEVICE_TREE_FOLDER}/{CHIP_FILE}")),
            in_containers=True,
            name=f"the Docker host at {self.host.address}",
        )

    @property
    def environ(self) -> Mapping[str, str]:
        """What a container cannot see of a Jetson: its board, which Docker hides, and its L4T.

        The file with the release is mounted by newer runtimes only.
        """
        said = {"l4t": self.machine.l4t, "board": self.machine.board}
        return {OF_HOST[fact]: value for fact, value in said.items() if value}

    def gpu(self, image: Image) -> Gpu | None:
        """The GPU that a container of the image computes on."""
        if not self.machine.has_gpu:
            return None
        return gpu_of(self.answer(image.id, ASK_GPU, gpu=True))

    def check(self, image: Image, name: str, told: EngineParameters) -> None:
        """Compare what a target needs with what a container of its image reports, on the GPU.

        ``name`` is the image's in ``images.toml``.

        Raises:
            DockerHostError: they contradict each other, or the GPU cannot be used in there.
        """
        out, errors = self._said(image.id, ASK_REPORTED.format(backend=told.backend), gpu=True)
        where = f"a container of image {name!r} on the Docker host at {self.host.address}"
        hint = f"invoke images.test --name {name} tests the GPU in there"
        try:
            found = json.loads(out.rpartition("\n")[2])  # libraries may print before it
        except ValueError:
            last = (errors.splitlines() or ["it printed nothing"])[-1]
            raise DockerHostError(f"{where} cannot load {told.backend}: {last}", hint) from None
        if "sm" in told.needs and found["sm"] is None:
            groups = ", ".join(map(str, self.host.gpu_groups)) or "none"
            raise DockerHostError(
                f"{where} cannot use the GPU; it has the groups of its device files: {groups}", hint
            )
        for fact, needed in told.needs.items():
            if found[fact] and not is_version(found[fact], needed):
                raise DockerHostError(
                    f"target {told.target!r} needs {FACTS[fact]} {needed}, and {where} has "
                    f"{found[fact]}",
                    "take a target whose image and device agree, or correct targets.toml",
                )

    def identity(self, image: Image) -> str:
        """What a result of the GPU depends on: it, its driver, and a Jetson's board and L4T."""
        gpu, machine = self.gpu(image), self.machine
        l4t = f"l4t{machine.l4t}" if machine.l4t else ""
        return ":".join(filter(None, (gpu.identity, machine.board, l4t))) if gpu else ""

    def device(self, image: Image, *, uses_gpu: bool) -> str:
        """Name the machine, the GPU where one is used, and the power state as it is now."""
        facts = self.host.facts
        # Podman makes one up whenever it is asked.
        known_by = "" if facts.product == "Podman" else f"{facts.id.replace(':', '')} "
        name = f"{facts.name} {known_by}{facts.architecture} x {facts.cores}"
        gpu = self.gpu(image) if uses_gpu else None
        modes = self._power_modes()
        mode = f"power mode {modes.now}" if modes else ""
        parts = (name, gpu.uuid if gpu else "", mode, self._clocks(image))
        return ":".join(filter(None, parts))

    def power_environ(self, stage: Stage) -> Mapping[str, str]:
        """What a container cannot see of a Jetson's power mode, for a stage that times engines."""
        modes = self._power_modes() if stage.measures_device else None
        return told(modes) if modes else {}

    def _power_modes(self) -> PowerModes | None:
        status = self._jetson_file(STATUS_FILE)
        return modes_of(status, self._jetson_file(MODES_FILE) if status else "")

    def _clocks(self, image: Image) -> str:
        """Tell locked clocks from others; a container sees them, the API cannot read them."""
        if not self.host.facts.is_jetson:
            return ""
        return "clocks locked" if self._run(image.id, ASK_CLOCKS, gpu=False)[0] == "locked" else ""

    def _jetson_file(self, path: str) -> str:
        """Read a file of a Jetson, named from the root; empty where there is none."""
        with suppress(DockerHostError):
            if self.host.facts.is_jetson:
                return (read_file(self.host, f"/{path}") or b"").decode(errors="replace")
        return ""

    def answer(self, image: str, question: str, *, gpu: bool = False) -> str:
        """What a line of Python prints in an image; empty where no program starts there."""
        return self._said(image, question, gpu=gpu)[0]

    def _run(self, image: str, question: str, *, gpu: bool) -> tuple[str, str]:
        """What a line of Python writes to its output, and to its errors."""
        said: dict[int, bytes] = defaultdict(bytes)

        def listen(stream: int, content: bytes) -> None:
            said[stream] += content

        spec = ContainerSpec(image, ["python", "-c", question], environ=self.environ, gpu=gpu)
        with self.host.container(spec) as container:
            self.host.run(container, listen)
        out, errors = (said[each].decode(errors="replace").strip() for each in (STDOUT, STDERR))
        return out, errors
