"""What any program in one of our images can do, run as a stage is run: next to nothing."""

from __future__ import annotations

import os
import re
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

OURS = ("/opt/environment", "/opt/mmdet_jetson")
SYSTEM = {"/proc", "/sys", "/dev"}


def status(name: str) -> str:
    found = re.search(rf"^{name}:\s*(.*)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found, name
    return found[1]


def entries(*tops: str) -> Iterator[Path]:
    for top in tops:
        for folder, folders, files in os.walk(top):
            folders[:] = [each for each in folders if f"{folder.rstrip('/')}/{each}" not in SYSTEM]
            yield from (Path(folder, each) for each in [*folders, *files])


def test_it_runs_as_the_stage_user() -> None:
    assert (os.getuid(), os.geteuid(), os.getgid()) == (10001, 10001, 10001)


def test_the_command_is_all_that_starts() -> None:
    """A base's own entry point would print before it."""
    words = Path("/proc/1/cmdline").read_bytes().split(b"\0")
    assert words[words.index(b"--") + 1] == b"python"


def test_it_cannot_become_root() -> None:
    with pytest.raises(PermissionError):
        os.setuid(0)
    assert status("NoNewPrivs") == "1"


@pytest.mark.parametrize("kind", ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"])
def test_it_has_no_capability(kind: str) -> None:
    assert int(status(kind), 16) == 0


def test_the_root_is_read_only() -> None:
    assert os.statvfs("/").f_flag & os.ST_RDONLY, "the root file system is writable"


@pytest.mark.parametrize("folder", ["/", "/opt", "/etc", "/usr/bin", *OURS])
def test_nothing_can_be_written_outside_the_job(folder: str) -> None:
    with pytest.raises(OSError, match=r"Read-only file system|Permission denied"):
        Path(folder, "written").write_text("")


def test_the_job_folder_and_tmp_can_be_written() -> None:
    for folder in ("/job", "/tmp"):
        path = Path(folder, "written")
        path.write_text("")
        path.unlink()


def test_there_is_no_network() -> None:
    assert [name for _, name in socket.if_nameindex() if name != "lo"] == []
    with pytest.raises(OSError, match="unreachable"):
        socket.create_connection(("192.0.2.1", 80), timeout=5)


def test_our_files_belong_to_root_and_only_root_may_change_them() -> None:
    def is_loose(path: Path) -> bool:
        found = path.lstat()
        writable = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not path.is_symlink()
        return bool(writable) or found.st_uid != 0

    assert [str(path) for path in entries(*OURS) if is_loose(path)] == []


def test_nothing_of_the_build_stayed() -> None:
    names = {"certificates.pem", "installer-environment"}
    assert [str(path) for path in entries("/") if path.name in names] == []
    assert not Path("/build").exists()
    assert [name for name in os.environ if name.endswith(("_CERT", "CERT_FILE"))] == []


def test_the_contract_and_the_stages_are_there_and_nothing_else_of_ours() -> None:
    top = Path("/opt/mmdet_jetson/mmdet_jetson")
    assert sorted(path.name for path in top.iterdir()) == ["__init__.py", "contract", "stages"]
