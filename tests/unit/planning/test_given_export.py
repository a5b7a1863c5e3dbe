"""A plan that starts at an export from elsewhere, and all that it refuses before anything runs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from small_artifacts import PROVENANCE, blob_of, found

from mmdet_jetson.config.pipeline import Project, load_project
from mmdet_jetson.config.settings import Settings
from mmdet_jetson.errors import UserError
from mmdet_jetson.fetching.digests import sha256_file
from mmdet_jetson.planning import pipeline, stages
from mmdet_jetson.planning.given import Given, plan_given, read_given
from mmdet_jetson.planning.inputs import Inputs
from mmdet_jetson.planning.keys import input_digests, provenance_read
from mmdet_jetson.planning.steps import ExternalInput, Step, StepOutput
from mmdet_jetson.store import Store

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
PC = "pc-onnxruntime"
GRAPH: Mapping[str, object] = {
    "graph": "fused",
    "backend": "onnxruntime",
    "input": "letterboxed",
    "batch": 1,
    "classes": ["balloon"],
    "input_size": [640, 640],
    "post_processing": {"from": "model", "rounds": 24},
}
MADE_BY = {
    "dataset": "dataset",
    "export": "export",
    "evaluate-documented": "evaluate_engine",
    "evaluate": "evaluate_checkpoint",
}
"""The stage of a step, by how its name begins."""
# As on a device, where neither the dataset's source nor the training's config is.
DEVICE = ("dataset.source=/nowhere", "train.config=nowhere.py", "train.weights=")


@dataclass(frozen=True)
class Home:
    """A store as a PC hands it over; each of its artifacts may be put there anew."""

    store: Store
    folder: Path
    run: str = "balloon"

    def put(
        self, step: str, kind: str, files: Mapping[str, bytes], inputs: Mapping[str, str]
    ) -> None:
        made = self.folder / f"{len(list(self.folder.glob('*')))}"
        for name, content in files.items():
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            (made / name).write_bytes(content)
        made_by = next(name for name in MADE_BY if step.startswith(name))
        provenance = msgspec.structs.replace(
            PROVENANCE, stage=MADE_BY[made_by], step=step, inputs=inputs
        )
        self.store.put(kind, made, provenance, [f"{self.run}.{step}"])

    def put_dataset(self, *more: str) -> None:
        names = ("summary.json", "val.json", "val/1.jpg", *more)
        self.put("dataset", "dataset", {name: name.encode() for name in names}, {})

    def put_export(self, target: str, **changes: object) -> None:
        files = {"graph.json": json.dumps({**GRAPH, **changes}).encode(), "end2end.onnx": b"onnx"}
        self.put(f"export-{target}", "onnx", files, {"checkpoint": "trained"})

    def put_evaluation(self, subject: str, inputs: Mapping[str, str] | None = None) -> None:
        files = {"metrics.json": b"{}", "predictions.json": subject.encode()}
        dataset = found(self.store, f"{self.run}.dataset").content_of(["val", "val.json"])
        read = {"checkpoint": "trained"}
        if subject == "documented":
            read = {"onnx": found(self.store, f"{self.run}.export-documented").content}
        self.put(
            f"evaluate-{subject}",
            "evaluation",
            files,
            {**read, "dataset": dataset, **(inputs or {})},
        )

    def put_all(self) -> "Home":
        self.put_dataset()
        self.put_export(PC)
        self.put_export("documented", graph="documented")
        self.put_evaluation("checkpoint")
        self.put_evaluation("documented")
        return self


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "made").mkdir()
    return Home(Store(tmp_path / "usb"), tmp_path / "made").put_all()


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """An export without anything else, as `invoke checkout` writes it."""
    folder = tmp_path / "bare"
    folder.mkdir()
    (folder / "end2end.onnx").write_bytes(b"onnx")
    describe(folder)
    return folder


def describe(folder: Path, **changes: object) -> None:
    described = {**GRAPH, "onnx": {"sha256": sha256_file(folder / "end2end.onnx")}, **changes}
    (folder / "graph.json").write_text(json.dumps(described))


def project_of(*overrides: str) -> Project:
    return load_project(CONFIGS / "pipeline.toml", (*DEVICE, *overrides))


def given_by(named: Path | str, settings: Settings, *overrides: str) -> Given:
    return read_given(str(named), project_of(*overrides), settings)


def planned(named: Path | str, settings: Settings, *overrides: str) -> tuple[Step, ...]:
    project = project_of(*overrides)
    inputs = Inputs(project, settings, lambda name, done, total: None)
    return plan_given(project, inputs, read_given(str(named), project, settings))


def names(steps: Sequence[Step]) -> list[str]:
    return [step.name for step in steps]


def test_a_plan_needs_environment_deploy_only(home: Home, settings: Settings) -> None:
    steps = planned(home.store.root, settings)

    assert names(steps) == [
        f"engine-{PC}", f"evaluate-{PC}", f"prove-{PC}", f"profile-{PC}", "report",
    ]  # fmt: skip
    assert {step.environment for step in steps} == {stages.DEPLOY}
    assert {step.image for step in steps} == {"pc"}
    assert not settings.artifacts.exists()


def test_what_is_read_has_the_digests_of_a_run_at_home(home: Home, settings: Settings) -> None:
    """So an engine that was built at home is not built again."""
    engine, evaluate, *_ = planned(home.store.root, settings)
    export, dataset = (found(home.store, f"balloon.{name}") for name in (f"export-{PC}", "dataset"))

    assert input_digests(engine, {}) == {"onnx": export.content}
    assert evaluate.inputs["engine"] == StepOutput(engine.name)
    pictures = evaluate.inputs["dataset"]
    assert isinstance(pictures, ExternalInput)
    assert pictures.digest() == dataset.content_of(["val", "val.json"])


def test_a_plan_reads_what_the_plan_at_home_does(home: Home, settings: Settings) -> None:
    """But for the training, of which nothing comes along."""
    project = load_project(CONFIGS / "pipeline.toml", ("train.weights=",))
    inputs = Inputs(project, settings, lambda name, done, total: None)
    at_home = {step.name: step for step in pipeline.plan(project, inputs)}

    for step in planned(home.store.root, settings):
        twin = at_home[step.name]
        assert step.parameters == twin.parameters
        training = {"checkpoint"} if step.stage is stages.REPORT else set[str]()
        assert set(step.inputs) == set(twin.inputs) - training


def test_pictures_are_put_where_a_stage_reads_them(
    home: Home, settings: Settings, tmp_path: Path
) -> None:
    pictures = planned(home.store.root, settings)[1].inputs["dataset"]
    assert isinstance(pictures, ExternalInput)

    placed = pictures.place(tmp_path / "job")
    assert sorted(str(path.relative_to(placed)) for path in placed.rglob("*")) == [
        "val", "val.json", "val/1.jpg",
    ]  # fmt: skip


def test_a_report_tells_where_the_given_artifacts_come_from(home: Home, settings: Settings) -> None:
    told = provenance_read(planned(home.store.root, settings)[-1], {})

    export = found(home.store, f"balloon.export-{PC}")
    assert {each.step: each.digest for each in told}[f"export-{PC}"] == export.digest


@pytest.mark.parametrize("changed", ["val", "end2end.onnx", "predictions.json"])
def test_what_is_damaged_is_refused_before_anything_runs(
    home: Home, settings: Settings, changed: str
) -> None:
    """And it stays: nobody here can make it anew."""
    layers = [layer for artifact in home.store.artifacts() for layer in artifact.layers]
    layer = next(layer for layer in layers if layer.title == changed)
    blob = blob_of(home.store, layer.blob.digest)
    blob.chmod(0o644)
    blob.write_bytes(b"x" * layer.blob.size)

    with pytest.raises(UserError, match=f"{changed} of balloon.* is damaged"):
        planned(home.store.root, settings)
    assert blob.exists()


def test_what_is_missing_from_a_folder_is_refused(home: Home, settings: Settings) -> None:
    layer = found(home.store, f"balloon.export-{PC}").layers[0]
    blob_of(home.store, layer.blob.digest).unlink()

    with pytest.raises(UserError, match=f"balloon.export-{PC} in .* is damaged"):
        planned(home.store.root, settings)


def test_an_export_alone_is_built_and_not_measured(bare: Path, settings: Settings) -> None:
    for named in (bare, bare / "end2end.onnx"):
        steps = planned(named, settings)
        assert names(steps) == [f"engine-{PC}"]
        given = steps[0].inputs["onnx"]
        assert isinstance(given, ExternalInput)
        assert given.place(Path("unused")) == bare


@pytest.mark.parametrize("command", ["evaluate", "profile", "report"])
def test_measuring_an_export_alone_is_refused_with_the_way_to_it(
    bare: Path, settings: Settings, command: str
) -> None:
    with pytest.raises(UserError, match="is an export alone, without pictures") as caught:
        given_by(bare, settings).refuse(command)
    assert f"invoke pack --target {PC} FOLDER" in caught.value.hint


def test_what_comes_before_an_export_is_no_command_for_one(bare: Path, settings: Settings) -> None:
    with pytest.raises(UserError, match=r"train: --onnx .* is given instead of what that makes"):
        given_by(bare, settings).refuse("train")


@pytest.mark.parametrize("absent", ["graph.json", "end2end.onnx"])
def test_a_folder_without_an_export_is_refused(bare: Path, settings: Settings, absent: str) -> None:
    (bare / absent).unlink()
    with pytest.raises(UserError, match=f"is no export: there is no {absent} in it"):
        given_by(bare, settings)


def test_a_graph_that_is_not_the_described_one_is_refused(bare: Path, settings: Settings) -> None:
    (bare / "end2end.onnx").write_bytes(b"another")
    with pytest.raises(UserError, match=r"describes another file than the end2end\.onnx beside it"):
        given_by(bare, settings)


@pytest.mark.parametrize(
    ("content", "says"),
    [(b'{"graph": ', "graph.json is damaged"), (b"[]", "graph.json describes no graph")],
)
def test_a_damaged_description_is_refused(
    bare: Path, settings: Settings, content: bytes, says: str
) -> None:
    (bare / "graph.json").write_bytes(content)
    with pytest.raises(UserError, match=says):
        given_by(bare, settings)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"classes": ["mug"]}, "the classes of .* are mug, and the dataset's are balloon"),
        ({"classes": None}, "the classes of .* are None"),
        ({"input_size": [96, 96]}, "the input_size of .* is 96, 96, and .* is 640, 640"),
        ({"input": "image"}, f"the input of .* is image, and target {PC}'s is letterboxed"),
        ({"batch": 2}, "the batch of .* is 2, and .* is 1"),
        (
            {"post_processing": {"from": "deploy", "rounds": 24}},
            "the thresholds of .* are deploy, and the configuration's are model",
        ),
        (
            {"post_processing": {"from": "model", "rounds": 16}},
            "the rounds of .* are 16, .* are 24",
        ),
        ({"graph": "documented"}, "the graph of .* is documented, and .* is fused"),
    ],
)
def test_an_export_that_fits_something_else_is_refused(
    bare: Path, home: Home, settings: Settings, change: Mapping[str, object], says: str
) -> None:
    describe(bare, **change)
    home.put_export(PC, **change)

    for named in (bare, home.store.root):
        with pytest.raises(UserError, match=says):
            given_by(named, settings)


def test_a_documented_graph_is_for_its_backend(bare: Path, settings: Settings) -> None:
    """MMDeploy writes one for ONNX Runtime and one with a plugin for TensorRT."""
    describe(bare, graph="documented", backend="onnxruntime")
    project = project_of()
    target = msgspec.structs.replace(project.targets[PC], graph="documented", backend="tensorrt")
    other = msgspec.structs.replace(project, targets={PC: target})
    with pytest.raises(UserError, match=r"the backend of .* is onnxruntime, and .* is tensorrt"):
        read_given(str(bare), other, settings)


def test_an_export_for_a_target_alike_is_taken(home: Home, settings: Settings) -> None:
    """The same graph is exported for it: only its device differs."""
    engine, *_ = planned(home.store.root, settings, 'targets=["jetson-onnxruntime"]')
    assert input_digests(engine, {}) == {"onnx": found(home.store, f"balloon.export-{PC}").content}

    with pytest.raises(UserError, match="no export for agx-orin-jp501: it has those for") as caught:
        planned(home.store.root, settings, 'targets=["agx-orin-jp501"]')
    assert "invoke pack --target agx-orin-jp501" in caught.value.hint


@pytest.mark.parametrize(
    ("size", "fits"), [((2048, 32), True), ((2049, 32), False), ((2048, 31), False)]
)
def test_pictures_that_an_engine_does_not_take_are_refused(
    home: Home, settings: Settings, size: tuple[int, int], fits: bool
) -> None:
    """Else it would be found out behind a build of many minutes."""
    image = {"file_name": "1.jpg", "width": size[0], "height": size[1]}
    content = json.dumps({"images": [image]}).encode()
    files = {"summary.json": b"{}", "val.json": content, "val/1.jpg": b"1"}
    home.put("dataset", "dataset", files, {})
    home.put_evaluation("checkpoint")
    home.put_evaluation("documented")
    home.put_export("orin-nano-jp62-fp16", input="image")
    asked = 'targets=["orin-nano-jp62-fp16"]'
    if fits:
        assert not given_by(home.store.root, settings, asked).lacks
        return
    with pytest.raises(UserError, match=r"1\.jpg in balloon\.dataset has .* sides of 32 to 2048"):
        given_by(home.store.root, settings, asked)


def test_an_engine_in_8_bits_needs_pictures_to_calibrate_it(home: Home, settings: Settings) -> None:
    in_8_bits = 'targets=["pc-onnxruntime-int8"]'
    with pytest.raises(UserError, match="comes without pictures to calibrate") as caught:
        planned(home.store.root, settings, in_8_bits)
    assert "--precision int8" in caught.value.hint

    home.put_dataset("train.json", "train/1.jpg")
    engine = planned(home.store.root, settings, in_8_bits)[0]
    assert set(engine.inputs) == {"onnx", "training", "validation"}


@pytest.mark.parametrize(
    ("step", "inputs", "says"),
    [
        ("checkpoint", {"dataset": "other"}, "evaluate-checkpoint .* from another dataset"),
        ("checkpoint", {"checkpoint": "other"}, "from another checkpoint"),
        ("documented", {"onnx": "other"}, "evaluate-documented .* from another onnx"),
        ("documented", {"dataset": "other"}, "evaluate-documented .* from another dataset"),
    ],
)
def test_parts_of_different_runs_are_refused(
    home: Home, settings: Settings, step: str, inputs: Mapping[str, str], says: str
) -> None:
    """Else a verdict would compare an engine with the detections of another network."""
    home.put_evaluation(step, inputs)
    with pytest.raises(UserError, match=says):
        given_by(home.store.root, settings)


@pytest.mark.parametrize(
    ("tag", "other"),
    [
        ("evaluate-documented", "evaluate-checkpoint"),  # PyTorch's detections as the graph's
        ("evaluate-checkpoint", "evaluate-base"),
        ("dataset", "evaluate-checkpoint"),
        (f"export-{PC}", "dataset"),
    ],
)
def test_a_tag_that_was_moved_to_something_else_is_refused(
    home: Home, settings: Settings, tag: str, other: str
) -> None:
    home.put_evaluation("base")
    home.store.tag(found(home.store, f"balloon.{other}"), f"balloon.{tag}")
    with pytest.raises(UserError, match=f"balloon.{tag} in .* is what step {other} made"):
        given_by(home.store.root, settings)


@pytest.mark.parametrize("content", [None, b"", b"[]", b'{"schemaVersion"', b"\xff\x00"])
def test_a_damaged_index_of_a_folder_does_not_mend_the_store_in_use(
    home: Home, settings: Settings, content: bytes | None
) -> None:
    index = home.store.root / "index.json"
    index.unlink()
    if content is not None:
        index.write_bytes(content)
    with pytest.raises(UserError, match="is not the index of an OCI image layout") as refused:
        given_by(home.store.root, settings)
    assert refused.value.hint == "copy it again"


def test_what_is_no_folder_with_an_export_is_told_apart(
    home: Home, settings: Settings, tmp_path: Path
) -> None:
    for name in ("mugs.tar", "file"):
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    for named, says, hint in (
        (tmp_path / "mugs.tar", "that is a file", "unpack it"),
        (tmp_path / "file", "that is a file", f"on the PC: invoke pack --target {PC}"),
        ("/dev/null", "that is a file", "on the PC: invoke pack"),
        (tmp_path / "empty", "there is no export in it", "on the PC: invoke pack"),
        (home.store.root.parent, "there is no export in it", f"--onnx {home.store.root}"),
    ):
        with pytest.raises(UserError, match=f"^--onnx {named}: {says}") as refused:
            given_by(named, settings)
        assert refused.value.hint.startswith(hint)


def test_a_run_without_its_evaluations_is_built_and_not_measured(
    home: Home, settings: Settings
) -> None:
    home.store.untag("balloon.evaluate-checkpoint")
    given = given_by(home.store.root, settings)

    assert given.remedy.startswith("on the PC: invoke pack")
    assert names(planned(home.store.root, settings)) == [f"engine-{PC}"]
    with pytest.raises(UserError, match="comes without evaluate-checkpoint"):
        given.refuse("evaluate")


def test_a_run_of_another_name_is_taken_where_it_is_the_only_one(
    home: Home, settings: Settings
) -> None:
    assert len(planned(home.store.root, settings, "name=red")) == 5

    Home(home.store, home.folder, "mugs").put_all()
    assert len(planned(home.store.root, settings)) == 5
    with pytest.raises(UserError, match="holds exports of balloon, mugs, and none of red"):
        planned(home.store.root, settings, "name=red")


@pytest.mark.parametrize("named", ["balloon", "balloon.export", f"balloon.export-{PC}"])
def test_an_artifact_of_the_store_in_use_is_named_by_its_tag(
    tmp_path: Path, settings: Settings, named: str
) -> None:
    (tmp_path / "made").mkdir()
    Home(Store(settings.artifacts), tmp_path / "made").put_all()
    assert len(planned(named, settings)) == 5


def test_a_name_that_nothing_has_is_refused(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(UserError, match="no such folder, and no export of that name"):
        given_by("balloon", settings)
    (tmp_path / "made").mkdir()
    Home(Store(settings.artifacts), tmp_path / "made").put_all()
    with pytest.raises(UserError) as caught:
        given_by("balloon.export-pc-onnxruntim", settings)
    assert f"balloon.export-{PC}" in caught.value.hint
