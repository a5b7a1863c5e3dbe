import shutil
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import FakeRuntime, Quiet, dataset_step, everywhere, train_step

from mmdet_jetson.errors import UserError
from mmdet_jetson.planning import keys, stage_source, stages
from mmdet_jetson.planning.keys import ingredients
from mmdet_jetson.planning.stages import OF_TARGET
from mmdet_jetson.planning.steps import ExternalInput, Step
from mmdet_jetson.running.run_step import RunContext, run_step
from mmdet_jetson.running.run_steps import run_steps
from mmdet_jetson.runtimes.outcome import StageFailed
from mmdet_jetson.runtimes.protocol import Runtimes, StageRun
from mmdet_jetson.store import Artifact, Store

MEASURING = replace(stages.DATASET, measures_device=True)
EVIDENCE = replace(stages.DATASET, is_evidence=True)
CHECK = replace(dataset_step(seed=9), subject="check")
WAITING = replace(train_step(), after=(CHECK.name,))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "artifacts")


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime()


@pytest.fixture
def listener() -> Quiet:
    return Quiet()


@pytest.fixture
def context(runtime: FakeRuntime, store: Store, listener: Quiet) -> RunContext:
    return RunContext(everywhere(runtime), store, listener)


def test_a_result_is_made_once(context: RunContext, runtime: FakeRuntime, listener: Quiet) -> None:
    made = run_step(dataset_step(seed=1), context, {})
    again = run_step(dataset_step(seed=1), context, {})
    assert made.digest == again.digest
    assert runtime.runs == ["dataset"]
    assert listener.heard == [
        "started dataset", "dataset 1/2", "made dataset", "cached dataset",
    ]  # fmt: skip


def test_an_artifact_names_its_origin(context: RunContext) -> None:
    dataset = run_step(dataset_step(), context, {})
    origin = run_step(train_step(), context, {"dataset": dataset}).provenance
    assert (origin.stage, origin.step) == ("train", "train")
    assert origin.inputs == {"dataset": dataset.content}
    assert origin.environment == "train:lock-1"
    assert origin.metrics == {"AP": 0.5}
    assert origin.warnings == ["mind the gap"]
    assert origin.created.endswith("+00:00")


def test_equal_content_cuts_off_what_follows(context: RunContext, runtime: FakeRuntime) -> None:
    """A dataset that is made again by other means but comes out the same trains nothing anew."""
    run_step(train_step(), context, {"dataset": run_step(dataset_step(), context, {})})
    moved = replace(dataset_step(), stage=replace(stages.DATASET, module="report"))
    run_step(train_step(), context, {"dataset": run_step(moved, context, {})})
    assert runtime.runs == ["dataset", "train", "report"]


def test_a_failed_stage_stores_nothing_and_keeps_its_folder(
    context: RunContext, runtime: FakeRuntime, store: Store
) -> None:
    runtime.fails = True
    with pytest.raises(UserError, match="broke"):
        run_step(dataset_step(), context, {})
    assert store.tags() == {}
    (job,) = (store.root / "jobs").glob("*/")
    assert (job / "job.json").exists()


@pytest.mark.parametrize("may_resume", [True, False])
def test_only_a_stage_that_may_resume_finds_its_work_again(
    context: RunContext, runtime: FakeRuntime, may_resume: bool
) -> None:
    step = replace(dataset_step(), stage=replace(stages.DATASET, may_resume=may_resume))
    runtime.fails = True
    with pytest.raises(UserError):
        run_step(step, context, {})
    seen: list[bool] = []
    runtime.before_run = lambda stage: seen.append((stage.folder / "work/newest.pth").exists())
    runtime.fails = False
    run_step(step, context, {})
    assert seen == [may_resume]
    assert [path for path in (context.store.root / "jobs").iterdir() if path.is_dir()] == []


def test_what_a_run_left_that_was_killed_behind_its_end_is_cleared_away(
    context: RunContext, runtime: FakeRuntime, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its result is stored, and its folder still there."""

    def killed(_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mmdet_jetson.running.run_step.remove", killed)
    with pytest.raises(KeyboardInterrupt):
        run_step(dataset_step(), context, {})
    monkeypatch.undo()
    assert len(list((store.root / "jobs").glob("*/"))) == 1
    run_step(dataset_step(), context, {})
    assert runtime.runs == ["dataset"]
    assert list((store.root / "jobs").glob("*/")) == []


@pytest.mark.parametrize(
    ("environment", "reused"), [("lock-1", "what 2 measured"), ("another device", "")]
)
def test_a_step_finds_what_it_reuses_of_its_last_artifact(
    context: RunContext, runtime: FakeRuntime, environment: str, reused: str
) -> None:
    """The newest one of the same environment, and the key does not depend on it."""
    found: list[str] = []

    def measure(stage: StageRun) -> None:
        earlier = stage.folder / "work/timing.cache"
        found.append(earlier.read_text() if earlier.exists() else "")
        (stage.folder / "output/timing.cache").write_text(f"what {len(found)} measured")

    def reusing(seed: int, subject: str = "") -> Step:
        return replace(dataset_step(seed), reuses="timing.cache", subject=subject)

    runtime.before_run = measure
    run_step(reusing(1), context, {})
    run_step(reusing(2), context, {})
    run_step(reusing(3, "another"), context, {})
    runtime.environment = environment
    last = run_step(reusing(4), context, {})
    assert found == ["", "what 1 measured", "", reused]
    plain = ingredients(
        dataset_step(4), environment=last.provenance.environment, evidence="", artifacts={}
    )
    assert last.provenance.key == plain.key


def test_inputs_are_read_only(context: RunContext, runtime: FakeRuntime, store: Store) -> None:
    artifacts = {"dataset": run_step(dataset_step(), context, {})}
    runtime.fails = True
    with pytest.raises(UserError):
        run_step(train_step(), context, artifacts)
    (file,) = (store.root / "jobs").glob("train-*/inputs/dataset/out.txt")
    assert not file.stat().st_mode & 0o222


def test_a_users_folder_is_read_where_it_is(context: RunContext, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "out.txt").write_text("my pictures")
    source = ExternalInput(lambda: "sha256:1", lambda _: mine)
    made = run_step(dataset_step(inputs={"source": source}), context, {})
    assert b"my pictures" in context.store.read(made, "out.txt")
    assert made.provenance.inputs == {"source": "sha256:1"}


def test_an_input_that_changes_while_it_is_read_is_not_stored(
    context: RunContext, tmp_path: Path
) -> None:
    """The user edits an annotation while the stage reads: neither version may get this result."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "out.txt").write_text("pictures")
    digests = iter(["before", "after"])
    source = ExternalInput(lambda: next(digests), lambda _: mine)
    with pytest.raises(UserError, match="an input changed while it was read"):
        run_step(dataset_step(inputs={"source": source}), context, {})
    assert context.store.tags() == {}


def test_an_edit_between_two_steps_is_in_the_key_of_the_second(
    context: RunContext, runtime: FakeRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process makes many steps, and a person edits a stage meanwhile."""
    package = tmp_path / "mmdet_jetson"
    shutil.copytree(stage_source.PACKAGE, package)
    monkeypatch.setattr(stage_source, "PACKAGE", package)
    of_one = replace(dataset_step(), subject="one")
    of_another = replace(dataset_step(seed=1), subject="another")

    def edit(stage: StageRun) -> None:
        with (package / "stages/dataset.py").open("a") as source:
            source.write("# edited\n")

    runtime.before_run = edit
    made = run_steps((of_one, of_another), context, "mine")
    sources = [made[step.name].provenance.source for step in (of_one, of_another)]
    assert sources[0] != sources[1]
    assert runtime.runs == ["dataset", "dataset"]


def test_an_artifact_names_the_commit_that_was_there_when_it_started(
    context: RunContext, runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = ["first"]
    monkeypatch.setattr("mmdet_jetson.running.run_step.git_commit", lambda: head[0])
    runtime.before_run = lambda _: head.__setitem__(0, "second")
    commits = [run_step(dataset_step(seed), context, {}).provenance.commit for seed in (1, 2)]
    assert commits == ["first", "second"]


def test_nothing_runs_whose_source_or_packages_changed_before_it_started(
    context: RunContext, runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = iter(["before", "after"])
    with monkeypatch.context() as patched:
        patched.setattr(keys, "source_digest", lambda stage: next(digests))
        with pytest.raises(UserError, match="dataset: the source of its stage changed"):
            run_step(dataset_step(), context, {})
    environments = iter(["lock-1:driver 1", "lock-1:driver 2"])
    monkeypatch.setattr(runtime, "identity", lambda step: next(environments))
    with pytest.raises(UserError, match="environment lock-1: was driver 1, is driver 2"):
        run_step(dataset_step(), context, {})
    assert runtime.runs == []


def test_a_device_that_changes_while_it_is_measured_has_no_result(
    context: RunContext, runtime: FakeRuntime
) -> None:
    """Somebody sets another power mode in the middle."""
    runtime.before_run = lambda _: setattr(runtime, "device_name", "a slower mode")
    with pytest.raises(UserError, match=r"was fake device, is a slower mode \(changed while"):
        run_step(replace(dataset_step(), stage=MEASURING), context, {})
    assert context.store.tags() == {}


def test_again_runs_what_is_known(context: RunContext, runtime: FakeRuntime) -> None:
    old = run_step(dataset_step(), context, {})
    new = run_step(dataset_step(), replace(context, again=frozenset({"dataset"})), {})
    assert runtime.runs == ["dataset", "dataset"]
    assert new.content == old.content
    assert context.store.tags()[f"cache.{new.provenance.key}"].digest == new.digest


def test_a_measurement_of_time_belongs_to_its_device(
    context: RunContext, runtime: FakeRuntime
) -> None:
    step = replace(dataset_step(), stage=MEASURING)
    run_step(step, context, {})
    runtime.device_name = "another"
    run_step(step, context, {})
    run_step(dataset_step(), context, {})
    assert len(runtime.runs) == 3


def test_evidence_refers_to_what_it_judges(context: RunContext) -> None:
    artifacts = {"dataset": run_step(dataset_step(), context, {})}
    judged = run_step(replace(train_step(), judges="dataset"), context, artifacts)
    assert judged.subject is not None
    assert judged.subject.digest == artifacts["dataset"].digest


def test_evidence_says_what_the_runtime_says(context: RunContext, runtime: FakeRuntime) -> None:
    step = replace(dataset_step(), stage=EVIDENCE)
    assert run_step(step, context, {}).provenance.parameters["evidence"] == "measured"
    runtime.grade = "emulated"
    assert run_step(step, context, {}).provenance.parameters["evidence"] == "emulated"
    assert "evidence" not in run_step(dataset_step(), context, {}).provenance.parameters


def test_two_runs_at_once_compute_once(store: Store) -> None:
    """Both have seen that the result is missing before one of them makes it."""
    runtime, both_looked = FakeRuntime(), threading.Barrier(2, timeout=30)
    results: list[str] = []

    class Looking(Store):
        """Waits, at its first look, until the other one has looked too."""

        looked = False

        def create(self) -> None:
            super().create()
            if not self.looked:
                self.looked = True
                both_looked.wait()

    def one() -> None:
        context = RunContext(everywhere(runtime), Looking(store.root), Quiet())
        results.append(run_step(dataset_step(), context, {}).digest)

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert runtime.runs == ["dataset"]
    assert len(results) == 2
    assert len(set(results)) == 1


def test_a_run_tags_every_artifact_by_its_step(context: RunContext, store: Store) -> None:
    steps = (dataset_step(), train_step())
    artifacts = run_steps(steps, context, "mine")
    assert store.tags()["mine.train"].digest == artifacts["train"].digest
    index = (store.root / "index.json").stat().st_mtime_ns
    run_steps(steps, context, "mine")
    assert (store.root / "index.json").stat().st_mtime_ns == index


def test_nothing_starts_where_a_later_step_cannot_run(
    context: RunContext, runtime: FakeRuntime
) -> None:
    runtime.refuses = "no image"
    with pytest.raises(UserError, match="no image for train"):
        run_steps((dataset_step(), train_step()), context, "mine")
    assert runtime.runs == []


def test_each_environment_has_its_runtime(store: Store) -> None:
    here, there = FakeRuntime("here"), FakeRuntime("there")
    runtimes = Runtimes({"train": here, "deploy": there})
    step = dataset_step(seed=1)
    of_targets = replace(step.stage, environment=OF_TARGET)
    on_device = replace(step, stage=of_targets, environment="deploy", subject="orin")
    run_steps((dataset_step(), on_device), RunContext(runtimes, store, Quiet()), "mine")
    assert (here.runs, there.runs) == (["dataset"], ["dataset"])
    environments = {a.provenance.step: a.provenance.environment for a in store.artifacts()}
    assert environments == {"dataset": "train:here", "dataset-orin": "deploy:there"}


def test_what_comes_before_a_step_is_asked_for_where_that_has_to_run(
    context: RunContext, store: Store
) -> None:
    steps = (dataset_step(), CHECK, WAITING)
    assert set(run_steps(steps, context, "mine")) == {"dataset", CHECK.name, "train"}
    changed = (dataset_step(), replace(CHECK, parameters=dataset_step(seed=10).parameters), WAITING)
    assert set(run_steps(changed, context, "mine")) == {"dataset", "train"}
    more = (*changed[:2], replace(train_step(epochs=41), after=WAITING.after))
    assert set(run_steps(more, context, "mine")) == {"dataset", CHECK.name, "train"}
    assert set(run_steps((dataset_step(), CHECK), context, "mine")) == {"dataset", CHECK.name}


def test_what_comes_before_a_step_is_in_no_key(context: RunContext, store: Store) -> None:
    run_steps((dataset_step(), train_step()), context, "mine")
    assert set(run_steps((dataset_step(), CHECK, WAITING), context, "mine")) == {"dataset", "train"}


def test_a_step_does_not_start_where_what_comes_before_it_fails(
    context: RunContext, runtime: FakeRuntime
) -> None:
    def fail(stage: StageRun) -> None:
        runtime.fails = stage.step.name == CHECK.name

    runtime.before_run = fail
    with pytest.raises(UserError, match="dataset: broke"):
        run_steps((dataset_step(), CHECK, WAITING), context, "mine")
    assert runtime.runs == ["dataset", "dataset"]


def test_nothing_is_fetched_to_see_whether_a_step_is_known(
    context: RunContext, runtime: FakeRuntime
) -> None:
    """What comes before it may refuse first."""
    asked: list[str] = []

    def digest() -> str:
        asked.append("digest")
        return "sha256:0"

    weights = ExternalInput(digest, lambda into: into, lambda: False)
    fetching = replace(WAITING, inputs={**WAITING.inputs, "weights": weights})
    runtime.before_run = lambda stage: setattr(runtime, "fails", stage.step.name == CHECK.name)
    with pytest.raises(UserError, match="dataset: broke"):
        run_steps((dataset_step(), CHECK, fetching), context, "mine")
    assert asked == []


OPTIONAL = replace(CHECK, stage=replace(stages.DATASET, may_be_left_out=True), subject="rehearsal")
"""What may be left out before a training."""


def test_what_may_be_left_out_is_where_it_cannot_run(
    context: RunContext, runtime: FakeRuntime, listener: Quiet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(steps: list[Step]) -> None:
        if OPTIONAL.name in [step.name for step in steps]:
            raise UserError("there is no image", "build it")

    monkeypatch.setattr(runtime, "check", refuses)
    steps = (dataset_step(), OPTIONAL, replace(train_step(), after=(OPTIONAL.name,)))

    made = run_steps(steps, context, "mine", ["train"])

    assert set(made) == {"dataset", "train"}
    assert f"left out {OPTIONAL.name}: there is no image" in listener.heard
    listener.heard.clear()
    run_steps(steps, context, "mine", ["train"])
    assert listener.heard == ["cached dataset", "cached train"]
    with pytest.raises(UserError, match="no image"):
        run_steps(steps, context, "mine", [OPTIONAL.name])


def test_what_may_be_left_out_is_where_its_environment_cannot_be_had(
    context: RunContext, runtime: FakeRuntime, listener: Quiet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(step: Step) -> None:
        if step.name == OPTIONAL.name:
            raise UserError("offline", "go online")

    monkeypatch.setattr(runtime, "prepare", prepare)
    steps = (dataset_step(), OPTIONAL, replace(train_step(), after=(OPTIONAL.name,)))

    assert set(run_steps(steps, context, "mine", ["train"])) == {"dataset", "train"}
    assert f"left out {OPTIONAL.name}: offline" in listener.heard


def test_what_a_rehearsal_refuses_is_refused(context: RunContext, runtime: FakeRuntime) -> None:
    def refuse(stage: StageRun) -> None:
        if stage.step.name == OPTIONAL.name:
            raise StageFailed("rehearse: it does not fit", "another")

    runtime.before_run = refuse
    steps = (dataset_step(), OPTIONAL, replace(train_step(), after=(OPTIONAL.name,)))

    with pytest.raises(StageFailed, match="does not fit"):
        run_steps(steps, context, "mine", ["train"])


def test_a_step_is_made_by_whoever_makes_it_elsewhere(context: RunContext) -> None:
    asked = []

    def follow(
        step: Step, context: RunContext, artifacts: Mapping[str, Artifact], tag: str
    ) -> Artifact:
        asked.append((step.name, sorted(artifacts), tag))
        return run_step(step, context, artifacts, tag)

    followed = replace(context, makers={"train": follow})
    made = run_steps([dataset_step(), train_step()], followed, "mine")
    assert asked == [("train", ["dataset"], "mine.train")]
    assert context.store.tags()["mine.train"].digest == made["train"].digest
