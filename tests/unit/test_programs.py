"""What the project's own files install is all that its scripts, tests and source call."""

import os
import subprocess
from pathlib import Path

import pytest
from programs import (
    ALSO_IN,
    CALLED_INSIDE,
    MINIMAL,
    ROOT,
    called_by_python,
    called_by_script,
    commands,
    dockerfile_commands,
    lacking,
    makefile_recipes,
    needs,
)

HOST_SCRIPTS = ("docker/start-docker", "docker/make-stand-in")
CI_SCRIPTS = (*HOST_SCRIPTS, "docker/start-slurm", ".ci/run", "docker/need", "docker/refresh-locks")
IMAGE_SCRIPTS = sorted(
    path for path in (ROOT / "docker/image").iterdir() if path.read_text().startswith("#!/bin/sh")
)


def of_scripts(*names: str) -> set[str]:
    return {name for each in names for name in called_by_script((ROOT / each).read_text())}


def what_lacks(called: set[str], *scripts: str) -> set[str]:
    """Give what is called and not installed by what the scripts name to ``docker/need``."""
    needed = needs(*scripts)
    return lacking(called, set(needed.values()), set(needed))


def test_the_docker_host_installs_what_its_scripts_call() -> None:
    """They run alone, too: docs/containers.md, and the arm64 job of the workflow."""
    assert not what_lacks(of_scripts(*HOST_SCRIPTS), "docker/start-docker")


def test_the_slurm_of_tests_installs_what_it_calls() -> None:
    assert not what_lacks(of_scripts("docker/start-slurm"), "docker/start-slurm")


def test_ci_installs_what_everything_calls() -> None:
    called = of_scripts(*CI_SCRIPTS) | called_by_script(makefile_recipes())
    for folder in ("src", "tests/unit", "tests/integration"):
        for path in (ROOT / folder).rglob("*.py"):
            called |= called_by_python(path)
    assert {"make", "docker", "openssl", "podman", "skopeo", "ip", "umount"} <= called  # it looks
    assert not what_lacks(called, *CI_SCRIPTS)


def test_images_install_what_their_builds_call() -> None:
    scripts = [*map(Path.read_text, IMAGE_SCRIPTS)]
    scripts += [dockerfile_commands(path) for path in ROOT.glob("Dockerfile.*")]
    called = {name for text in scripts for name in called_by_script(text)}
    installed = {
        word
        for text in scripts
        for words in commands(text)
        if words[0] == "./ensure-python"
        for word in words[2:]
    }
    assert {"cmake", "useradd"} <= called  # it looks
    assert not lacking(called, installed, installed | {"check-packages"})


@pytest.mark.parametrize("package", [*MINIMAL, *ALSO_IN])
def test_packages_hold_what_we_say(package: str) -> None:
    """As far as this machine has them; tests/integration/test_new_machine.py has the minimal ones."""
    listed = subprocess.run(["sh", "-c", f"dpkg -L {package}"], capture_output=True, check=False)
    if listed.returncode:
        pytest.skip(f"no package {package} here")
    names = {line.rpartition("/")[2] for line in listed.stdout.decode().splitlines()}
    assert set((MINIMAL | ALSO_IN)[package].split()) - {"awk", "c++"} <= names  # alternatives


@pytest.mark.parametrize("package", CALLED_INSIDE)
def test_what_a_program_calls_is_installed_with_it(package: str) -> None:
    """``mmdebstrap`` said "install arch-test" on a new machine, where nothing had installed it."""
    for script in CI_SCRIPTS:
        named = set(needs(script).values())
        assert package not in named or set(CALLED_INSIDE[package]) <= named


def test_packages_are_installed_for_what_is_missing_only(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    fake = tmp_path / "apt-get"
    fake.write_text(f'#!/bin/sh\necho "$@" >>{calls}\n')
    fake.chmod(0o755)
    words = ["sh=dash", "no-such-program=its-package", "/etc/passwd=passwd", "/no/such/file=files"]

    done = subprocess.run(
        ["docker/need", *words], cwd=ROOT, env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    if os.geteuid():
        assert (done.returncode, calls.exists()) == (1, False)
        assert "try: sudo apt-get install its-package files" in done.stderr
    else:
        assert done.returncode == 0, done.stderr
        assert calls.read_text().splitlines()[-1].split()[-2:] == ["its-package", "files"]


def test_whoever_tests_by_hand_installs_the_same() -> None:
    by_hand = (ROOT / "CONTRIBUTING.md").read_text().replace("\\\n", "")
    in_ci = [words for words in commands((ROOT / ".ci/run").read_text()) if "need" in words[0]]
    said = [line[2:].split() for line in by_hand.splitlines() if line.startswith("$ docker/need")]
    assert sorted({word for words in said for word in words}) == sorted(
        {word for words in in_ci for word in words}
    )


@pytest.mark.parametrize(
    "script",
    [
        "jq . x.json",
        "cat x | jq .",
        "x=$(jq . x.json)",
        "if ! jq . x; then echo; fi",
        "while read -r y; do jq . $y; done <x",
        "f() { jq . x; }; f",
        "trap - EXIT; LANG=C jq . x",
        "setsid --fork jq . x",
        "exec jq . x",
        "cat <<END\n$(jq . x)\nEND",
    ],
)
def test_a_program_that_nothing_installs_is_found(script: str) -> None:
    assert what_lacks(called_by_script(script), *CI_SCRIPTS) == {"jq"}


@pytest.mark.parametrize(
    "module",
    [
        "subprocess.run(['jq', '.'], check=True)",
        "words = ['jq', *more]\nsubprocess.Popen(words)",
        "shutil.which('jq')",
        "output_of(('jq', '.'))",
    ],
)
def test_a_program_that_nothing_installs_is_found_in_python(tmp_path: Path, module: str) -> None:
    (tmp_path / "module.py").write_text(module)
    assert what_lacks(called_by_python(tmp_path / "module.py"), *CI_SCRIPTS) == {"jq"}
