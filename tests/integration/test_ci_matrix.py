"""The workflow for GitHub, job by job: each in a clone with an empty store, all with one registry."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from commands import ROOT, TINY, new_commands
from registries import Registry, docker_registry

from mmdet_jetson.store import Store, oci

TARGETS = ("pc-onnxruntime", "pc-whole-picture")
WHOLE_PICTURE = """
[pc-whole-picture]
description = "scaled inside the graph"
like = "pc-onnxruntime"
input = "image"
"""
WAVES = ("dataset", "train", "engine")
WORKFLOW = yaml.safe_load((ROOT / "examples/ci/github.yml").read_text())
OF_THE_RUNNER = ("make setup", "docker login", "docker logout")
"""What a runner needs, and is here already."""


@dataclass(frozen=True)
class Runs:
    """Runs jobs of the workflow as a runner does, with one registry and one configuration."""

    folder: Path
    registry: Registry
    pipeline: str

    def clone(self, name: str) -> Path:
        """Check out what a job reads of the project."""
        folder = new_commands(self.folder / name, self.pipeline).folder
        with (folder / "configs/targets.toml").open("a") as targets:
            targets.write(WHOLE_PICTURE)
        for each in ("tasks.py", "invoke.yaml"):
            (folder / each).symlink_to(ROOT / each)
        (folder / ".venv").symlink_to(Path(sys.executable).parent.parent)
        return folder

    def start(self, name: str, job: str, **env: str) -> "subprocess.Popen[str]":
        """Start the scripts of a job in a clone of its own."""
        steps = [each["run"] for each in WORKFLOW["jobs"][job]["steps"] if "run" in each]
        script = "\n".join(s for s in steps if not any(word in s for word in OF_THE_RUNNER))
        assert "invoke" in script
        folder = self.clone(name)
        environ = {
            **os.environ, "MMDET_JETSON_ARTIFACTS": str(folder / "artifacts"), "CI": "true",
            "DOCKER_CONFIG": str(self.registry.login()), "NAME": "tiny", "COLUMNS": "120",
            "GITHUB_OUTPUT": str(folder / "output"), **env,
        }  # fmt: skip
        return subprocess.Popen(
            ["bash", "-e", "-c", script], cwd=folder, env=environ, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, name: str, job: str, **env: str) -> str:
        """The same, to its end, which has to be a good one; what it said."""
        process = self.start(name, job, **env)
        said, _ = process.communicate(timeout=1200)
        assert process.returncode == 0, said
        return said

    def plan(self, name: str) -> dict[str, list[dict[str, Any]]]:
        """What the job `plan` hands to the others: the entries of each matrix."""
        self.run(name, "plan")
        (line,) = (self.folder / name / "output").read_text().splitlines()
        matrix: dict[str, dict[str, Any]] = json.loads(line.removeprefix("matrix="))
        return {wave: each["include"] for wave, each in matrix.items()}

    def wave(self, name: str, matrix: dict[str, list[dict[str, Any]]], wave: str) -> list[str]:
        """Run the jobs of a wave at once, and give what they said."""
        started = [
            self.start(f"{name}-{wave}-{number}", wave, TARGET=entry["target"])
            for number, entry in enumerate(matrix[wave])
        ]
        said = [process.communicate(timeout=1200)[0] for process in started]
        assert [process.returncode for process in started] == [0] * len(said), "\n".join(said)
        return said


def made(said: list[str]) -> Counter[str]:
    """How often each step was computed."""
    return Counter(re.findall(r"^✓ (\S+) +done in", "\n".join(said), re.MULTILINE))


def test_job_after_job_ends_with_a_release_and_computes_nothing_twice(tmp_path: Path) -> None:
    with docker_registry(tmp_path / "registry") as registry:
        targets = TINY.replace('["pc-onnxruntime"]', json.dumps(TARGETS))
        store = f'[store]\nregistry = "docker://{registry.host}/tiny"\nca = "{registry.ca}"\n'
        site = Runs(tmp_path, registry, f"{targets}\n{store}")

        matrix = site.plan("first")
        assert {wave: len(matrix[wave]) for wave in WAVES} == {
            "dataset": 1,
            "train": 1,
            "engine": 2,
        }
        said = [each for wave in WAVES for each in site.wave("first", matrix, wave)]
        computed = made(said)
        listed = Counter(name for wave in WAVES for job in matrix[wave] for name in job["makes"])
        # Before a training it is tried out; that is listed nowhere, since no job is for it alone.
        checks = {name: 1 for name in computed if name.startswith("check")}
        assert computed == listed + Counter(checks)
        assert computed["report"] == len(TARGETS)
        assert {name for name, times in computed.items() if times > 1} == {"report"}

        again = site.plan("again")
        assert (again["dataset"], again["train"]) == ([], [])
        assert not made(site.wave("again", again, "engine"))

        shown = site.run("release", "release")
        assert all(target in shown for target in TARGETS)
        assert not made([shown])
        bundle = Store(tmp_path / "release/artifacts").tags()["tiny.bundle"]
        there = registry.get("tiny/manifests/tiny.bundle", Accept=oci.INDEX)
        assert there.headers["Docker-Content-Digest"] == bundle.digest

        # A commit that changes what is trained.
        changed = Runs(
            tmp_path / "changed", registry, site.pipeline.replace("epochs = 1", "epochs = 2")
        )
        (job,) = changed.plan("plan")["train"]
        assert "train" in job["makes"]


def test_a_failed_job_is_seen(tmp_path: Path) -> None:
    """Without a registry no job ends well, so the other test shows something."""
    with docker_registry(tmp_path / "registry") as registry:
        registry.kill()
        store = f'[store]\nregistry = "docker://{registry.host}/tiny"\nca = "{registry.ca}"\n'
        site = Runs(tmp_path, registry, f"{TINY}\n{store}")
        process = site.start("job", "engine", TARGET="pc-onnxruntime")
        said, _ = process.communicate(timeout=600)
        assert process.returncode != 0, said
        assert "Traceback" not in said
