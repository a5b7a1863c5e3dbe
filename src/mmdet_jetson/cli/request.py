"""What a command about a pipeline was asked for, and the plan that this amounts to."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from rich.console import Console

from mmdet_jetson.bundles.beside import read_compared
from mmdet_jetson.cli.progress import Display
from mmdet_jetson.config.pipeline import Project, load_project, with_precision
from mmdet_jetson.config.references import check_references
from mmdet_jetson.config.settings import Settings, read_settings
from mmdet_jetson.planning import pipeline
from mmdet_jetson.planning.compared import with_compared
from mmdet_jetson.planning.given import Given, plan_given, read_given
from mmdet_jetson.planning.inputs import Inputs
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.runtimes.selection import RuntimeOptions
from mmdet_jetson.store import Store

CONFIG = "configs/pipeline.toml"
UNUSED = "[train] is not used: [model] names a model that is trained already"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a command was asked for: a configuration, changes to it, and where to run.

    ``targets`` and ``precision`` replace those of the configuration. With ``for_device`` a Docker
    host that is named builds and measures engines, and does nothing else. ``onnx`` names an export
    to start from that was made elsewhere (`planning.given`). With ``push`` what is made goes to the
    registry of the configuration. ``compare`` are other runs of the store, which the report shows
    beside this one. ``jobs`` is how many steps run at once (`running.context`).
    """

    config: str
    overrides: Sequence[str] = ()
    runtime: RuntimeOptions = field(default_factory=RuntimeOptions)
    targets: Sequence[str] = ()
    precision: str = ""
    for_device: bool = False
    onnx: str = ""
    push: bool = False
    compare: Sequence[str] = ()
    jobs: int | None = None
    detach: bool = False
    """Whether to leave batch jobs to themselves once they are submitted."""
    attach: str = ""
    """The submission whose jobs are followed, instead of submitting any."""

    @property
    def typed(self) -> str:
        """The options that choose a project, without its targets, as they are typed."""
        words = ["--config", self.config] if self.config != CONFIG else []
        for override in self.overrides:
            words += ["--set", override]
        words += ["--precision", self.precision] if self.precision else []
        return shlex.join(words)


@dataclass(frozen=True)
class Plan:
    """What a request amounts to wherever it is read: its project and its steps."""

    project: Project
    settings: Settings
    steps: tuple[Step, ...]
    store: Store
    display: Display
    given: Given | None


def read_plan(request: Request) -> Plan:
    """Read the configuration and plan the steps.

    Raises:
        UserError: something of that is wrong.
    """
    settings = read_settings()
    overrides = list(request.overrides)
    if request.targets:
        overrides.append(f"targets={json.dumps(list(request.targets))}")
    project = load_project(config_file(request.config, settings.root), overrides)
    if request.precision:
        project = with_precision(project, request.precision)
    project = msgspec.structs.replace(project, typed=request.typed)
    check_references(project, settings.root, trains=not request.onnx)
    display = Display(Console(stderr=True))
    if project.pipeline.train and project.pipeline.model and not request.onnx:
        display.say(UNUSED)
    given = read_given(request.onnx, project, settings) if request.onnx else None
    inputs = Inputs(project, settings, display.bytes_fetched)
    steps = plan_given(project, inputs, given) if given else pipeline.plan(project, inputs)
    store = Store(settings.artifacts)
    digests = settings.cache / "digests.sqlite"
    compared = read_compared(store, request.compare, project.pipeline.name, digests)
    steps = with_compared(steps, compared)
    return Plan(project, settings, steps, store, display, given)


def config_file(named: str, root: Path) -> Path:
    """Find a file that is named from here, or from the project, as the commands' defaults are."""
    here, ours = Path(named), root / named
    return ours if ours.exists() and not here.exists() else here
