"""A plan that starts at an export from elsewhere: environment `deploy` is all that it needs.

What is given is a store's artifacts under a run's name, in a folder of their own (`invoke pack`
writes one) or in the store in use; or a folder with an export alone. All of it is checked when it
is planned: nothing of it is found to be wrong after a long step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from mmdet_jetson.config.pipeline import Project
from mmdet_jetson.config.settings import Settings
from mmdet_jetson.config.sources import is_archive
from mmdet_jetson.contract.report import BASE, CHECKPOINT, DOCUMENTED
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning import stages
from mmdet_jetson.planning.given_artifacts import (
    Absent,
    GivenArtifact,
    check_sides,
    choose_run,
    hint_for,
    runs_in,
    take_apart,
)
from mmdet_jetson.planning.given_export import GRAPH, ONNX, GivenFolder, check_export
from mmdet_jetson.planning.inputs import Inputs
from mmdet_jetson.planning.pipeline import compared_targets
from mmdet_jetson.planning.stages import EVALUATE_CHECKPOINT, EVALUATE_ENGINE, EXPORT, Stage
from mmdet_jetson.planning.steps import Made, Step, name_of
from mmdet_jetson.planning.target_steps import VALIDATION, TargetSteps
from mmdet_jetson.planning.training_steps import largest_pictures
from mmdet_jetson.store import Artifact, BrokenIndex, Store

BEHIND = (stages.ENGINE, stages.EVALUATE_ENGINE, stages.PROFILE, stages.REPORT)
"""The stages of commands that can start at an export."""


@dataclass(frozen=True)
class Given:
    """What a plan starts from.

    ``references`` are the checkpoint's evaluation and, where there are, the documented graph and
    its evaluation; without any, engines are built and nothing is measured. ``shown`` is all that a
    report shows of it. ``name`` is what the user called it.
    """

    name: str
    exports: Mapping[str, Made]
    dataset: GivenArtifact | Absent
    references: Sequence[GivenArtifact] = ()
    shown: Sequence[Made] = ()

    @property
    def lacks(self) -> str:
        """Why engines cannot be measured, as a sentence; "" where they can."""
        return self.dataset.sentence if isinstance(self.dataset, Absent) else ""

    @property
    def remedy(self) -> str:
        """What to do about what it lacks."""
        return self.dataset.hint if isinstance(self.dataset, Absent) else ""

    def refuse(self, command: str) -> NoReturn:
        """Say why a command has nothing to do here.

        Raises:
            UserError: always.
        """
        if command in {stage.verb for stage in BEHIND}:
            self.dataset.output()
        raise UserError(
            f"{command}: --onnx {self.name} is given instead of what that makes",
            f"--onnx is for {', '.join(dict.fromkeys(stage.verb for stage in BEHIND))}, pipeline "
            "and build-jetson-engine",
        )


def evidence_for(project: Project) -> list[tuple[Stage, str]]:
    """Name, by stage and subject, what an engine is measured with besides its export.

    The dataset comes first, then the checkpoint's evaluation.
    """
    needed = [(stages.DATASET, ""), (EVALUATE_CHECKPOINT, CHECKPOINT)]
    if compared_targets(project):
        needed += [(EXPORT, DOCUMENTED), (EVALUATE_ENGINE, DOCUMENTED)]
    return needed


def plan_given(project: Project, inputs: Inputs, given: Given) -> tuple[Step, ...]:
    """List every step behind what is given; of an export alone, engines only."""
    behind = TargetSteps(project, inputs, given.dataset, judged_in=stages.DEPLOY)
    steps: list[Step] = []
    for name, target in project.used_targets.items():
        export = given.exports[name]
        engine = behind.engine(name, target, export)
        steps.append(engine)
        if not given.lacks:
            steps += behind.evidence(target, export, engine, given.references)
    if not given.lacks:
        steps.append(behind.report([*given.shown, *given.exports.values(), *steps]))
    return tuple(steps)


def read_given(named: str, project: Project, settings: Settings) -> Given:
    """Find what ``--onnx`` names, and check that it fits the project and its targets.

    ``named`` is a folder with an export, one with a store, or a run or an export of the store in
    use, such as ``balloon`` or ``balloon.export-orin-jp62``.

    Raises:
        UserError: there is no such thing, or it is not what the targets' engines are made of.
    """
    digests = settings.cache / "digests.sqlite"
    path = Path(named).expanduser()
    folder = path.parent if path.suffix == ".onnx" else path
    if Store(folder).exists():
        store = Store(folder.absolute())
        try:
            return _Run(named, store, choose_run(store, project), "", project, digests).given()
        except BrokenIndex as broken:  # whose hint mends the store in use
            raise UserError(broken.message, "copy it again") from broken
    if path.exists():
        _check_folder(named, folder, project)
        return _of_folder(named, folder.absolute(), project, digests)
    store = Store(settings.artifacts)
    run, export = take_apart(named, store)
    return _Run(named, store, run, export, project, digests).given()


def _check_folder(named: str, folder: Path, project: Project) -> None:
    """Refuse what is no folder, and one without anything of an export; say what to name instead."""
    if not folder.is_dir():
        hint = hint_for(project)
        if is_archive(folder.name):
            hint = "unpack it, and name the folder that was in it"
        raise UserError(f"--onnx {named}: that is a file and no folder", hint)
    inner = next((each for each in sorted(folder.iterdir()) if Store(each).exists()), None)
    if inner and not (folder / GRAPH).exists():
        raise UserError(f"--onnx {named}: there is no export in it", f"--onnx {inner}")
    if not any((folder / name).exists() for name in (GRAPH, ONNX)):
        raise UserError(f"--onnx {named}: there is no export in it", hint_for(project))


def _of_folder(named: str, folder: Path, project: Project, digests: Path) -> Given:
    exports = {name: GivenFolder(name, folder, digests) for name in project.used_targets}
    for name, target in project.used_targets.items():
        check_export(exports[name].description(), named, name, target, project)
    needs = f"{named} is an export alone, without pictures to calibrate or measure an engine with"
    return Given(named, exports, Absent("dataset", needs, hint_for(project)))


ALONG = ("summary.json", *VALIDATION)
"""What of a dataset comes along; `CALIBRATION` does, too, where a target is in 8 bits."""


@dataclass(frozen=True)
class _Run:
    """The artifacts of one run in a store; ``export`` is the one that was asked for, if any."""

    named: str
    store: Store
    run: str
    export: str
    project: Project
    digests: Path

    def given(self) -> Given:
        """Take what there is: the exports alone, where an engine could not be measured."""
        exports = {name: self._export(name) for name in self.project.used_targets}
        needed = evidence_for(self.project)
        found = {each: self._find(*each) for each in needed}
        if absent := [name_of(*each) for each, artifact in found.items() if artifact is None]:
            lacks = f"{self.named} comes without {absent[0]}, which an engine is measured with"
            return Given(self.named, exports, Absent("dataset", lacks, hint_for(self.project)))
        dataset, *references = (artifact for artifact in found.values() if artifact)
        self._check_origin(list(exports.values()), dataset, references)
        check_sides(dataset, largest_pictures(self.project))
        base = self._find(EVALUATE_CHECKPOINT, BASE)
        shown = (dataset, *([base] if base else []), *references)
        return Given(self.named, exports, dataset, references, shown)

    def _export(self, target: str) -> GivenArtifact:
        """The export for a target, or another one that fits it as well."""
        own = self.export or target
        first = self._find(EXPORT, own)
        others = [] if self.export else runs_in(self.store).get(self.run, [])
        for export in filter(None, (first, *(self._find(EXPORT, each) for each in others))):
            try:
                self._check(export, target)
            except UserError:
                if export is first:
                    raise
            else:
                return export
        raise UserError(
            f"{self.named} has no export for {target}: it has those for {', '.join(others)}",
            hint_for(self.project),
        )

    def _check(self, export: GivenArtifact, target: str) -> None:
        described = self.project.used_targets[target]
        check_export(export.read(GRAPH), export.name, target, described, self.project)

    def _find(self, stage: Stage, subject: str = "") -> GivenArtifact | None:
        name = f"{self.run}.{name_of(stage, subject)}"
        artifact = self.store.find(name)
        if artifact is None:
            if flaw := self.store.damage(name):
                raise UserError(f"{name} in {self.store.root} is damaged: {flaw}", "copy it again")
            return None
        self._check_step(stage, subject, name, artifact)
        return GivenArtifact(stage.makes, subject, name, artifact, self.store, self.digests)

    def _check_step(self, stage: Stage, subject: str, name: str, artifact: Artifact) -> None:
        """Refuse what another step made: a tag can be moved to anything.

        An export may have been made for another target alike.
        """
        made = artifact.provenance
        other_subject = stage is not EXPORT and made.step != name_of(stage, subject)
        if made.stage != stage.module or artifact.kind != stage.makes or other_subject:
            raise UserError(
                f"{name} in {self.store.root} is what step {made.step} made ({artifact.kind})",
                hint_for(self.project),
            )

    def _check_origin(
        self,
        exports: Sequence[GivenArtifact],
        dataset: GivenArtifact,
        rest: Sequence[GivenArtifact],
    ) -> None:
        """Refuse parts of different runs: they agree by the digests of what they were made from."""
        evaluation, *documented = rest
        expected = {
            "checkpoint": evaluation.artifact.provenance.inputs.get("checkpoint"),
            "dataset": dataset.artifact.content_of(VALIDATION),
        }
        if documented:
            expected["onnx"] = documented[0].artifact.content
        for each in (*exports, *rest):
            read = each.artifact.provenance.inputs
            for name in expected.keys() & read.keys():
                if read[name] != expected[name]:
                    raise UserError(
                        f"{each.name} in {self.store.root} was made from another {name} than what "
                        "comes with it",
                        hint_for(self.project),
                    )
