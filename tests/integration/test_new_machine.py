"""A Debian 12 with Python and nothing else: what our files install is there, and all that we call."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from needed import absent
from programs import MINIMAL, needs

SCRIPTS = ("docker/start-docker", ".ci/run")
# What our packages recommend and `--no-install-recommends` leaves out: why we do without.
DISMISSED = {
    "apparmor": "Docker confines containers where the kernel has it, and runs where it has not",
    "buildah": "Podman builds no image here",
    "cgroupfs-mount": "the machine's own start mounts them",
    "dbus-user-session": "Podman without root only",
    "default-logind": "nobody logs in to the server of the tests",
    "fakechroot": "mmdebstrap without root only",
    "fakeroot": "mmdebstrap without root only",
    "fuse-overlayfs": "Podman without root only",
    "less": "nobody reads git's pages",
    "libatm1": "no network of ATM",
    "libdistro-info-perl": "mmdebstrap is told a release by its name",
    "libdpkg-perl": "mmdebstrap is told its mirror's distribution",
    "ncurses-term": "nobody logs in to the server of the tests",
    "needrestart": "restarting services is the machine's owner's",
    "nftables": "iptables talks to the kernel itself",
    "patch": "git applies no mails here",
    "slirp4netns": "Podman without root only",
    "ssh-client": "a name that openssh-client has, too",
    "systemd": "docker/start-docker tells the kernel of the emulator",
    "uidmap": "without root only",
    "xauth": "no windows",
    "xz-utils": "no layer here is packed by it",
}

CHECK = r"""
for program in {minimal}; do command -v $program >/dev/null || echo "not minimal: $program"; done
apt-get update -qq
dpkg-query -W -f 'installed: ${{Package}}\n'
apt-get install --simulate --no-install-recommends {packages} | sed -n 's/^Inst \([^ ]*\).*/installed: \1/p'
apt-cache show --no-all-versions {packages} | sed -n '/^Recommends: /p'
"""


@dataclass(frozen=True)
class Report:
    """What such a machine says: lines without the word that they begin with, by that word."""

    lines: tuple[str, ...]

    def said(self, word: str) -> list[str]:
        return [line[len(word) + 2 :] for line in self.lines if line.startswith(f"{word}: ")]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Such a machine, and what would come to it with the packages that our scripts name."""
    if os.geteuid() or not shutil.which("mmdebstrap"):
        absent("making a minimal Debian needs root and mmdebstrap: docker/start-docker")
    folder = tmp_path_factory.mktemp("machine")
    packages = " ".join(sorted(set(needs(*SCRIPTS).values())))
    check = CHECK.format(minimal=" ".join(MINIMAL.values()), packages=packages)
    (folder / "check").write_text(check)
    make_and_ask(folder)
    return Report(tuple((folder / "said").read_text().splitlines()))


def make_and_ask(folder: Path) -> None:
    """Make a minimal Debian, run ``folder/check`` in it as root and keep what that says; drop it."""
    acquire = subprocess.check_output(["apt-config", "dump", "Acquire"], text=True)
    # As this machine reaches packages: through a proxy, perhaps.
    ways = ("Acquire::http", "Acquire::Check")
    options = [line for line in acquire.splitlines() if line.startswith(ways) and '""' not in line]
    done = subprocess.run(
        [
            "mmdebstrap", "--quiet", "--variant=minbase", "--include=python3,python3-venv",
            "--format=null", *(f"--aptopt={line}" for line in options),
            f"--customize-hook=upload {folder}/check /check",
            '--customize-hook=chroot "$1" bash -c "bash -e -o pipefail /check >/said"',
            f"--customize-hook=download /said {folder}/said",
            "bookworm",
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


def test_what_we_take_for_granted_is_there(machine: Report) -> None:
    assert not machine.said("not minimal")


def test_what_our_packages_would_like_is_installed_or_not_needed(machine: Report) -> None:
    """``mmdebstrap`` recommends ``arch-test`` and does without, until it is asked for arm64."""
    installed = set(machine.said("installed"))
    assert {"mmdebstrap", "docker.io", "python3"} <= installed
    lacking = unmet(machine.said("Recommends"), installed)
    assert not lacking, f"install them in docker/start-docker or .ci/run, or say why not: {lacking}"
    assert unmet(machine.said("Recommends"), installed - {"arch-test"}) == ["arch-test"]


def unmet(recommended: list[str], installed: set[str]) -> list[str]:
    """Give the wishes that no installed package fulfils, and that nothing here speaks of."""
    wishes = [wish for line in recommended for wish in line.split(", ")]
    known = {*installed, *DISMISSED}
    return [
        wish
        for wish in wishes
        if not known & {each.split()[0].partition(":")[0] for each in wish.split(" | ")}
    ]
