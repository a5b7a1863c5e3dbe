"""A real Docker with a runtime called nvidia, which is runc: what its containers get of the host's GPU.

The device files are a folder's, with groups that exist on no machine.
"""

import json
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from docker_hosts import second_docker_host

from mmdet_jetson.config.images import StandIn
from mmdet_jetson.containers.docker_host import DockerHost
from mmdet_jetson.containers.host_files import gpu_groups
from mmdet_jetson.containers.objects import STDOUT, ContainerSpec
from mmdet_jetson.containers.room import free_bytes

DEVICES = {
    "nvmap": (90044, 0o660),
    "nvgpu/igpu0/ctrl": (90104, 0o660),
    "nvgpu/igpu0/prof": (0, 0o660),
    "nvgpu/igpu0/open": (90105, 0o666),
    "dri/renderD128": (90106, 0o660),
    "dri/card0": (90107, 0o660),
    "kvm": (90108, 0o660),
}
SAY = "import json, os; print(json.dumps([os.getuid(), os.getgroups(), dict(os.environ)]))"


@pytest.fixture(scope="module")
def devices(tmp_path_factory: pytest.TempPathFactory, may_start_docker_hosts: None) -> Path:
    folder = tmp_path_factory.mktemp("dev")
    for name, (group, mode) in DEVICES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        os.mknod(path, stat.S_IFCHR, os.makedev(1, 3))
        path.chmod(mode)
        os.chown(path, 0, group)
    return folder


@pytest.fixture(scope="module")
def nvidia(
    trial_docker_host: DockerHost,
    may_start_docker_hosts: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[DockerHost]:
    """The second Docker host, which passes for an arm64 machine: those are given the runtime."""
    options = ("--add-runtime", "nvidia=runc")
    with second_docker_host(tmp_path_factory.mktemp("host"), *options) as remote:
        remote.load(StandIn.reference("amd64"))
        host = DockerHost(remote.address, remote.certificates)
        assert host.facts.has_gpu
        host.__dict__["facts"] = replace(host.facts, architecture="arm64")
        yield host


def test_the_numbers_of_the_hosts_groups_are_learnt_without_an_image(
    nvidia: DockerHost, devices: Path
) -> None:
    assert gpu_groups(nvidia, str(devices)) == (90044, 90104, 90106)


@pytest.mark.parametrize("gpu", [True, False])
def test_only_a_stage_with_the_gpu_is_in_the_groups(
    gpu: bool, nvidia: DockerHost, devices: Path
) -> None:
    nvidia.__dict__["gpu_groups"] = gpu_groups(nvidia, str(devices))
    said: list[bytes] = []
    spec = ContainerSpec(StandIn.reference("amd64"), ["python3", "-c", SAY], gpu=gpu)
    with nvidia.container(spec) as container:
        nvidia.run(container, lambda stream, text: said.append(text if stream == STDOUT else b""))
    user, groups, environ = json.loads(b"".join(said))
    assert user == 10001
    assert ({90044, 90104, 90106} <= set(groups)) is gpu
    assert environ["NVIDIA_VISIBLE_DEVICES"] == ("all" if gpu else "void")


def test_free_disk_is_told_by_a_container_of_ours(nvidia: DockerHost) -> None:
    """From afar: over TLS nothing shows that this is the same machine."""
    nvidia.__dict__["facts"] = replace(nvidia.facts, architecture="amd64")
    free = free_bytes(nvidia)
    assert free is not None
    assert free == pytest.approx(shutil.disk_usage(nvidia.facts.folder).free, rel=0.05)
