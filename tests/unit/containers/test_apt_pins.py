"""One version of every TensorRT package: docker/image/pin-tensorrt, read by apt itself.

apt looks at a repository in a folder; nothing is installed.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PINNED, NEWER = "10.13.3.9-1+cuda13.0", "10.16.1.11-1+cuda13.2"
PACKAGES = {
    "python3-libnvinfer": ("libnvinfer10", "libnvonnxparsers10"),
    "libnvinfer10": (),
    "libnvonnxparsers10": ("libnvinfer10",),
    "tensorrt": ("python3-libnvinfer",),
}
CONF = """
Dir "{0}/"; Dir::State::status "{0}/status";
Dir::Etc::sourcelist "{0}/sources.list"; Dir::Etc::sourceparts "-";
Dir::Etc::preferences "-"; Dir::Etc::preferencesparts "{0}/preferences";
APT::Architecture "arm64"; APT::Architectures "arm64"; Acquire::Languages "none";
APT::Sandbox::User "root";
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with two releases, each of whose packages needs the others of its own."""
    if not shutil.which("apt-get"):
        pytest.skip("no apt here: images are built on Debian's and Ubuntu's")
    for name in ("repository", "preferences", "var/lib/apt/lists/partial"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "var/cache/apt/archives/partial").mkdir(parents=True)
    (tmp_path / "status").touch()
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] file:{tmp_path}/repository ./\n")
    (tmp_path / "repository/Packages").write_text(
        "\n".join(package(name, version) for version in (PINNED, NEWER) for name in PACKAGES)
    )
    (tmp_path / "apt.conf").write_text(CONF.format(tmp_path))
    apt_get(tmp_path, "update")
    return tmp_path


def package(name: str, version: str) -> str:
    depends = ", ".join(f"{each} (= {version})" for each in PACKAGES[name])
    return (
        f"Package: {name}\nVersion: {version}\nArchitecture: arm64\nSize: 1\n"
        f"Filename: ./{name}_{version}.deb\n" + (f"Depends: {depends}\n" if depends else "")
    )


def apt_get(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["apt-get", *arguments], capture_output=True, text=True, check=False,
        env={"PATH": "/usr/bin:/bin", "APT_CONFIG": str(folder / "apt.conf"), "LANG": "C"},
    )  # fmt: skip


def pin(version: str, folder: Path) -> None:
    script = str(ROOT / "docker/image/pin-tensorrt")
    subprocess.run(["sh", script, version, str(folder / "preferences")], check=True)


def would_install(folder: Path) -> set[str]:
    done = apt_get(folder, "install", "--simulate", "tensorrt")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("Inst ")]
    assert len(lines) == len(PACKAGES)
    return {words[2].strip("(") for words in lines}


def test_without_a_pin_apt_takes_the_newest(repository: Path) -> None:
    pin("", repository)
    assert would_install(repository) == {NEWER}


def test_every_package_comes_in_the_version_that_is_pinned(repository: Path) -> None:
    pin(PINNED, repository)
    assert would_install(repository) == {PINNED}


def test_a_version_that_is_not_there_is_replaced_by_no_other(repository: Path) -> None:
    pin("10.13.3.10-1+cuda13.0", repository)
    done = apt_get(repository, "install", "--simulate", "tensorrt")
    assert done.returncode
    assert "no installation candidate" in done.stderr
