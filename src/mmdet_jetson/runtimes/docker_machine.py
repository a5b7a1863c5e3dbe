"""The machine of a Docker host: asked of the host itself, and of programs in its containers."""

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from functools import cache, cached_property

from mmdet_jetson.containers.docker_host import DockerHost
from mmdet_jetson.containers.objects import STDOUT, ContainerSpec, DockerHostError, Image
from mmdet_jetson.contract.nvidia import Gpu, release_of
from mmdet_jetson.contract.power import MODES_FILE, STATUS_FILE, modes_of, told
from mmdet_jetson.environments.this_machine import (
    MODE_FILE,
    RELEASE_FILE,
    Machine,
    board_of,
    mode_of,
)
from mmdet_jetson.planning.stages import Stage
from mmdet_jetson.runtimes.protocol import ASK_CLOCKS, ASK_GPU, gpu_of

BOARD_FILE = "/sys/firmware/devicetree/base/model"  # what /proc/device-tree/model is a link to


class DockerMachine:
    """What a Docker host's machine is. All but its power mode and clocks is asked once."""

    def __init__(self, host: DockerHost) -> None:
        self.host = host
        self.answer = cache(self._answer)

    @cached_property
    def machine(self) -> Machine:
        """The machine; on a Jetson two of its files are read."""
        facts = self.host.facts
        return Machine(
            architecture=facts.architecture,
            has_gpu=facts.has_gpu,
            l4t=release_of(self._jetson_file(f"/{RELEASE_FILE}")),
            board=board_of(self._jetson_file(BOARD_FILE)),
            in_containers=True,
            name=f"the Docker host at {self.host.address}",
        )

    def gpu(self, image: Image) -> Gpu | None:
        """The GPU that a container of the image computes on."""
        if not self.machine.has_gpu:
            return None
        return gpu_of(self.answer(image.id, ASK_GPU, gpu=True))

    def identity(self, image: Image) -> str:
        """What a result of the GPU depends on: it, its driver, and a Jetson's board and L4T."""
        gpu, machine = self.gpu(image), self.machine
        l4t = f"l4t{machine.l4t}" if machine.l4t else ""
        return ":".join(filter(None, (gpu.identity, machine.board, l4t))) if gpu else ""

    def device(self, image: Image, *, uses_gpu: bool) -> str:
        """Name the machine, the GPU where one is used, and the power state as it is now."""
        facts = self.host.facts
        name = f"{facts.name} {facts.id.replace(':', '')} {facts.architecture} x {facts.cores}"
        gpu = self.gpu(image) if uses_gpu else None
        mode = mode_of(self._jetson_file(f"/{MODE_FILE}"))
        parts = (name, gpu.uuid if gpu else "", mode, self._clocks(image))
        return ":".join(filter(None, parts))

    def power_environ(self, stage: Stage) -> Mapping[str, str]:
        """What a container cannot see of a Jetson's power mode, for a stage that times engines."""
        if not stage.measures_device:
            return {}
        status = self._jetson_file(f"/{STATUS_FILE}")
        modes = modes_of(status, self._jetson_file(f"/{MODES_FILE}") if status else "")
        return told(modes) if modes else {}

    def _clocks(self, image: Image) -> str:
        """Tell locked clocks from others; a container sees them, the API cannot read them."""
        if not self.host.facts.is_jetson:
            return ""
        return "clocks locked" if self._answer(image.id, ASK_CLOCKS) == "locked" else ""

    def _jetson_file(self, path: str) -> str:
        """Read one of the files that only a Jetson has; empty where there is none."""
        with suppress(DockerHostError):
            if self.host.facts.is_jetson:
                return (self.host.host_file(path) or b"").decode(errors="replace")
        return ""

    def _answer(self, image: str, question: str, *, gpu: bool = False) -> str:
        """What a line of Python prints in an image; empty where no program starts there."""
        said: dict[int, bytes] = defaultdict(bytes)

        def listen(stream: int, content: bytes) -> None:
            said[stream] += content

        with self.host.container(
            ContainerSpec(image, ["python", "-c", question], gpu=gpu)
        ) as container:
            self.host.run(container, listen)
        return said[STDOUT].decode(errors="replace").strip()
