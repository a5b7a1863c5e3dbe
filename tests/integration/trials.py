"""Stages of the tests' own, in a small image, through the real Docker runtime.

As a program, it runs the stage `copy` once:
python trials.py STORE DOCKER-HOST CERTIFICATES FOLDER PARAMETERS
"""

import hashlib
import json
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from unittest import mock

from rich.console import Console
from trial.code import CodeParameters
from trial.copy import CopyParameters

from mmdet_jetson import tarballs
from mmdet_jetson.cli.progress import Display
from mmdet_jetson.containers.docker_host import DockerHost
from mmdet_jetson.containers.objects import Image
from mmdet_jetson.containers.workspace import Workspace
from mmdet_jetson.contract.job import Progress
from mmdet_jetson.fetching.digests import tree_digest
from mmdet_jetson.planning import keys
from mmdet_jetson.planning.stages import TRAIN, Stage
from mmdet_jetson.planning.steps import ExternalInput, Step
from mmdet_jetson.running.run_step import RunContext, run_step
from mmdet_jetson.runtimes.docker import DockerRuntime
from mmdet_jetson.runtimes.protocol import Runtimes
from mmdet_jetson.store import Artifact, Store

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src/mmdet_jetson"
TRIAL = Path(__file__).parent / "trial"
TAG = "mmdet-jetson/trial:1"
COPY = Stage(verb="copy", module="copy", parameters=CopyParameters, makes="checkpoint")
CODE = Stage(verb="code", module="code", parameters=CodeParameters, makes="checkpoint")


class EveryStep(Display):
    """Says of each step of a stage that it has come, for tests that wait for one."""

    def progress(self, step: Step, progress: Progress) -> None:
        self.say(f"{step.name} {progress.step}/{progress.total}")


def build(host: DockerHost) -> Image:
    """Build the small image; where nothing changed, the Docker host's cache has it."""
    ours = [PACKAGE / "__init__.py", *(PACKAGE / "contract").rglob("*.py")]
    ours += [
        PACKAGE / "stages" / name for name in ("__init__.py", "errors.py", "job.py", "place.py")
    ]
    files = {f"mmdet_jetson/{path.relative_to(PACKAGE)}": path for path in ours}
    files |= {f"mmdet_jetson/stages/{path.name}": path for path in TRIAL.glob("*.py")}
    files["Dockerfile"] = TRIAL / "Dockerfile"
    parts = (tarballs.file(path, name) for name, path in sorted(files.items()))
    context = tarballs.archive(*parts)
    return host.build(context, dockerfile="Dockerfile", tag=TAG, on_line=lambda _: None)


def run_context(host: DockerHost, store: Store, say: Callable[[str], None] = print) -> RunContext:
    """What runs steps in the small image, after killed runs' remains are cleared away."""
    workspace = Workspace(host, store.root, say)
    workspace.sweep()
    runtime = DockerRuntime(workspace, lambda _: host.find_image(TAG), lambda _: True)
    return RunContext(Runtimes({TRAIN: runtime}), store, EveryStep(Console(file=sys.stdout)))


def copy_step(
    folder: Path,
    *,
    steps: int = 1,
    seconds: float = 0,
    kill: int = 0,
    may_resume: bool = False,
) -> Step:
    """A step that copies a folder."""
    return Step(
        stage=replace(COPY, may_resume=may_resume),
        parameters=CopyParameters(steps, seconds, kill),
        inputs={"data": folder_input(folder)},
    )


def code_step(code: str, folder: Path | None = None) -> Step:
    """A step that runs code, with a folder as its input or with none."""
    inputs = {} if folder is None else {"data": folder_input(folder)}
    return Step(stage=CODE, parameters=CodeParameters(code), inputs=inputs)


def folder_input(folder: Path) -> ExternalInput:
    cache = folder.parent / "digests.sqlite"
    return ExternalInput(lambda: tree_digest(folder, cache), lambda _: folder)


def run(
    context: RunContext, step: Step, artifacts: Mapping[str, Artifact] | None = None
) -> Artifact:
    """Run a step of the trial stages, whose sources are not among the package's."""
    with mock.patch.object(keys, "source_digest", _source_digest):
        return run_step(step, context, artifacts or {})


def _source_digest(stage: str) -> str:
    return hashlib.sha256((TRIAL / f"{stage}.py").read_bytes()).hexdigest()


def unfinished(store: Store) -> list[Path]:
    """What runs that did not end have left beside their locks, which stay."""
    return [path for path in (store.root / "jobs").iterdir() if path.suffix != ".lock"]


def main() -> None:
    # What a shell starts in the background, CI perhaps, would ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    root, address, certificates, folder, parameters = sys.argv[1:]
    host = DockerHost(address, Path(certificates) if certificates else None)
    step = copy_step(Path(folder), may_resume=True, **json.loads(parameters))
    artifact = run(run_context(host, Store(Path(root))), step)
    print("made", artifact.digest)


if __name__ == "__main__":
    main()
