"""Artifacts that are given to a plan: read as those of its own steps, and checked before."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmdet_jetson.config.pipeline import Project
from mmdet_jetson.config.toml import nearest
from mmdet_jetson.contract.parameters.engine import SMALLEST_SIDE
from mmdet_jetson.errors import UserError
from mmdet_jetson.fetching.digests import file_digest
from mmdet_jetson.planning.stages import EXPORT
from mmdet_jetson.planning.steps import ExternalInput
from mmdet_jetson.planning.target_steps import CALIBRATION
from mmdet_jetson.store import Artifact, Store, is_cache_tag

LATER = ("glance.json",)
"""What earlier releases did not make, and is done without where it does not come along."""


@dataclass(frozen=True)
class GivenArtifact:
    """An artifact of a store, read as a step's of the plan would be; ``digests`` is a cache."""

    kind: str
    subject: str
    name: str
    artifact: Artifact
    store: Store
    digests: Path

    def output(self, *parts: str) -> ExternalInput:
        """Some of its entries, or all, as an input.

        Raises:
            UserError: one of them is missing, or is not what its digest says.
        """
        artifact = self.artifact
        parts = tuple(part for part in parts if part in artifact.titles or part not in LATER)
        self._check(parts)

        def place(into: Path) -> Path:
            self.store.checkout(artifact, into, parts or None)
            return into

        return ExternalInput(lambda: artifact.content_of(parts or None), place, artifact=artifact)

    def read(self, title: str) -> bytes:
        """Read one of its files.

        Raises:
            UserError: as `output`.
        """
        self._check([title])
        return self.store.read(self.artifact, title)

    def _check(self, parts: Sequence[str]) -> None:
        """Look before anything is removed: what a store finds damaged it drops, to make it anew."""
        if absent := [part for part in parts if part not in self.artifact.titles]:
            calibrates = absent[0] in CALIBRATION
            what = "pictures to calibrate an engine in 8 bits with" if calibrates else absent[0]
            hint = "on the PC: invoke pack with --precision int8" if calibrates else ""
            raise UserError(f"{self.name} in {self.store.root} comes without {what}", hint)
        for layer in self.artifact.parts(parts or None):
            blob = self.store.file_of(layer)
            if f"sha256:{file_digest(blob, self.digests)}" != layer.blob.digest:
                raise UserError(
                    f"{layer.title} of {self.name} in {self.store.root} is damaged", "copy it again"
                )


@dataclass(frozen=True)
class Absent:
    """What was not given: ``sentence`` says so to who needs it."""

    kind: str
    sentence: str
    hint: str
    subject: str = ""

    def output(self, *_: str) -> ExternalInput:
        """Refuse.

        Raises:
            UserError: always.
        """
        raise UserError(self.sentence, self.hint)


def check_sides(dataset: GivenArtifact, largest: Mapping[str, int]) -> None:
    """Hold validation pictures against how long a side engines take, as the stage `check` does.

    ``largest`` has that by target.

    Raises:
        UserError: a picture has another size; names it.
    """
    if not largest:
        return
    for image in json.loads(dataset.read("val.json"))["images"]:
        sides = image["width"], image["height"]
        for target, most in largest.items():
            if max(sides) > most or min(sides) < SMALLEST_SIDE:
                raise UserError(
                    f"{image['file_name']} in {dataset.name} has {sides[0]}x{sides[1]} pixels, and "
                    f"the engine for {target} takes sides of {SMALLEST_SIDE} to {most}",
                    f"set largest_picture of {target} in targets.toml, which costs memory",
                )


def hint_for(project: Project) -> str:
    """Say how to get all that the project's targets need."""
    packing = project.command("pack", *project.used_targets)
    return f"on the PC: {packing} FOLDER; then --onnx FOLDER here"


def runs_in(store: Store) -> dict[str, list[str]]:
    """The names of exports by that of their run."""
    found: dict[str, list[str]] = {}
    for tag in store.tags():
        run, dot, step = tag.rpartition(f".{EXPORT.verb}-")
        if dot and not is_cache_tag(tag):
            found.setdefault(run, []).append(step)
    return found


def choose_run(store: Store, project: Project) -> str:
    """Choose the run of a folder that is meant: this project's, or the only one."""
    runs, name = runs_in(store), project.pipeline.name
    if name in runs or len(runs) == 1:
        return name if name in runs else next(iter(runs))
    if not runs:
        raise UserError(f"{store.root} holds no export", hint_for(project))
    held = ", ".join(sorted(runs))
    raise UserError(
        f"{store.root} holds exports of {held}, and none of {name}", "name one with --set name=..."
    )


def take_apart(named: str, store: Store) -> tuple[str, str]:
    """Take ``RUN``, ``RUN.export`` or ``RUN.export-TARGET`` apart into run and target."""
    runs = runs_in(store)
    for run, exports in runs.items():
        for export in exports:
            if named == f"{run}.{EXPORT.verb}-{export}":
                return run, export
        if named in (run, f"{run}.{EXPORT.verb}"):
            return run, ""
    known = [*runs, *(f"{run}.{EXPORT.verb}-{each}" for run in runs for each in runs[run])]
    raise UserError(
        f"--onnx {named}: there is no such folder, and no export of that name in {store.root}",
        nearest(named, known) if known else "invoke pack, on the PC, writes such a folder",
    )
