"""The files of a Docker host's machine, however far away it is.

A container that never starts has a folder of the machine mounted, and Docker packs what lies there.
So neither an image nor a matching architecture is needed, and nothing is hidden from it as from a
container that runs.
"""

import io
import posixpath
import stat
import tarfile
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from mmdet_jetson.containers.objects import FolderMount
from mmdet_jetson.contract.nvidia import CARD_FILES, JETSON_FILES

if TYPE_CHECKING:
    from mmdet_jetson.containers.docker_host import DockerHost

DEVICES = "/dev"
GPU_DEVICES = (*CARD_FILES, *JETSON_FILES)
# Docker packs files and whole folders, and knows no patterns.
ASKED_FOR = tuple(dict.fromkeys(file.split("/")[1].replace("[0-9]*", "0") for file in GPU_DEVICES))
# As whoever may not know sees a group: of a rootless Docker host, whose containers cannot have it.
NOBODY = 65534
_MOUNTED = "/mounted"


def read_file(host: "DockerHost", path: str) -> bytes | None:
    """Read a small file of the machine; ``None`` if there is none."""
    folder, name = posixpath.split(path)
    packed = _packed(host, folder, [name]).get(name)
    if packed is None:
        return None
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        member = tar.next()
        if member and member.issym():
            return read_file(host, posixpath.normpath(posixpath.join(folder, member.linkname)))
        content = tar.extractfile(member) if member else None
        return content.read() if content else None


def gpu_groups(host: "DockerHost", devices: str = DEVICES) -> tuple[int, ...]:
    """The numbers of the groups that may open the GPU's device files on that machine.

    Their names mean nothing in a container: ``video`` and ``render`` have other numbers there.
    Files that anybody may open, and those of root's own group, need none.
    """
    groups = {
        member.gid
        for packed in _packed(host, devices, ASKED_FOR).values()
        for member in _members(packed)
        if _is_opened_by_group(member)
    }
    return tuple(sorted(groups - {0, NOBODY}))


def _is_opened_by_group(member: tarfile.TarInfo) -> bool:
    if member.isdir() or member.issym():
        return False
    if not any(fnmatchcase(f"dev/{member.name}", pattern) for pattern in GPU_DEVICES):
        return False
    by_group, by_all = stat.S_IRGRP | stat.S_IWGRP, stat.S_IROTH | stat.S_IWOTH
    return member.mode & by_group == by_group and member.mode & by_all != by_all


def _packed(host: "DockerHost", folder: str, names: Sequence[str]) -> dict[str, bytes]:
    """Pack each of these that lies in a folder of the machine."""
    with host.never_started(FolderMount(folder, _MOUNTED), labels={}) as container:
        found = {name: b"".join(host.get(container, f"{_MOUNTED}/{name}") or ()) for name in names}
    return {name: packed for name, packed in found.items() if packed}


def _members(packed: bytes) -> Iterator[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        yield from tar
