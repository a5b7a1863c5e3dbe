"""Have a store hold a whole run of the demo by its real keys, so that `invoke status` finds it."""

import os
import tempfile
from pathlib import Path

from mmdet_jetson.cli.request import Request
from mmdet_jetson.cli.verbs import session
from mmdet_jetson.planning.steps import Step, StepOutput, missing_inputs
from mmdet_jetson.running.run_step import ingredients_on
from mmdet_jetson.store import Artifact, Provenance, Store, cache_tag

CONFIG = "configs/demo.toml"


def add_demo_run(root: Path) -> int:
    """Store a small file for every step of the demo, as if it had run here; how many steps."""
    os.environ["MMDET_JETSON_ARTIFACTS"] = str(root)
    store, made = Store(root), dict[str, Artifact]()
    with session(Request(config=CONFIG)) as now, tempfile.TemporaryDirectory() as scratch:
        for step in now.steps:
            assert not missing_inputs(step, made), step.name
            told = ingredients_on(now.runtimes, step, made)
            folder = Path(scratch, step.name)
            folder.mkdir()
            parts = {part for each in now.steps for part in _read_of(each, step.name)}
            for title in parts | {"made.json"}:
                (folder / title).write_text(f"{step.name} {title}")
            provenance = Provenance(
                stage=step.stage.module,
                step=step.name,
                created="2026-11-27T10:00:00+00:00",
                source=told.source,
                parameters=dict(told.parameters),
                inputs=dict(told.inputs),
                environment=told.environment,
                key=told.key,
            )
            tags = [cache_tag(told.key), f"{now.name}.{step.name}"]
            made[step.name] = store.put(step.stage.makes, folder, provenance, tags)
    return len(made)


def _read_of(step: Step, name: str) -> list[str]:
    """The parts that a step reads of the artifact of another."""
    read = [each for each in step.inputs.values() if isinstance(each, StepOutput)]
    return [part for each in read if each.step == name for part in each.parts]
