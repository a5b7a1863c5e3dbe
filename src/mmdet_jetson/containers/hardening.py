"""What a container may do, whatever it is for.

It runs without network, capabilities, root, and a writable root file system.
"""

from collections.abc import Mapping

from mmdet_jetson.containers.connection import APIClient, GpuOptions, HostConfig, mount_of
from mmdet_jetson.containers.objects import ContainerSpec, HostFacts

STAGE_USER = "10001"
MEMORY_SHARE = 0.9  # of the machine, so that it goes on when a stage takes all it gets
PROCESSES = 2048  # OpenMP starts a thread a core in each of a training's loading processes
SHARED_MEMORY = 2 << 30  # bytes; through it a training's loading processes hand over pictures
# The one place beside mounted volumes that its user may write to.
HOME = {"HOME": "/tmp", "MPLCONFIGDIR": "/tmp/matplotlib"}  # noqa: S108 - inside the container
SCRATCH = "rw,noexec,nosuid,nodev,size=1g"
CLOSED = "ro,noexec,nosuid,nodev,size=4k"  # for what Podman leaves open in a read-only container


def environ_of(spec: ContainerSpec, facts: HostFacts) -> dict[str, str]:
    """The environment variables of a container."""
    return {**HOME, **_gpu_environ(spec, facts), **spec.environ}


def _gpu_environ(spec: ContainerSpec, facts: HostFacts) -> Mapping[str, str]:
    """What NVIDIA's runtime reads, which bases set in their own ways.

    It may be a Docker host's default, and would give the GPU to every container then. On a
    Jetson it decides by lists of its own what of the driver a container needs.
    """
    if not facts.has_gpu:
        return {}
    if not spec.gpu:
        return {"NVIDIA_VISIBLE_DEVICES": "void"}
    parts = "all" if facts.architecture == "arm64" else "compute,utility"
    return {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": parts}


def hardened(api: APIClient, spec: ContainerSpec, facts: HostFacts, gpus: GpuOptions) -> HostConfig:
    """What of its Docker host a container gets, for the SDK."""
    memory = int(facts.memory * MEMORY_SHARE)
    return api.create_host_config(
        mounts=[mount_of(each) for each in spec.volumes],
        network_mode="none",
        read_only=True,
        tmpfs={"/tmp": SCRATCH, "/var/tmp": CLOSED},  # noqa: S108 - inside the container
        shm_size=SHARED_MEMORY,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        mem_limit=memory,
        memswap_limit=memory,
        pids_limit=PROCESSES,
        init=True,
        auto_remove=bool(spec.name),
        **gpus,
    )
