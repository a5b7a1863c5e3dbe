"""Stages of the tests' own, in a small image, through the real Docker runtime.

As a program, it runs the stage `copy` once: python trials.py STORE ENGINE CERTIFICATES PARAMETERS
"""

import io
import json
import signal
import sys
import tarfile
from pathlib import Path
from typing import Any

from rich.console import Console

from mmdet_jetson.cli.progress import Display
from mmdet_jetson.containers.docker_host import DockerHost
from mmdet_jetson.containers.objects import Image
from mmdet_jetson.containers.workspace import Workspace
from mmdet_jetson.fetching.digests import tree_digest
from mmdet_jetson.planning import keys
from mmdet_jetson.planning.steps import Given, Step
from mmdet_jetson.running.run_step import RunContext, run_step
from mmdet_jetson.runtimes.docker import DockerRuntime
from mmdet_jetson.store import Artifact, Store

ROOT = Path(__file__).resolve().parents[2]
TRIAL = Path(__file__).parent / "trial"
TAG = "mmdet-jetson/trial:1"


def build(engine: DockerHost) -> Image:
    """Build the small image; unchanged it is one look at the engine's cache."""
    stages = {f"stages/{path.name}": path for path in TRIAL.glob("*.py")}
    package = ROOT / "src/mmdet_jetson/stages"
    stages |= {f"stages/{name}": package / name for name in ("__init__.py", "job.py")}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, path in {"Dockerfile": TRIAL / "Dockerfile", **stages}.items():
            tar.add(path, name)
    packed.seek(0)
    return engine.build(packed, dockerfile="Dockerfile", tag=TAG, on_line=lambda _: None)


def run_context(engine: DockerHost, store: Store, say: Any = print) -> RunContext:
    """A run_context whose every step runs in the small image."""
    shelf = Workspace(engine, store.root, say)
    shelf.sweep()
    runtime = DockerRuntime(shelf, lambda _: engine.find_image(TAG), lambda _: True)
    return RunContext(runtime, store, Display(Console(file=sys.stdout)))


def step(
    stage: str, *, resumable: bool = False, folder: Path | None = None, **parameters: Any
) -> Step:
    """A step of one of the trial stages, with a folder as its input."""
    given = {} if folder is None else {"data": folder_input(folder)}
    return Step(stage, stage, "train", "checkpoint", parameters, given, resumable=resumable)


def folder_input(folder: Path) -> Given:
    cache = folder.parent / "digests.sqlite"
    return Given(lambda: tree_digest(folder, cache), lambda _: folder)


def run(shop: RunContext, chosen: Step) -> Artifact:
    """Run a step of the trial stages, whose sources are not among the package's."""
    keys.STAGES = TRIAL
    return run_step(chosen, shop, {})


def main() -> None:
    # What a shell starts in the background, CI perhaps, would ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    root, address, certificates, parameters = sys.argv[1:]
    options = json.loads(parameters)
    folder = Path(options.pop("folder")) if "folder" in options else None
    engine = DockerHost(address, Path(certificates) if certificates else None)
    made = run(
        run_context(engine, Store(Path(root))), step("copy", resumable=True, folder=folder, **options)
    )
    print("made", made.digest)


if __name__ == "__main__":
    main()
