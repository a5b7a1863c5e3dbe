"""Whether a Docker host has room for an image, asked before gigabytes are pulled.

Docker tells how much it uses, and not how much is left.
"""

import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from mmdet_jetson.containers.docker_host import DockerHost
from mmdet_jetson.containers.objects import STDOUT, ContainerSpec, DockerHostError

GIGABYTE = 10**9
OURS = "mmdet-jetson/"
ASK_FREE = "import shutil; print(shutil.disk_usage('/').free)"


def check_room(host: DockerHost, name: str, gigabytes: int) -> str:
    """Compare what an image needs with what is free; say so where that cannot be learnt.

    Raises:
        DockerHostError: there is less room than the image needs.
    """
    free = free_bytes(host)
    if free is None:
        return (
            f"image {name} needs about {gigabytes} GB; how much is free on the Docker host at "
            f"{host.address} cannot be learnt from here: df -h {host.facts.folder} there shows it"
        )
    if free < gigabytes * GIGABYTE:
        raise DockerHostError(
            f"image {name} needs about {gigabytes} GB, and the Docker host at {host.address} has "
            f"{free / GIGABYTE:.1f} GB free",
            "docker system prune frees what is of no more use there; a larger disk is named by "
            '"data-root" in its /etc/docker/daemon.json; room_gb in images.toml says how much',
        )
    return ""


def free_bytes(host: DockerHost) -> int | None:
    """What is free where the Docker host keeps images; None where nothing tells.

    On this machine it is looked up, elsewhere a container is asked: its root lies on that disk.
    """
    facts, is_local = host.facts, host.address.startswith(("unix:", "http+unix:"))
    if is_local and facts.name == platform.node() and facts.folder and Path(facts.folder).exists():
        return shutil.disk_usage(facts.folder).free
    return next(filter(None, _answers(host)), None)


def _answers(host: DockerHost) -> Iterator[int | None]:
    """What containers of our own images say; most hosts have none before their first build."""
    for summary in host.list_images():
        tag = next((tag for tag in summary.tags if tag.startswith(OURS)), "")
        image = host.find_image(tag) if tag else None
        if image and image.architecture == host.facts.architecture:
            yield _ask(host, image.id)


def _ask(host: DockerHost, image: str) -> int | None:
    said: list[bytes] = []
    try:
        with host.container(ContainerSpec(image, ["python3", "-c", ASK_FREE])) as container:
            host.run(container, lambda stream, text: said.append(text if stream == STDOUT else b""))
    except DockerHostError:  # such as an image without Python
        return None
    text = b"".join(said).strip()
    return int(text) if text.isdigit() else None
