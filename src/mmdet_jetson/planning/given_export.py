"""An export that is given: read, and checked against the target that it should be built for."""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mmdet_jetson.config.pipeline import Project
from mmdet_jetson.config.targets import Target
from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.errors import UserError
from mmdet_jetson.fetching.digests import file_digest, tree_digest
from mmdet_jetson.planning.stages import EXPORT
from mmdet_jetson.planning.steps import ExternalInput

GRAPH, ONNX = "graph.json", "end2end.onnx"
"""What the stage `export` calls a graph and its description."""
WHOLE = (
    "invoke pack FOLDER, on the PC, writes a whole export and all that an engine is measured with, "
    "invoke checkout NAME.export-TARGET FOLDER the export alone"
)


@dataclass(frozen=True)
class GivenFolder:
    """A folder with an export and nothing else; ``digests`` is a cache."""

    subject: str
    folder: Path
    digests: Path
    kind: str = EXPORT.makes

    def output(self, *_: str) -> ExternalInput:
        """The folder, as an input."""
        return ExternalInput(lambda: tree_digest(self.folder, self.digests), lambda _: self.folder)

    def description(self) -> bytes:
        """Read what describes the graph.

        Raises:
            UserError: there is no graph or no description, or that is of another graph.
        """
        for name in (GRAPH, ONNX):
            if not (self.folder / name).is_file():
                raise UserError(f"{self.folder} is no export: there is no {name} in it", WHOLE)
        content = (self.folder / GRAPH).read_bytes()
        described = _read(content, str(self.folder / GRAPH)).get("onnx")
        digest = file_digest(self.folder / ONNX, self.digests)
        if not isinstance(described, dict) or described.get("sha256") != digest:
            raise UserError(
                f"{self.folder / GRAPH} describes another file than the {ONNX} beside it", WHOLE
            )
        return content


def check_export(content: bytes, export: str, name: str, target: Target, project: Project) -> None:
    """Refuse an export of other classes, or for another kind of target.

    ``content`` is its graph.json, ``export`` what it is called, and ``name`` that of the target.

    Raises:
        UserError: it does not fit; says in what.
    """
    graph, pipeline = _read(content, f"{GRAPH} of {export}"), project.pipeline
    agree, its = partial(_agree, export, str(project.path)), f"target {name}"
    # Without any they are the model's own, which the export is of.
    if classes := list(pipeline.dataset.classes):
        agree("classes", graph.get("classes"), classes, whose="the dataset")
    size = list(pipeline.input_size)
    agree("input_size", graph.get("input_size"), size, whose="the configuration")
    expected: dict[str, object] = {"graph": target.graph}
    if target.graph == "fused":
        expected |= {"input": target.input, "batch": target.batch}
    for field, value in expected.items():
        agree(field, graph.get(field), value, whose=its)
    if target.graph == "fused":
        limits = graph.get("post_processing")
        nms: dict[str, object] = limits if isinstance(limits, dict) else {}
        asked, whose = pipeline.export, "the configuration"
        agree("thresholds", nms.get("from"), asked.thresholds, whose=whose)
        agree("rounds", nms.get("rounds"), asked.rounds, whose=whose)
    backend = str(graph.get("backend"))
    kind = BACKENDS[backend].deploy_config if backend in BACKENDS else backend
    if target.graph == "documented":
        needed = BACKENDS[target.backend].deploy_config
        agree("backend", kind, needed, whose=its)


def _read(content: bytes, where: str) -> dict[str, object]:
    try:
        graph = json.loads(content)
    except ValueError as error:
        raise UserError(f"{where} is damaged: {error}", WHOLE) from error
    if not isinstance(graph, dict):
        raise UserError(f"{where} describes no graph", WHOLE)
    return graph


def _agree(
    export: str, path: str, field: str, found: object, expected: object, *, whose: str
) -> None:
    if found != expected:
        verb = "are" if field.endswith("s") else "is"
        raise UserError(
            f"the {field} of {export} {verb} {_shown(found)}, and {whose}'s {verb} "
            f"{_shown(expected)}",
            f"name the configuration that it was made for with --config (this is {path}), or an "
            "export that was made for this one",
        )


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
